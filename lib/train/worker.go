package train

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
)

// Worker trains a network a few steps at a time and keeps nothing on disk: for measurements. It runs the programs that
// Fit runs.
type Worker struct{ t *training }

// NewWorker compiles the programs and puts the data on the device.
func NewWorker(net nn.Layer, data dataset.Images, config Config) (*Worker, error) {
	ctx := context.Background()
	r, err := newRun(ctx, net, data, config)
	if err != nil {
		return nil, err
	}
	t, err := prepare(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := t.compile(ctx); err != nil {
		return nil, err
	}
	return &Worker{t}, t.needTester(ctx)
}

// CompileSeconds is how long both programs took to compile.
func (w *Worker) CompileSeconds() float64 { return w.t.at.CompileSeconds }

// Batches is the number of steps in an epoch.
func (w *Worker) Batches() int { return w.t.batches() }

// Steps does n steps more of the training and returns the loss of each.
func (w *Worker) Steps(n int) (losses []float32, err error) {
	t := w.t
	numbers := t.data.RandomNumbers()
	for n > 0 {
		epoch, batch := t.at.Step/t.batches(), t.at.Step%t.batches()
		order := epochOrder(t.images, t.config.Seed, epoch)
		random := t.data.Random(order, t.config.Seed, epoch)
		for n > 0 && batch < t.batches() {
			steps := min(n, t.batches()-batch, t.trainer.capacity)
			from, to := batch*t.config.Batch, min((batch+steps)*t.config.Batch, t.images)
			some, err := t.trainer.steps(context.Background(), false, order[from:to], random[from*numbers:to*numbers], t.randomState, t.scalars)
			if err != nil {
				return nil, err
			}
			losses = append(losses, some...)
			t.at.Step, batch, n = t.at.Step+steps, batch+steps, n-steps
		}
	}
	return losses, nil
}

// Test applies the network to all test images and returns the scores, [image × class].
func (w *Worker) Test() ([]float32, error) {
	outputs, _, err := w.t.tester.test(context.Background())
	return outputs, err
}

// Order lists the images of the first n steps, in the order in which they are used.
func (w *Worker) Order(n int) []int32 {
	return epochOrder(w.t.images, w.t.config.Seed, 0)[:n*w.t.config.Batch]
}

// Weights returns the network's variables as they are now, by their names.
func (w *Worker) Weights() (map[string]safetensors.Tensor, error) {
	return w.collect(func(v nn.Variable) string { return nn.Path(v.Name) })
}

// Kept returns the i-th array that the optimizer keeps for each parameter, by the parameters' names. After the first step
// of SGD with momentum it is the gradient.
func (w *Worker) Kept(i int) (map[string]safetensors.Tensor, error) {
	return w.collect(func(v nn.Variable) string {
		if !v.Trainable {
			return ""
		}
		return slot(i, nn.Path(v.Name))
	})
}

// collect reads what the store has at the path of each of the network's variables; none at an empty one.
func (w *Worker) collect(path func(v nn.Variable) string) (map[string]safetensors.Tensor, error) {
	all := map[string]safetensors.Tensor{}
	for _, v := range w.t.trace.Variables {
		at := path(v)
		if at == "" {
			continue
		}
		value, err := w.t.store.GetVariable(at).Value()
		if err != nil {
			return nil, err
		}
		values, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return nil, err
		}
		all[v.Name] = safetensors.Float32(values, v.Dims...)
	}
	return all, nil
}
