package dataset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CIFAR100 is photographs of a hundred kinds of animals, plants, people and things: 50,000 training and 10,000 test
// images of 32 × 32 pixels in red, green and blue, equally many of each class (Krizhevsky, "Learning Multiple Layers of
// Features from Tiny Images", 2009).
//
// It has to be there: folder is where train.bin, test.bin and fine_label_names.txt are, or the folder with
// cifar-100-binary, which they are in, once the official archive cifar-100-binary.tar.gz is unpacked, whose MD5 is
// 03b5dce01913d631647c71ecec9e9cb8. A run trained on it is identified by the pictures' contents.
func CIFAR100(folder string) Images {
	const in = "cifar-100-binary"
	if _, err := os.Stat(filepath.Join(folder, in)); err == nil {
		folder = filepath.Join(folder, in)
	}
	names, err := readCIFAR100(folder, "fine_label_names.txt")
	d := New("CIFAR-100", strings.Fields(string(names)), 32, 32, 3, func() (train, test *Split, err error) {
		if train, err = splitOfCIFAR100(folder, "train.bin"); err == nil {
			test, err = splitOfCIFAR100(folder, "test.bin")
		}
		return train, test, err
	})
	d.err = err
	return d
}

// mostCIFAR100 is more than the largest file has.
const mostCIFAR100 = 200 << 20

// readCIFAR100 reads a file of the official archive.
func readCIFAR100(folder, name string) ([]byte, error) {
	path := filepath.Join(folder, name)
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > mostCIFAR100) {
		err = &fs.PathError{Op: "read", Path: path, Err: fs.ErrInvalid}
	}
	if err != nil {
		return nil, fmt.Errorf("CIFAR-100: %w: unpack cifar-100-binary.tar.gz there", err)
	}
	return os.ReadFile(path)
}

// splitOfCIFAR100 decodes a file of the official archive: for each image a byte of label among twenty, one among the
// hundred, then all its red, all its green and all its blue.
func splitOfCIFAR100(folder, name string) (*Split, error) {
	file, err := readCIFAR100(folder, name)
	if err != nil {
		return nil, err
	}
	const record = 2 + 3*cifarPixels
	n := len(file) / record
	s := &Split{Pixels: make([]byte, n*3*cifarPixels), Labels: make([]byte, n)}
	if err := decodeRecords(file, 2, s.Pixels, s.Labels); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(folder, name), err)
	}
	return s, nil
}
