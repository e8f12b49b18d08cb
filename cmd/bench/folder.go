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

// opening is how long it took to open a folder of pictures.
type opening struct {
	Pictures int     `json:"pictures"`
	Seconds  float64 `json:"seconds"`
	Bytes    int64   `json:"bytes"` // the most memory that the process had
}

// timeFolder writes the training photographs of CIFAR-10 into dir as PNGs, unless they are there, or else times how long
// it takes to open them: with all to decode, or from the cache.
func timeFolder(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		photos, err := dataset.CIFAR10().Train()
		if err != nil {
			return err
		}
		return export(photos, dir)
	}
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
	return json.NewEncoder(printed).Encode(opening{train.Len() + test.Len(), time.Since(start).Seconds(), peak()})
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
