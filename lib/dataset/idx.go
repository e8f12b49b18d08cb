package dataset

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// IDX is a data set in files as MNIST has them, of grey pictures: Fashion-MNIST, KMNIST, EMNIST or one of your own.
// Path is the folder with the four files, or the folder and how their names begin, if it has those of several data
// sets: /data/emnist/emnist-letters. Gzipped files need not be unpacked.
//
// A label is a number, and the class that it stands for is the one at that place in classes; without any, the numbers
// are the classes' names. The pictures of EMNIST, which the files' names tell, are stored column after column, and put
// right here (Cohen and others, "EMNIST: an extension of MNIST to handwritten letters", 2017).
//
// A run trained on it is identified by the pictures' contents. Check and whatever reads the pictures say what is wrong
// with the files.
func IDX(path string, classes ...string) Images {
	files, err := findIDX(path)
	if err != nil {
		return Images{Name: filepath.Base(path), err: err}
	}
	height, width, err := sizeOfIDX(files["training images"])
	if err == nil && len(classes) == 0 {
		classes, err = numbersOfIDX(files)
	}
	d := New(files["name"], classes, height, width, 1, func() (train, test *Split, err error) {
		if train, err = files.split("training", height, width); err == nil {
			test, err = files.split("test", height, width)
		}
		return train, test, err
	})
	d.err = err
	return d
}

// idxFiles are the paths of the four files by what they hold, and the data set's name.
type idxFiles map[string]string

// idxKinds is how the names of the four files end; EMNIST says test where MNIST says t10k.
var idxKinds = map[string]string{
	"train-images-idx3-ubyte": "training images", "train-labels-idx1-ubyte": "training labels",
	"t10k-images-idx3-ubyte": "test images", "t10k-labels-idx1-ubyte": "test labels",
	"test-images-idx3-ubyte": "test images", "test-labels-idx1-ubyte": "test labels",
}

// findIDX finds the four files.
func findIDX(path string) (idxFiles, error) {
	if path == "" {
		return nil, errors.New("no folder of files as MNIST has them is named")
	}
	folder, begin := path, ""
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		folder, begin = filepath.Split(path)
	}
	entries, err := os.ReadDir(filepath.Clean(folder))
	if err != nil {
		return nil, err
	}
	sets := map[string]idxFiles{} // by how the names begin
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".gz")
		for end, kind := range idxKinds {
			first, ok := strings.CutSuffix(name, end)
			if !ok || !strings.HasPrefix(name, begin) {
				continue
			}
			if sets[first] == nil {
				sets[first] = idxFiles{"name": strings.Trim(first, "-_. ")}
			}
			if sets[first][kind] == "" || name == entry.Name() { // the unpacked one of two
				sets[first][kind] = filepath.Join(folder, entry.Name())
			}
		}
	}
	var firsts []string
	for first := range sets {
		firsts = append(firsts, first)
	}
	slices.Sort(firsts)
	switch {
	case len(sets) == 0:
		return nil, fmt.Errorf("%s has no files as MNIST has them: train-images-idx3-ubyte, train-labels-idx1-ubyte, "+
			"t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, or these with .gz", path)
	case len(sets) > 1:
		return nil, fmt.Errorf("%s has the files of several data sets: add how the names of one begin, %s",
			path, strings.Join(firsts, " or "))
	}
	files := sets[firsts[0]]
	for _, kind := range []string{"training images", "training labels", "test images", "test labels"} {
		if files[kind] == "" {
			return nil, fmt.Errorf("%s has no file of the %s of %q", folder, kind, firsts[0])
		}
	}
	if files["name"] == "" {
		files["name"] = filepath.Base(filepath.Clean(folder))
	}
	return files, nil
}

// mostIDX is the most bytes of a file, unpacked. EMNIST's largest has 547 MB.
const mostIDX = 2 << 30

// readIDX reads a file, and unpacks it if its name says that it is packed. At most so many bytes are read.
func readIDX(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	in := io.Reader(file)
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	content, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}

// sizeOfIDX is the size of the pictures in a file.
func sizeOfIDX(path string) (height, width int, err error) {
	head, err := readIDX(path, 16)
	if err != nil {
		return 0, 0, err
	}
	dims, err := dimsOfIDX(head)
	if err == nil && (len(dims) != 3 || dims[1] < 1 || dims[2] < 1) {
		err = errors.New("it does not have the dimensions of pictures")
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	return dims[1], dims[2], nil
}

// numbersOfIDX are the numbers up to the largest label, as classes.
func numbersOfIDX(files idxFiles) (classes []string, err error) {
	for _, kind := range []string{"training labels", "test labels"} {
		file, err := readIDX(files[kind], mostIDX)
		if err != nil {
			return nil, err
		}
		_, labels, err := decodeIDX(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", files[kind], err)
		}
		for _, label := range labels {
			for len(classes) <= int(label) {
				classes = append(classes, strconv.Itoa(len(classes)))
			}
		}
	}
	return classes, nil
}

// split reads the images and labels of a split.
func (f idxFiles) split(what string, height, width int) (*Split, error) {
	imagesPath, labelsPath := f[what+" images"], f[what+" labels"]
	images, err := readIDX(imagesPath, mostIDX)
	if err != nil {
		return nil, err
	}
	labels, err := readIDX(labelsPath, mostIDX)
	if err != nil {
		return nil, err
	}
	s, err := splitOfIDX(imagesPath, labelsPath, [][]byte{images, labels}, height, width)
	if err == nil && strings.HasPrefix(filepath.Base(imagesPath), "emnist-") {
		s.Pixels = transposed(s.Pixels, height, width)
	}
	return s, err
}

// transposed are pictures of this size that are stored column after column.
func transposed(columns []byte, height, width int) []byte {
	rows := make([]byte, len(columns))
	for first := 0; first < len(rows); first += height * width {
		for p := range height * width {
			rows[first+p] = columns[first+p%width*height+p/width]
		}
	}
	return rows
}
