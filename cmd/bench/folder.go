package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"time"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/picture"
)

// openings is how long it takes to open a folder of pictures.
type openings struct {
	Pictures int       `json:"pictures"`
	First    float64   `json:"first_seconds"` // with all of them to decode
	Later    []float64 `json:"later_seconds"`
	Bytes    int64     `json:"bytes"` // the most memory that the process had
}

// timeFolder writes the training photographs of CIFAR-10 into dir as PNGs, unless they are there, and times how long it
// takes to open it: first without anything in the cache, then five times more.
func timeFolder(dir string) error {
	photos, err := dataset.CIFAR10().Train()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := export(photos, dir); err != nil {
			return err
		}
	}
	cache, err := os.MkdirTemp("", "convbook-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	os.Setenv("XDG_CACHE_HOME", cache)
	result := openings{}
	for range 6 {
		start := time.Now()
		data := dataset.Folder(dir, picture.Frame{Height: 32, Width: 32, Channels: 3})
		train, err := data.Train()
		if err != nil {
			return err
		}
		test, err := data.Test()
		if err != nil {
			return err
		}
		result.Later = append(result.Later, time.Since(start).Seconds())
		result.Pictures = train.Len() + test.Len()
	}
	result.First, result.Later = result.Later[0], result.Later[1:]
	result.Bytes = peak()
	return json.NewEncoder(os.Stdout).Encode(result)
}

// export writes pictures as PNGs, into a folder for each class, which gets its name when it is whole.
func export(photos *dataset.Split, dir string) error {
	partial := dir + ".partial"
	for i := range photos.Len() {
		class := filepath.Join(partial, photos.Label(i))
		if err := os.MkdirAll(class, 0o755); err != nil {
			return err
		}
		out, err := os.Create(filepath.Join(class, fmt.Sprintf("%05d.png", i)))
		if err != nil {
			return err
		}
		if err := errors.Join(png.Encode(out, photos.Image(i)), out.Close()); err != nil {
			return err
		}
	}
	return os.Rename(partial, dir)
}
