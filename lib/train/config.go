package train

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Config is how to train.
type Config struct {
	Epochs    int       // passes over the training images
	Batch     int       // images per step
	Loss      Loss      // what to make small; CrossEntropy if not set
	Optimizer Optimizer // how to follow the gradient
	Schedule  Schedule  // how the learning rate changes; it does not if not set
	Precision Precision // of what convolutions multiply; Float32 if not set
	Seed      int       // decides the initial weights, the order of the images and everything else that is random

	// Keep says which epoch's weights the run has, those of the last one if not set. With BestEpoch it is the best one by
	// the validation images, which the data need then.
	Keep Keep

	// Patience is after how many epochs in a row without a better one, by the validation images, the training ends before
	// all epochs are done; 0: it does not. The schedule stays that of all epochs. Mostly it goes with Keep: BestEpoch.
	Patience int

	// What follows does not change the result, but TestBatch the last digit of a test's losses.

	TestBatch int           // images at a time in a test; 250 if not set, whose feature maps a processor's cache holds
	Progress  Progress      // how it is shown how the training goes; Lines(100) if not set
	SaveEvery time.Duration // time between checkpoints within an epoch, which is the work at stake; a minute if not set
	Fresh     bool          // train again even if the run is stored, which stays in its place until then

	perCall int // steps that one call of the device does at most, for tests; as many as its time allows if not set
}

// Precision is the type of the values that convolutions multiply, in training and in tests. Weights, sums and everything
// else are float32.
type Precision string

const (
	Float32 Precision = "" // 24 binary digits

	// BFloat16 has 8 binary digits and float32's range, and takes half the memory. PyTorch's autocast does the same on
	// processors. It wants a GPU, or a processor with AVX512-BF16.
	BFloat16 Precision = "bfloat16"
)

// withDefaults fills in what is not set.
func (c Config) withDefaults() Config {
	if c.Loss.each == nil && !c.Loss.own {
		c.Loss = CrossEntropy
	}
	if c.TestBatch == 0 {
		c.TestBatch = 250
	}
	if c.Progress == nil {
		c.Progress = Lines(100)
	}
	if c.SaveEvery == 0 {
		c.SaveEvery = time.Minute
	}
	if c.perCall == 0 {
		c.perCall = stepsPerCall
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
	case c.SaveEvery < 0:
		return fmt.Errorf("a checkpoint every %v: it must be more than 0", c.SaveEvery)
	case c.Precision != Float32 && c.Precision != BFloat16:
		return fmt.Errorf("precision is %q: it must be train.Float32 or train.BFloat16", c.Precision)
	case c.Optimizer.update == nil:
		return errors.New("no optimizer: set one, such as train.SGD(0.01, 0.5)")
	}
	if p, ok := c.Progress.(interface{ check() error }); ok {
		if err := p.check(); err != nil {
			return err
		}
	}
	return cmp.Or(c.Loss.check(), c.Optimizer.check(), c.Schedule.invalid)
}

// Recipe is the part of the settings that decides a run's result, as it is stored with the run. A run is identified by
// it, so the names in it never change, whatever String says, and a new field is left out where it has no value.
type Recipe struct {
	Epochs      int     `json:"epochs"`
	Batch       int     `json:"batch"`
	Loss        string  `json:"loss"`
	LossSum     string  `json:"loss_sum,omitempty"`  // of the operations of a LossFunc
	Smoothing   float64 `json:"smoothing,omitempty"` // the share of every label that is spread over all classes
	Optimizer   string  `json:"optimizer"`
	UpdateSum   string  `json:"update_sum,omitempty"` // of the operations of an OptimizerFunc
	Rate        float64 `json:"rate"`
	Momentum    float64 `json:"momentum,omitempty"`
	Turn        float64 `json:"turn,omitempty"`         // the rate of Muon's filters, if they keep their size
	Decay       float64 `json:"decay,omitempty"`        // weight decay: by which weights shrink, apart from their gradients
	WeightDecay float64 `json:"weight_decay,omitempty"` // of the L2 penalty, which is part of the gradients
	Clip        float64 `json:"clip,omitempty"`         // the norm that the gradients have at most
	Schedule    string  `json:"schedule,omitempty"`
	WarmUp      float64 `json:"warm_up,omitempty"`      // the share of the steps in which the rate rises
	ScheduleSum string  `json:"schedule_sum,omitempty"` // of the values of a ScheduleFunc
	Precision   string  `json:"precision,omitempty"`
	Keep        string  `json:"keep,omitempty"`     // which epoch's weights are kept, if not the last one's
	Patience    int     `json:"patience,omitempty"` // epochs without a better one after which training ends
	Seed        int     `json:"seed"`

	// Of a task that starts from another run, see Task.

	Freeze    []string `json:"freeze,omitempty"` // in alphabetical order
	StartRate float64  `json:"start_rate,omitempty"`
	StartLast bool     `json:"start_last,omitempty"` // whether the last layer is not new
}

func (c Config) recipe() Recipe {
	return Recipe{
		Epochs: c.Epochs, Batch: c.Batch, Seed: c.Seed,
		Loss: c.Loss.name, LossSum: c.Loss.sum, Smoothing: c.Loss.smoothing,
		Optimizer: c.Optimizer.name, UpdateSum: c.Optimizer.own, Rate: c.Optimizer.rate, Momentum: c.Optimizer.momentum, Turn: c.Optimizer.turn,
		Decay: c.Optimizer.decay, WeightDecay: c.Optimizer.weightDecay, Clip: c.Optimizer.clip,
		Schedule: c.Schedule.name, WarmUp: c.Schedule.warmUp, ScheduleSum: c.Schedule.sum, Precision: string(c.Precision),
		Keep: string(c.Keep), Patience: c.Patience,
	}
}

// String is the recipe for people, in one line.
func (r Recipe) String() string { return fmt.Sprintf("%s, seed %d", r.ButSeed(), r.Seed) }

// ButSeed is String without the seed: what trainings have in common that differ in nothing else.
func (r Recipe) ButSeed() string {
	parts := []string{fmt.Sprintf("%d epochs", r.Epochs), fmt.Sprintf("batches of %d", r.Batch), r.Loss}
	if r.Epochs == 1 {
		parts[0] = "1 epoch"
	}
	add := func(format string, value float64) {
		if value != 0 {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	add("labels smoothed by %v", r.Smoothing)
	parts = append(parts, r.Optimizer)
	add("momentum %v", r.Momentum)
	add("filters turn by %v", r.Turn)
	add("weight decay %v", r.Decay)
	add("L2 penalty %v", r.WeightDecay)
	add("gradients clipped to norm %v", r.Clip)
	add("learning rate %v", r.Rate)
	if r.Schedule != "" {
		parts = append(parts, r.Schedule)
	}
	add("warm-up %v", r.WarmUp)
	if r.Precision != "" {
		parts = append(parts, r.Precision)
	}
	if r.Keep != "" {
		parts = append(parts, r.Keep+" kept")
	}
	if r.Patience > 0 {
		parts = append(parts, fmt.Sprintf("patience %d", r.Patience))
	}
	if len(r.Freeze) > 0 {
		parts = append(parts, "frozen "+strings.Join(r.Freeze, " "))
	}
	add("start rate %v", r.StartRate)
	if r.StartLast {
		parts = append(parts, "last layer kept")
	}
	return strings.Join(parts, ", ")
}
