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

	"example.org/convbook/lib/nn"
)

// Gradient is how much the loss changes with a variable.
type Gradient struct {
	Variable string  // its name, such as conv1/weights
	Size     float64 // the root of the mean of its values' squared gradients
}

// Gradients returns the gradient of the first batch's loss with respect to each weight of the network as it is before
// training, in the order of the layers: what the first step follows, with the same augmentations and the same values
// dropped.
func (t Task) Gradients() ([]Gradient, error) {
	ctx := context.Background()
	plan, err := t.plan(ctx)
	if err != nil {
		return nil, err
	}
	e, err := plan.untrained(ctx)
	if err != nil {
		return nil, err
	}
	split, err := e.upload(e.splits.train)
	if err != nil {
		return nil, err
	}
	order := shuffled(e.splits.train.Len(), e.Seed, 0)[:e.Batch]
	numbers := e.Data.RandomNumbers()
	random := tensors.FromFlatDataAndDimensions(e.Data.Random(order, e.Seed, 0), e.Batch, numbers)
	var names []string
	inputs := []shapes.Shape{split.pixels.Shape(), split.labels.Shape(), shapes.Make(dtypes.Int32, e.Batch), random.Shape(),
		shapes.Make(dtypes.Uint64, randomState)}
	p, err := e.program("gradients of", mode{training: true, changes: true}, inputs,
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) (sizes []*graph.Node) {
			images, wanted := take(in[0], in[1], in[2])
			nn.SetRandom(in[4])
			outputs := nn.Apply(e.vars.RootScope(), e.Net, e.Data.Augmented(images, in[3]))
			names, sizes = e.gradientSizes(graph.ReduceAllMean(e.losses(outputs, wanted)))
			return sizes
		})
	if err != nil {
		return nil, err
	}
	state := randomStateOf(e.Seed, 0)
	outputs, err := p.run(ctx, keeps, split.pixels, split.labels, order, random, state[:])
	if err != nil {
		return nil, err
	}
	var gradients []Gradient
	for i, output := range outputs {
		gradients = append(gradients, Gradient{names[i], math.Sqrt(float64(tensors.ToScalar[float32](output)))})
	}
	return gradients, nil
}

// gradientSizes are the means of the squared gradients of the loss with respect to each weight, with the weights'
// names.
func (e *engine) gradientSizes(loss *graph.Node) (names []string, sizes []*graph.Node) {
	var trainable []nn.Variable // of all kinds: batch norm works out its gradients together
	var values []*graph.Node
	for _, v := range e.summary.Variables {
		if v.Trainable {
			trainable = append(trainable, v)
			values = append(values, e.vars.GetVariable(nn.Path(v.Name)).NodeValue(loss))
		}
	}
	for i, gradient := range graph.Gradient(loss, values...) {
		if path.Base(trainable[i].Name) == weightsKind {
			names, sizes = append(names, trainable[i].Name), append(sizes, graph.ReduceAllMean(graph.Square(gradient)))
		}
	}
	return names, sizes
}
