package train

import (
	"context"
	"math"
	"path"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
)

// Gradient is how much the loss changes with a variable.
type Gradient struct {
	Variable string  // its name, such as conv1/weights
	Size     float64 // the root of the mean of its values' squared gradients
}

// Gradients returns the gradient of the first batch's loss by each weight of the network as it is before training, in the
// order of the layers.
func Gradients(net nn.Layer, data dataset.Images, c Config) ([]Gradient, error) {
	ctx := context.Background()
	r, err := newRun(ctx, net, data, c)
	if err != nil {
		return nil, err
	}
	t, err := prepare(ctx, r)
	if err != nil {
		return nil, err
	}
	c, backend, store := r.config, t.backend, t.store
	split, err := upload(backend, data, r.trainSplit)
	if err != nil {
		return nil, err
	}
	var names []string
	p, err := newProgram(backend, store, "gradients of "+r.trace.Network, true, true,
		[]shapes.Shape{split.pixels.Shape(), split.labels.Shape(), shapes.Make(dtypes.Int32, c.Batch)},
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) (sizes []*graph.Node) {
			images, wanted := take(in[0], in[1], in[2])
			loss := graph.ReduceAllMean(c.Loss.train(nn.Apply(store.RootScope(), net, data.Preprocess(images)), wanted))
			var trainable []nn.Variable // of all kinds: batch norm works out its gradients together
			var values []*graph.Node
			for _, v := range r.trace.Variables {
				if v.Trainable {
					trainable, values = append(trainable, v), append(values, store.GetVariable(nn.Path(v.Name)).NodeValue(g))
				}
			}
			for i, gradient := range graph.Gradient(loss, values...) {
				if path.Base(trainable[i].Name) == weightsKind {
					names, sizes = append(names, trainable[i].Name), append(sizes, graph.ReduceAllMean(graph.Square(gradient)))
				}
			}
			return sizes
		})
	if err != nil {
		return nil, err
	}
	outputs, err := p.run(ctx, false, split.pixels, split.labels, epochOrder(t.images, c.Seed, 0)[:c.Batch])
	if err != nil {
		return nil, err
	}
	var gradients []Gradient
	for i, output := range outputs {
		gradients = append(gradients, Gradient{names[i], math.Sqrt(float64(tensors.ToScalar[float32](output)))})
	}
	return gradients, nil
}
