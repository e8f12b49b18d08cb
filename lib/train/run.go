package train

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train/internal/store"
)

// Run is a training, finished, with its network.
type Run struct {
	Task    Task // that was done
	Result  Result
	History History

	plan *plan
}

// Result is what a run says of itself in its result.json.
type Result struct {
	Network          string              `json:"network"` // its name
	Parameters       int                 `json:"parameters"`
	MACs             int                 `json:"macs"`
	Data             dataset.Description `json:"data"`
	TrainImages      int                 `json:"train_images"`
	ValidationImages int                 `json:"validation_images,omitempty"`
	TestImages       int                 `json:"test_images"`
	Recipe           Recipe              `json:"recipe"`
	TestLoss         float64             `json:"test_loss"`
	TestAccuracy     float64             `json:"test_accuracy"`   // percent
	TrainSeconds     float64             `json:"train_seconds"`   // without compiling and testing
	CompileSeconds   float64             `json:"compile_seconds"` // little where the programs were kept from before
	Device           string              `json:"device"`
	Versions         Versions            `json:"versions"`
	StartedAt        time.Time           `json:"started_at"`

	// Epoch is the one whose weights the run has and was tested with, from 1, if the task has Keep or Patience. The
	// seconds are those of the whole training.
	Epoch int `json:"epoch,omitempty"`

	// Those of the validation images, if there are any. Runs that an earlier version stored do not have them on disk.
	ValidationLoss     float64 `json:"validation_loss,omitempty"`
	ValidationAccuracy float64 `json:"validation_accuracy,omitempty"` // percent

	// Input is how another picture is shown to the network. Runs that an earlier version stored do not have it.
	Input dataset.Input `json:"input,omitzero"`
}

// Versions of what computed a run.
type Versions struct {
	Go    string `json:"go"`
	GoMLX string `json:"gomlx"`
	GoXLA string `json:"go_xla"`
}

// History is how a run went.
type History struct {
	Losses []float32      `json:"losses"` // of each step's batch, before the step
	Epochs []EpochHistory `json:"epochs"`
}

// EpochHistory is where a run stood after an epoch.
type EpochHistory struct {
	TrainLoss          float64 `json:"train_loss"` // mean over the epoch's steps, while they changed the network
	ValidationLoss     float64 `json:"validation_loss,omitempty"`
	ValidationAccuracy float64 `json:"validation_accuracy,omitempty"` // percent; 0 without a validation split
	TestLoss           float64 `json:"test_loss"`
	TestAccuracy       float64 `json:"test_accuracy"` // percent
	TrainSeconds       float64 `json:"train_seconds"` // since the start, without compiling and testing
}

// check refuses what is no finished run, such as the nil that a failed Fit returns.
func (r *Run) check() error {
	if r == nil || r.plan == nil {
		return errors.New("this is not a finished run: get one with Fit or Load")
	}
	return nil
}

// place is where the run is on disk, and nil for what is no finished run.
func (r *Run) place() *store.Run {
	if r.check() != nil {
		return nil
	}
	return r.plan.place
}

// Dir is the run's folder, and empty for what is no finished run.
func (r *Run) Dir() string {
	if r.check() != nil {
		return ""
	}
	return r.plan.place.Dir()
}

// training is what is told of a stored run's training.
func (r *Run) training() Training {
	s := r.Result
	return Training{
		Network: s.Network, Parameters: s.Parameters, MACs: s.MACs, Device: s.Device,
		Epochs: r.plan.Epochs, Batches: len(r.History.Losses) / len(r.History.Epochs), Batch: r.plan.Batch,
		Images: s.TrainImages, ValidationImages: s.ValidationImages, TestImages: s.TestImages, Stored: &s,
	}
}

// ended is what is told of its end.
func (r *Run) ended(about Training) Ended {
	epochs := r.History.Epochs
	kept := r.plan.kept(epochs)
	return Ended{Training: about, Done: len(epochs), Epoch: kept + 1, EpochHistory: epochs[kept]}
}

// Weights returns a variable of the trained network by its name, such as conv1/weights. Its dimensions are [kernel,
// kernel, channels, filters] of a convolution, [inputs, units] of a dense layer.
func (r *Run) Weights(name string) (array.Array, error) {
	if err := r.check(); err != nil {
		return array.Array{}, err
	}
	saved, err := r.plan.place.Tensors(store.Model)
	if err != nil {
		return array.Array{}, err
	}
	t, ok := saved[nn.Path(name)]
	if !ok {
		var names []string
		for _, v := range r.plan.summary.Variables {
			names = append(names, v.Name)
		}
		return array.Array{}, fmt.Errorf("%s has no variable %q: it has %s",
			r.plan.summary.Network, name, strings.Join(names, ", "))
	}
	return arrayOf(t)
}

// Test returns what the trained network gives for every test image.
func (r *Run) Test() (*Predictions, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	saved, err := r.plan.place.Tensors(store.Test)
	if err != nil {
		return nil, err
	}
	if err := r.plan.open(context.Background()); err != nil {
		return nil, err
	}
	p := &Predictions{Labels: r.plan.splits.test.Labels, Classes: r.plan.Data.Classes}
	outputs, err := saved["outputs"].Float32s()
	if err != nil {
		return nil, r.plan.place.Damaged("%s, outputs: %w", store.Test, err)
	}
	if p.Losses, err = saved["losses"].Float32s(); err != nil {
		return nil, r.plan.place.Damaged("%s, losses: %w", store.Test, err)
	}
	images, classes := len(p.Labels), len(p.Classes)
	if len(p.Losses) != images || len(outputs) != images*classes {
		return nil, r.plan.place.Damaged("%s has %d outputs and %d losses for %d test images of %d classes",
			store.Test, len(outputs), len(p.Losses), images, classes)
	}
	p.Outputs = array.New(outputs, images, classes)
	return p, nil
}

// TestOn returns what the trained network gives for every image of another split with pictures of the same kind, such as
// the validation or the training images: they are normalised as those of the run's data set, and none are changed at
// random. Classes of another data set are known by their names. It is computed anew each time.
func (r *Run) TestOn(split *dataset.Split) (*Predictions, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	e, err := r.plan.trained()
	if err != nil {
		return nil, err
	}
	tester, err := e.tester(split, look{batch: r.plan.TestBatch})
	if err != nil {
		return nil, err
	}
	return tester.test(context.Background())
}

// TestFlipped is Test with two looks at every image, at itself and at its mirror image: the outputs are the means of
// both.
func (r *Run) TestFlipped() (*Predictions, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return r.test(look{batch: r.plan.TestBatch, flips: true})
}

// TestAsInTraining is Test with a network that was not told that training is over: batch norm takes mean and variance
// from so many test images at a time, not the averages that training kept, and dropout drops. It is what PyTorch does
// where net.eval() is forgotten. A prediction then depends on which other images are in its batch.
func (r *Run) TestAsInTraining(batch int) (*Predictions, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if batch < 1 {
		return nil, fmt.Errorf("batch is %d: it must be at least 1", batch)
	}
	if err := r.plan.open(context.Background()); err != nil {
		return nil, err
	}
	if err := r.plan.checkNorms(r.plan.splits.test.Len(), batch, "test"); err != nil {
		return nil, err
	}
	return r.test(look{batch: batch, training: true})
}

// test looks at the test images in another way than the one whose predictions are stored.
func (r *Run) test(how look) (*Predictions, error) {
	e, err := r.plan.trained()
	if err != nil {
		return nil, err
	}
	if err := r.plan.open(context.Background()); err != nil {
		return nil, err
	}
	test := r.plan.splits.test
	whole := test.Len() - test.Len()%min(how.batch, test.Len())
	all := &Predictions{Outputs: array.New(nil, 0, len(e.Data.Classes)), Labels: test.Labels, Classes: e.Data.Classes}
	// The last batch may be short.
	for _, part := range []*dataset.Split{test.Part(0, whole), test.Part(whole, test.Len())} {
		if part.Len() == 0 {
			continue
		}
		tester, err := e.tester(part, how)
		if err != nil {
			return nil, err
		}
		p, err := tester.test(context.Background())
		if err != nil {
			return nil, err
		}
		all.Losses = append(all.Losses, p.Losses...)
		all.Outputs.Values = append(all.Outputs.Values, p.Outputs.Values...)
	}
	all.Outputs.Dims[0] = test.Len()
	return all, nil
}

// versions reads what this program was built from.
func versions() Versions {
	v := Versions{Go: strings.TrimPrefix(runtime.Version(), "go")}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			switch dep.Path {
			case "github.com/gomlx/gomlx":
				v.GoMLX = dep.Version
			case "github.com/gomlx/go-xla":
				v.GoXLA = dep.Version
			}
		}
	}
	return v
}
