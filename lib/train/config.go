// Package train trains networks, keeps their runs on disk, and answers with them.
//
// A run is named by what decides its result: the network, the data, the settings and the seed. Fit with settings that
// were used before returns the stored run at once; a run that was interrupted goes on where it stood.
package train

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"example.org/convbook/lib/dataset"
)

// Config is how to train.
type Config struct {
	Epochs    int       // passes over the training images
	Batch     int       // images per step
	Loss      Loss      // what to make small; CrossEntropy if not set
	Optimizer Optimizer // how to follow the gradient
	Schedule  Schedule  // how the learning rate changes; Constant if not set
	Seed      int       // decides the initial weights, the order of the images and everything else that is random

	// What follows does not change the result.

	TestBatch int               // images at a time in a test; 250 if not set, whose feature maps a processor's cache holds
	LogEvery  int               // steps between two lines of progress; 100 if not set
	Line      func(Step) string // a line of progress; Step.String if not set
	Out       io.Writer         // where the progress goes; os.Stdout if not set
	SaveEvery time.Duration     // time between checkpoints, which is the work at stake; a minute if not set
	Fresh     bool              // train again even if the run is stored, which stays in its place until then
}

// Step is where a training stands after one of its steps.
type Step struct {
	Epoch, Epochs int     // which pass over the training images, from 1, and of how many
	Batch         int     // which batch of the epoch, from 0
	Batches       int     // batches in an epoch
	Seen, Images  int     // training images of this epoch before the batch, and in all
	Loss          float64 // the batch's mean loss, before the step
}

// String is a line in the notes' form.
func (s Step) String() string {
	line := fmt.Sprintf("Train: [%d/%d (%.0f%%)]\tLoss: %.6f", s.Seen, s.Images, 100*float64(s.Batch)/float64(s.Batches), s.Loss)
	if s.Epochs > 1 {
		line = fmt.Sprintf("Epoch %d/%d  %s", s.Epoch, s.Epochs, line)
	}
	return line
}

// withDefaults fills in what is not set.
func (c Config) withDefaults() Config {
	if c.Loss.each == nil {
		c.Loss = CrossEntropy
	}
	if c.Schedule.factor == nil {
		c.Schedule = Constant()
	}
	if c.TestBatch == 0 {
		c.TestBatch = 250
	}
	if c.LogEvery == 0 {
		c.LogEvery = 100
	}
	if c.SaveEvery == 0 {
		c.SaveEvery = time.Minute
	}
	if c.Line == nil {
		c.Line = Step.String
	}
	if c.Out == nil {
		c.Out = os.Stdout
	}
	return c
}

// check finds settings that cannot work, each in one line that says what would.
func (c Config) check() error {
	switch {
	case c.Epochs < 1:
		return fmt.Errorf("epochs is %d: it must be at least 1", c.Epochs)
	case c.Batch < 1:
		return fmt.Errorf("batch is %d: it must be at least 1", c.Batch)
	case c.TestBatch < 1:
		return fmt.Errorf("test batch is %d: it must be at least 1", c.TestBatch)
	case c.LogEvery < 1:
		return fmt.Errorf("progress every %d steps: it must be at least 1", c.LogEvery)
	case c.SaveEvery < 0:
		return fmt.Errorf("a checkpoint every %v: it must be more than 0", c.SaveEvery)
	case c.Optimizer.update == nil:
		return errors.New("no optimizer: set one, such as train.SGD(0.01, 0.5)")
	}
	return cmp.Or(c.Loss.check(), c.Optimizer.check(), c.Schedule.invalid)
}

// key describes what of the settings decides the result.
func (c Config) key() string {
	key := fmt.Sprintf("%d epochs, batches of %d, %s, %s, ", c.Epochs, c.Batch, c.Loss.name, c.Optimizer)
	if c.Schedule.name != "" {
		key += c.Schedule.name + ", "
	}
	return key + fmt.Sprintf("seed %d", c.Seed)
}

// checkData makes sure that the settings and the network fit the data.
func (c Config) checkData(data dataset.Images, train *dataset.Split, network string, output []int) error {
	if c.Batch > train.Len() {
		return fmt.Errorf("batch is %d, more than the %d training images of %s: make it smaller", c.Batch, train.Len(), data.Name)
	}
	if len(output) != 1 || output[0] != len(data.Classes) {
		return fmt.Errorf("%s gives %v values for an image, but %s has %d classes: end the network with nn.Dense(%d)",
			network, output, data.Name, len(data.Classes), len(data.Classes))
	}
	return nil
}
