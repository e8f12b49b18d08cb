package train

import (
	"context"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn"
)

// trainer is the program that trains.
type trainer struct {
	*program
	train    deviceSplit
	batch    int
	capacity int // steps that one call can do
	numbers  int // random numbers of an image
	rates    int // that parameters may have
}

// stepInputs are what the trainer's steps read, be it as shapes, as nodes of the graph or as values.
type stepInputs[T any] struct {
	pixels, labels T // the training images
	order          T // int32 [capacity·batch]: which of them to use, in order
	count          T // int32: how many of these count
	random         T // float32 [capacity·batch, numbers]: each image's random numbers
	states         T // uint64 [capacity, randomState]: where each step's random generator starts
	optimizer      T // float32 [capacity, rates·numbers]: what the optimizer needs for each step
}

// fields are the inputs in the program's order.
func (in *stepInputs[T]) fields() []*T {
	return []*T{&in.pixels, &in.labels, &in.order, &in.count, &in.random, &in.states, &in.optimizer}
}

// list are the values of fields, and fill sets them.
func list[T any](fields []*T) (values []T) {
	for _, field := range fields {
		values = append(values, *field)
	}
	return values
}

func fill[T any](fields []*T, values []T) {
	for i, field := range fields {
		*field = values[i]
	}
}

// randomState is how many numbers a random generator's state has in GoMLX.
const randomState = 3

// trainer compiles the program that does up to capacity steps of training in one call.
func (e *engine) trainer(split deviceSplit, capacity int) (*trainer, error) {
	inputs := stepInputs[shapes.Shape]{
		pixels: split.pixels.Shape(), labels: split.labels.Shape(),
		order:     shapes.Make(dtypes.Int32, capacity*e.Batch),
		count:     shapes.Make(dtypes.Int32),
		random:    shapes.Make(dtypes.Float32, capacity*e.Batch, e.Data.RandomNumbers()),
		states:    shapes.Make(dtypes.Uint64, capacity, randomState),
		optimizer: shapes.Make(dtypes.Float32, capacity, len(e.rates())*stepNumbersSize),
	}
	all := append([]shapes.Shape{
		shapes.Make(dtypes.Int32),             // steps to do
		shapes.Make(dtypes.Float32, capacity), // where each step's loss goes
	}, list(inputs.fields())...)
	p, err := e.program("train", mode{training: true, changes: true}, all,
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) []*graph.Node {
			steps, losses, fixed := in[0], in[1], in[2:]
			l := loop{changing: []*graph.Node{losses}, fixed: fixed, body: e.trainStep}
			if capacity == 1 {
				return l.once(g)
			}
			return l.repeat(steps, vars)
		})
	if err != nil {
		return nil, err
	}
	return &trainer{p, split, e.Batch, capacity, e.Data.RandomNumbers(), len(e.rates())}, nil
}

// trainStep is step i of a call: the body of the trainer's loop.
func (e *engine) trainStep(i *graph.Node, changing, fixed []*graph.Node) []*graph.Node {
	var in stepInputs[*graph.Node]
	fill(in.fields(), fixed)
	first := graph.MulScalar(i, e.Batch)
	images, wanted := take(in.pixels, in.labels, rows(in.order, first, e.Batch))
	// An epoch's last batch may be short. It is filled up with other images, which do not count.
	position := graph.Add(first, graph.Iota(i.Graph(), shapes.Make(dtypes.Int32, e.Batch), 0))
	counts := graph.ConvertDType(graph.LessThan(position, in.count), dtypes.Float32)
	if in.pixels.Shape().Dim(0)%e.Batch != 0 {
		nn.SetCounted(counts)
	}

	nn.SetRandom(graph.Reshape(rows(in.states, i, 1), randomState))
	outputs := nn.Apply(e.vars.RootScope(), e.Net, e.Data.Augmented(images, rows(in.random, first, e.Batch)))
	each := e.losses(outputs, wanted)
	loss := graph.Div(graph.ReduceAllSum(graph.Mul(each, counts)), graph.ReduceAllSum(counts))
	optimizedOf(e.vars).step(e.Optimizer, loss, rows(in.optimizer, i, 1), e.rateOf)
	return []*graph.Node{graph.DynamicUpdateSlice(changing[0], graph.Reshape(loss, 1), []*graph.Node{i})}
}

// losses are those of a batch's images in training, with what auxiliary classifiers add.
func (e *engine) losses(outputs, wanted *graph.Node) *graph.Node {
	each := e.Loss.train(outputs, wanted)
	for _, guess := range nn.Guesses(outputs.Graph()) {
		each = graph.Add(each, graph.MulScalar(e.Loss.train(guess.Output, wanted), guess.Weight))
	}
	return each
}

// portion is what one call of the trainer does.
type portion struct {
	order       []int32                               // the images to use, which may end in a short batch
	random      []float32                             // their random numbers
	state       func(step int) [randomState]uint64    // where the random generator of the portion's i-th step starts
	needs       func(step int) []stepNumbers[float64] // what the optimizer needs for it, for each of the rates
	interrupted interruption                          // what an interrupt does to it
}

// steps trains and returns the loss of each step before it.
//
// A short batch is filled up with its own images again, so whatever a layer does with them depends on nothing but the
// step.
func (t *trainer) steps(ctx context.Context, p portion) ([]float32, error) {
	n := (len(p.order) + t.batch - 1) / t.batch
	images := make([]int32, t.capacity*t.batch)
	numbers := make([]float32, len(images)*t.numbers)
	copy(images, p.order)
	copy(numbers, p.random)
	short := len(p.order) % t.batch
	for i := len(p.order); short > 0 && i < n*t.batch; i++ {
		images[i] = images[i-short]
		copy(numbers[i*t.numbers:], numbers[(i-short)*t.numbers:][:t.numbers])
	}
	var needs []float32
	var states []uint64
	for i := range t.capacity {
		state := p.state(min(i, n-1))
		states = append(states, state[:]...)
		for _, now := range p.needs(min(i, n-1)) {
			for _, v := range list(now.fields()) {
				needs = append(needs, float32(v))
			}
		}
	}
	in := stepInputs[any]{
		pixels: t.train.pixels, labels: t.train.labels, order: images, count: int32(len(p.order)),
		random:    temporary{tensors.FromFlatDataAndDimensions(numbers, len(images), t.numbers)},
		states:    temporary{tensors.FromFlatDataAndDimensions(states, t.capacity, randomState)},
		optimizer: temporary{tensors.FromFlatDataAndDimensions(needs, t.capacity, t.rates*stepNumbersSize)},
	}
	outputs, err := t.run(ctx, p.interrupted, append([]any{int32(n), make([]float32, t.capacity)}, list(in.fields())...)...)
	if err != nil {
		return nil, err
	}
	losses, err := tensors.CopyFlatData[float32](outputs[0])
	if err != nil {
		return nil, oneLine(err)
	}
	return losses[:n], nil
}
