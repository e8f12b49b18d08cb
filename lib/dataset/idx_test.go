package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/dataset/internal/origin"
	"example.org/convbook/lib/dataset/internal/origin/origintest"
)

// idxOf is an IDX file of these values.
func idxOf(values []byte, dims ...int) string {
	file := []byte{0, 0, 8, byte(len(dims))}
	for _, dim := range dims {
		file = binary.BigEndian.AppendUint32(file, uint32(dim))
	}
	return string(append(file, values...))
}

func gzipped(content string) string {
	var packed bytes.Buffer
	out := gzip.NewWriter(&packed)
	out.Write([]byte(content))
	out.Close()
	return packed.String()
}

// putIDX writes two training pictures of 2 × 3 with the labels 3 and 1, and a test picture with the label 0.
func putIDX(t *testing.T, dir, begin, testing, end string, pack func(string) string) {
	t.Helper()
	for name, content := range map[string]string{
		"train-images-idx3-ubyte":      idxOf([]byte("abcdefghijkl"), 2, 2, 3),
		"train-labels-idx1-ubyte":      idxOf([]byte{3, 1}, 2),
		testing + "-images-idx3-ubyte": idxOf([]byte("uvwxyz"), 1, 2, 3),
		testing + "-labels-idx1-ubyte": idxOf([]byte{0}, 1),
	} {
		origintest.Put(t, dir, begin+name+end, pack(content))
	}
}

func TestIDX(t *testing.T) {
	plain := func(content string) string { return content }
	fashion, letters := filepath.Join(t.TempDir(), "fashion 衣"), filepath.Join(t.TempDir(), "emnist")
	putIDX(t, fashion, "", "t10k", "", plain)
	putIDX(t, letters, "emnist-letters-", "test", ".gz", gzipped)
	for _, c := range []struct {
		d                 Images
		name, train, test string
		label             string
	}{
		{IDX(fashion), "fashion 衣", "abcdefghijkl", "uvwxyz", "3"},
		{IDX(fashion, "shirt", "coat", "bag", "boot"), "fashion 衣", "abcdefghijkl", "uvwxyz", "boot"},
		{IDX(letters), "emnist-letters", "acebdfgikhjl", "uwyvxz", "3"},
		{IDX(filepath.Join(letters, "emnist-l")), "emnist-letters", "acebdfgikhjl", "uwyvxz", "3"},
	} {
		train, err := c.d.Train()
		if err != nil {
			t.Error(err)
			continue
		}
		test, err := c.d.Test()
		if err != nil {
			t.Error(err)
			continue
		}
		if c.d.Name != c.name || string(train.Pixels) != c.train || string(test.Pixels) != c.test ||
			train.Label(0) != c.label || len(c.d.Classes) != 4 || c.d.Published() {
			t.Errorf("%s: %q and %q, the first is %s of %q", c.d.Name, train.Pixels, test.Pixels, train.Label(0), c.d.Classes)
		}
		if height := 2; c.d.Height != height || c.d.Width != 3 || c.d.Channels != 1 {
			t.Errorf("%s: %d×%d×%d", c.d.Name, c.d.Height, c.d.Width, c.d.Channels)
		}
	}
}

func TestIDXRefuses(t *testing.T) {
	plain := func(content string) string { return content }
	folder := func(change func(dir string)) string {
		dir := t.TempDir()
		putIDX(t, dir, "", "t10k", "", plain)
		change(dir)
		return dir
	}
	for want, dir := range map[string]string{
		"no such file or directory":                               "/missing/folder/files",
		"no folder of files as MNIST has them is named":           "",
		"has no files as MNIST has them: train-images-idx3-ubyte": t.TempDir(),
		`has no file of the test labels of ""`: folder(func(dir string) {
			os.Remove(filepath.Join(dir, "t10k-labels-idx1-ubyte"))
		}),
		`the files of several data sets: add how the names of one begin, emnist-letters- or kmnist-`: folder(func(dir string) {
			for _, name := range origintest.List(t, dir) {
				os.Remove(filepath.Join(dir, name))
			}
			putIDX(t, dir, "emnist-letters-", "test", "", plain)
			putIDX(t, dir, "kmnist-", "t10k", "", plain)
		}),
		"train-images-idx3-ubyte: not an IDX file of bytes": folder(func(dir string) {
			origintest.Put(t, dir, "train-images-idx3-ubyte", "<html>")
		}),
		"train-images-idx3-ubyte: it does not have the dimensions of pictures": folder(func(dir string) {
			origintest.Put(t, dir, "train-images-idx3-ubyte", idxOf([]byte{1, 2}, 2))
		}),
		"an IDX file of dimensions [2 2 3] has 13 values": folder(func(dir string) {
			origintest.Put(t, dir, "train-images-idx3-ubyte", idxOf([]byte("abcdefghijklm"), 2, 2, 3))
		}),
		"t10k-images-idx3-ubyte: it has dimensions [1 3 2], not those of images of 2 × 3 pixels": folder(func(dir string) {
			origintest.Put(t, dir, "t10k-images-idx3-ubyte", idxOf([]byte("uvwxyz"), 1, 3, 2))
		}),
		"t10k-labels-idx1-ubyte.gz: gzip: invalid header": folder(func(dir string) {
			os.Remove(filepath.Join(dir, "t10k-labels-idx1-ubyte"))
			origintest.Put(t, dir, "t10k-labels-idx1-ubyte.gz", "not packed, at all")
		}),
		"training image 0 of": folder(func(dir string) {
			origintest.Put(t, dir, "train-labels-idx1-ubyte", idxOf([]byte{9, 1}, 2))
		}),
	} {
		d := IDX(dir)
		if strings.HasPrefix(want, "training image") {
			d = IDX(dir, "zero", "one", "two", "three")
		}
		_, err := d.Train()
		origintest.CheckError(t, err, want)
	}
}

func TestTransposed(t *testing.T) {
	stored := "###" + "..#" + "..#" // an L, column after column
	if got, want := string(transposed([]byte(stored), 3, 3)), "#.."+"#.."+"###"; got != want {
		t.Errorf("%s has become %s, want %s", stored, got, want)
	}
}

// Fashion-MNIST as its authors describe it: as many of each class, and the mean and deviation by which it is normalised
// everywhere. The first picture is a boot.
func TestFashionMNIST(t *testing.T) {
	cache, err := origin.Cache()
	if err != nil {
		t.Skip(err)
	}
	for _, f := range fashionMNIST.Files {
		if _, err := os.Stat(filepath.Join(cache, fashionMNIST.Folder, f.Name)); err != nil {
			t.Skip("Fashion-MNIST is not in the cache: go run ./cmd/fetch fashion-mnist")
		}
	}
	t.Setenv(origin.FolderEnv, cache) // nothing there is ever written, and nothing fetched instead
	for _, c := range []struct {
		open  func() (*Split, error)
		count int // of each class
	}{{FashionMNIST().Train, 6000}, {FashionMNIST().Test, 1000}} {
		s, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		counts := make([]int, 10)
		for _, label := range s.Labels {
			counts[label]++
		}
		if !slices.Equal(counts, slices.Repeat([]int{c.count}, 10)) || s.Label(0) != "boot" {
			t.Errorf("%v of each class, the first is of %s", counts, s.Label(0))
		}
		if c.count != 6000 {
			continue
		}
		var sum, squares float64
		for _, p := range s.Pixels {
			sum, squares = sum+float64(p)/255, squares+float64(p)*float64(p)/255/255
		}
		n := float64(len(s.Pixels))
		mean, std := sum/n, math.Sqrt(squares/n-sum/n*sum/n)
		if math.Abs(mean-0.2860) > 0.00005 || math.Abs(std-0.3530) > 0.00005 {
			t.Errorf("mean %.4f and std %.4f, want 0.2860 and 0.3530", mean, std)
		}
	}
}

func TestFashionMNISTFromTheUsersFolder(t *testing.T) {
	cache, _ := origintest.Isolate(t)
	own := t.TempDir()
	t.Setenv(origin.FolderEnv, own)
	putIDX(t, filepath.Join(own, "FashionMNIST", "raw"), "", "t10k", ".gz", gzipped)
	_, err := FashionMNIST().Train() // of other pictures
	want := fmt.Sprintf("Fashion-MNIST from %s: %s: what arrived as train-images-idx3-ubyte is not it", origin.FolderEnv,
		filepath.Join(own, "FashionMNIST", "raw", "train-images-idx3-ubyte.gz"))
	origintest.CheckError(t, err, want)
	if left := origintest.List(t, filepath.Join(cache, "fashion-mnist")); !slices.Equal(left, []string{".lock"}) {
		t.Errorf("left behind: %q", left)
	}
}
