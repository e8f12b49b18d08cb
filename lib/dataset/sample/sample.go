// Package sample holds a few hundred images of each data set, for unit tests that must not need the network. Results on
// them say nothing about a network: it is too few to learn from.
package sample

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"

	"example.org/convbook/lib/dataset"
)

// Each file is gzipped: the images' bytes, one after another, then a byte of label for each.
var (
	//go:embed train.gz
	train []byte
	//go:embed test.gz
	test []byte
)

// MNIST is the first 512 training and the first 256 test images of MNIST.
func MNIST() dataset.Images {
	full := dataset.MNIST()
	pixels := full.Height * full.Width
	return dataset.New("MNIST sample", full.Classes, full.Height, full.Width, full.Channels,
		func() (*dataset.Split, *dataset.Split, error) {
			first, err := split(train, pixels)
			if err != nil {
				return nil, nil, err
			}
			second, err := split(test, pixels)
			return first, second, err
		})
}

func split(gzipped []byte, pixels int) (*dataset.Split, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(gzipped))
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(unzipped)
	if err != nil {
		return nil, err
	}
	n := len(content) / (pixels + 1)
	return &dataset.Split{Pixels: content[:n*pixels], Labels: content[n*pixels:]}, nil
}
