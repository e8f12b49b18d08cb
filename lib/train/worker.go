package train

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
)

// Worker trains a network a few steps at a time and keeps nothing on disk: for measurements. It runs the programs that
// Fit runs.
type Worker struct {
	t       *training
	testers map[string]*tester // by the sums of their splits: each Train of a data set returns another pointer
}

// Worker compiles the task's programs and puts the data on the device.
func (t Task) Worker() (*Worker, error) {
	ctx := context.Background()
	p, err := t.plan(ctx)
	if err != nil {
		return nil, err
	}
	e, err := p.untrained(ctx)
	if err != nil {
		return nil, err
	}
	about, err := p.training()
	if err != nil {
		return nil, err
	}
	w := &Worker{newTraining(e, about), map[string]*tester{}}
	if err := w.t.compile(ctx); err != nil {
		return nil, err
	}
	return w, w.t.needTesters(ctx)
}

// Batches is the number of steps in an epoch.
func (w *Worker) Batches() int { return w.t.about.Batches }

// Steps does n steps more of the training and returns the loss of each. Beyond the task's last epoch it goes on with the
// learning rate of the last step.
func (w *Worker) Steps(n int) (losses []float32, err error) {
	t := w.t
	for n > 0 {
		epoch, batch := t.at.Step/t.about.Batches, t.at.Step%t.about.Batches
		order := t.order(epoch)
		for n > 0 && batch < t.about.Batches {
			steps := min(n, t.about.Batches-batch, t.trainer.capacity)
			some, err := t.trainer.steps(context.Background(), t.portion(order, batch, steps))
			if err != nil {
				return nil, err
			}
			losses = append(losses, some...)
			t.at.Step, batch, n = t.at.Step+steps, batch+steps, n-steps
		}
	}
	return losses, nil
}

// Test applies the network as it is now to all test images.
func (w *Worker) Test() (*Predictions, error) { return w.t.tester.test(context.Background()) }

// TestOn is Test for another split with pictures of the same kind, such as the training images. The first time that it
// gets these pictures, it puts them on the device and compiles a program.
func (w *Worker) TestOn(split *dataset.Split) (*Predictions, error) {
	if split == nil {
		return nil, errNoSplit
	}
	split, err := split.For(w.t.engine.Data.Classes)
	if err != nil {
		return nil, err
	}
	sum := split.Sum()
	if w.testers[sum] == nil {
		tester, err := w.t.newTester(context.Background(), split)
		if err != nil {
			return nil, err
		}
		w.testers[sum] = tester
	}
	return w.testers[sum].test(context.Background())
}

// Order lists the images of the first n steps, or of the first epoch if that is shorter, in the order in which they are
// used.
func (w *Worker) Order(n int) []int32 {
	order := shuffled(w.t.about.Images, w.t.engine.Seed, 0)
	return order[:min(max(0, min(n, w.Batches()))*w.t.about.Batch, len(order))]
}

// Weights returns the network's variables as they are now, by their names.
func (w *Worker) Weights() (map[string]array.Array, error) {
	return w.t.engine.arrays(func(v nn.Variable) string { return nn.Path(v.Name) })
}

// Kept returns what the optimizer keeps under a name for each parameter, by the parameters' names: the velocity of SGD,
// the mean and the variance of Adam, the momentum of Muon's convolutions, and what an OptimizerFunc keeps. After the
// first step of SGD the velocity is the gradient.
func (w *Worker) Kept(name string) (map[string]array.Array, error) {
	optimizer := w.t.engine.Optimizer
	if names := optimizer.keptNames(); !slices.Contains(names, name) {
		return nil, fmt.Errorf("%s keeps no %q: it keeps %s", optimizer.name, name, strings.Join(names, ", "))
	}
	return w.t.engine.arrays(func(v nn.Variable) string { return keptPath(name, nn.Path(v.Name)) })
}
