package classify

import (
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
)

// sizes are the batches for which a program is compiled when the first of them comes. What has another size is filled
// up to the next of these.
var sizes = []int{1, 8, 64}

// question is a picture that waits for its answer.
type question struct {
	pixels  []byte
	outputs []float32
	err     error
	done    chan struct{}
}

// ask returns the network's outputs for each of the pictures.
//
// One batch is computed at a time, which takes all cores. What comes meanwhile waits and goes together into the next
// one. So nobody waits for a batch to fill up, and batches grow with the load by themselves.
func (c *Classifier) ask(pictures [][]byte) ([][]float32, error) {
	questions := make([]*question, len(pictures))
	for i, pixels := range pictures {
		questions[i] = &question{pixels: pixels, done: make(chan struct{})}
	}
	c.mutex.Lock()
	c.waiting = append(c.waiting, questions...)
	if !c.busy {
		c.busy = true
		go c.answer()
	}
	c.mutex.Unlock()
	outputs := make([][]float32, len(pictures))
	for i, q := range questions {
		<-q.done
		if q.err != nil {
			return nil, q.err
		}
		outputs[i] = q.outputs
	}
	return outputs, nil
}

// answer answers what waits until there is nothing left.
func (c *Classifier) answer() {
	for {
		batch := c.next()
		if len(batch) == 0 {
			return
		}
		outputs, err := c.compute(batch)
		for i, q := range batch {
			if q.err = err; err == nil {
				classes := len(c.model.Input.Classes)
				q.outputs = outputs[i*classes : (i+1)*classes]
			}
			close(q.done)
		}
	}
}

// next takes the next batch out of what waits.
func (c *Classifier) next() []*question {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	n := min(len(c.waiting), sizes[len(sizes)-1])
	batch := slices.Clone(c.waiting[:n])
	c.waiting = slices.Delete(c.waiting, 0, n)
	c.busy = n > 0
	return batch
}

// compute returns the outputs for a batch, one picture after another.
func (c *Classifier) compute(batch []*question) ([]float32, error) {
	program, err := c.program()
	if err != nil {
		return nil, err
	}
	size := sizes[slices.IndexFunc(sizes, func(size int) bool { return size >= len(batch) })]
	pixels := make([]byte, size*c.pictureBytes())
	for i, q := range batch {
		copy(pixels[i*c.pictureBytes():], q.pixels)
	}
	shape := shapes.Make(dtypes.Uint8, size, c.model.Input.Height, c.model.Input.Width, c.model.Input.Channels)
	x, err := tensors.FromRaw(nil, 0, shape, pixels)
	if err != nil {
		return nil, c.failed(err)
	}
	defer x.FinalizeAll() // now, for the garbage collector does not see the device's memory
	results, err := program.Exec(x)
	if err != nil {
		return nil, c.failed(err)
	}
	defer results[0].FinalizeAll()
	outputs, err := tensors.CopyFlatData[float32](results[0])
	if err != nil {
		return nil, c.failed(err)
	}
	return outputs, nil
}

// newProgram applies the network to batches of pictures as bytes.
func (c *Classifier) newProgram(store *model.Store) (*model.Exec, error) {
	backend, err := device.Open()
	if err != nil {
		return nil, err
	}
	program, err := model.NewExec(backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		return nn.Apply(scope, c.model.Net, c.model.Input.Preprocess(x))
	})
	if err != nil {
		return nil, c.failed(err)
	}
	return program, nil
}
