// Package classify puts a trained network into a program: it opens a run, or a file that a run was exported to, and
// says what is in a picture.
//
//	c, err := classify.Open("digits.safetensors")
//	...
//	img, err := picture.Open("seven.png")
//	...
//	classes, err := c.Classify(img)
//	...
//	fmt.Println(classes[0].Name, classes[0].Probability)
//
// How a picture reaches the network, its size, its channels, what it is normalised by, and the names of the classes are
// stored with the network. The answers are those of the run's Test, except for rounding.
package classify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/gomlx/gomlx/ml/model"
	"golang.org/x/sync/semaphore"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/internal/text"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/picture"
	"example.org/convbook/lib/train"
)

// Classifier is a trained network that is ready for pictures. Its methods may be called by many goroutines at the same
// time; what they ask at the same time is computed together.
type Classifier struct {
	model   train.Model
	summary *nn.Summary
	program func() (*model.Exec, error) // opens the device at the first picture

	mutex   sync.Mutex // of what follows
	waiting []*question
	busy    bool // whether a goroutine answers what waits
}

// Class is a class with the probability that the network gives to it.
type Class struct {
	Name        string  `json:"name"`
	Probability float64 `json:"probability"`
}

// Open opens a trained network by the name of a file that Export wrote, or of a run: a name of the user's own, or the
// run's folder, or the beginning of its name, as [train.Find] has it.
//
// A network of a run with functions in it is code, which is not stored: it is opened with [New].
func Open(name string) (*Classifier, error) {
	m, err := Find(name)
	if err != nil {
		return nil, err
	}
	c, err := Of(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// Find is the network that Open opens, with its weights.
func Find(name string) (train.Model, error) {
	info, err := os.Stat(name)
	if filepath.Ext(name) == extension || err == nil && info.Mode().IsRegular() {
		return readFile(name)
	}
	stored, wrong := train.Find(name)
	switch {
	case wrong == nil:
		return stored.Model()
	case errors.Is(err, fs.ErrNotExist):
		wrong = fmt.Errorf("%q is no file, and %w", name, wrong)
	}
	return train.Model{}, wrong
}

// New makes a classifier of a run that this program has, whatever layers its network has.
func New(run *train.Run) (*Classifier, error) {
	m, err := run.Model()
	if err != nil {
		return nil, err
	}
	return Of(m)
}

// Of makes a classifier of a network whose weights come from somewhere else, such as those that package imagenet reads.
// They must fit together with pictures and classes.
func Of(m train.Model) (*Classifier, error) {
	if err := m.Input.Check(); err != nil {
		return nil, err
	}
	summary, err := nn.Summarize(m.Net, m.Input.Height, m.Input.Width, m.Input.Channels)
	if err != nil {
		return nil, err
	}
	if output := summary.Output; len(output) != 1 || output[0] != len(m.Input.Classes) {
		return nil, fmt.Errorf("%s gives %v values for a picture, but there are %d names of classes",
			summary.Network, output, len(m.Input.Classes))
	}
	for _, layer := range summary.Layers {
		if !moderate(layer.Output) {
			return nil, fmt.Errorf("%s cannot be computed: its layer %s gives %v values for a picture",
				summary.Network, layer.Path, layer.Output)
		}
	}
	for _, v := range summary.Variables {
		for _, value := range m.Weights[v.Name].Values {
			if math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
				return nil, fmt.Errorf("%s has the value %v in %s: with it, no answer means anything",
					summary.Network, value, v.Name)
			}
		}
	}
	store, err := summary.Store(m.Weights)
	if err != nil {
		return nil, err
	}
	c := &Classifier{model: m, summary: summary}
	c.program = sync.OnceValues(func() (*model.Exec, error) { return c.newProgram(store) })
	return c, nil
}

// moderate reports whether an array of these dimensions has a size that networks have. A file may ask for any.
func moderate(dims []int) bool {
	size := 1
	for _, dim := range dims {
		if dim < 1 || dim > 1<<28/size {
			return false
		}
		size *= dim
	}
	return true
}

// String is the network in a line.
func (c *Classifier) String() string {
	in := c.model.Input
	return fmt.Sprintf("%s, %d parameters: pictures of %d×%d×%d into %d classes", c.summary.Network,
		c.summary.Parameters(), in.Height, in.Width, in.Channels, len(in.Classes))
}

// Compile gets everything ready that the first pictures would otherwise wait for.
func (c *Classifier) Compile() error {
	for _, size := range sizes {
		blank := make([][]byte, size)
		for i := range blank {
			blank[i] = make([]byte, c.pictureBytes())
		}
		if _, err := c.ask(blank); err != nil {
			return err
		}
	}
	return nil
}

// Classify returns the classes with their probabilities for a picture of any size, the most probable first.
func (c *Classifier) Classify(img image.Image) ([]Class, error) {
	all, err := c.ClassifyAll([]image.Image{img})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// ClassifyAll is Classify for several pictures, which takes less time than one after another.
func (c *Classifier) ClassifyAll(images []image.Image) ([][]Class, error) {
	pixels := make([][]byte, len(images))
	for i, img := range images {
		pixels[i] = c.Pixels(img)
	}
	return c.ClassifyPixels(pixels)
}

// Pixels brings a picture to the network's size, as [picture.Frame.Pixels] does. [height, width, channels], in 0 to 255
func (c *Classifier) Pixels(img image.Image) []byte { return c.model.Input.Pixels(img) }

// decoders are those that are at work in this process: one a core, since a picture can take a lot of memory while it is
// decoded.
var decoders = semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))

// Decode is Pixels of the picture that [picture.Decode] reads. Of many at the same time, as many are decoded as there
// are cores, and the others wait.
func (c *Classifier) Decode(r io.Reader) ([]byte, error) {
	if err := decoders.Acquire(context.Background(), 1); err != nil {
		return nil, err
	}
	defer decoders.Release(1)
	img, err := picture.Decode(r)
	if err != nil {
		return nil, err
	}
	return c.Pixels(img), nil
}

// ClassifyPixels is ClassifyAll for what Pixels or Decode returned, or for the pixels of a data set's split.
func (c *Classifier) ClassifyPixels(pixels [][]byte) ([][]Class, error) {
	for _, bytes := range pixels {
		if len(bytes) != c.pictureBytes() {
			return nil, fmt.Errorf("a picture of %d bytes: %s takes %d",
				len(bytes), c.summary.Network, c.pictureBytes())
		}
	}
	outputs, err := c.ask(pixels)
	if err != nil {
		return nil, err
	}
	answers := make([][]Class, len(pixels))
	for i, row := range outputs {
		// A class may be impossible, but not all of them; a NaN is the largest of any.
		if top := float64(slices.Max(row)); math.IsNaN(top) || math.IsInf(top, 0) {
			return nil, fmt.Errorf("%s gives %v for a picture: its weights are of no use", c.summary.Network, top)
		}
		answers[i] = c.ranked(row)
	}
	return answers, nil
}

// pictureBytes is how many bytes a picture has for the network.
func (c *Classifier) pictureBytes() int {
	in := c.model.Input
	return in.Height * in.Width * in.Channels
}

// failed is an error of the device in a line.
func (c *Classifier) failed(err error) error {
	return fmt.Errorf("%s cannot be computed: %s", c.summary.Network, text.FirstLine(err))
}

// ranked names the outputs for a picture, the largest first, the first of equals.
func (c *Classifier) ranked(outputs []float32) []Class {
	p := train.Predictions{Outputs: array.New(outputs, 1, len(outputs))}
	classes := make([]Class, len(outputs))
	for i, probability := range p.Probabilities(0) {
		classes[i] = Class{c.model.Input.Classes[i], probability}
	}
	slices.SortStableFunc(classes, func(a, b Class) int { return cmp.Compare(b.Probability, a.Probability) })
	return classes
}
