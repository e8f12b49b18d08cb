package train

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
)

// program is a compiled graph that reads the store's variables and may change them.
//
// Training and testing are each one program with a loop inside, so that many steps run in one call: the data set stays
// on the device, nothing comes back to the host but losses and outputs, and a batch costs no call of its own. A small
// network's epoch takes less than half the time that a call for each step takes.
type program struct {
	graph   *graph.Graph
	vars    []*model.Variable // the graph's first parameters
	changes bool              // whether the graph's first results are the variables' new values
}

// newProgram builds a graph whose parameters are the variables and then the inputs. Layers behave in it as they do in
// training or as in testing; the variables change or keep their values.
func newProgram(backend compute.Backend, store *model.Store, name string, training, changes bool, inputs []shapes.Shape,
	build func(g *graph.Graph, vars []*model.Variable, inputs []*graph.Node) (outputs []*graph.Node)) (*program, error) {
	p := &program{graph: graph.NewGraph(backend, name), changes: changes}
	err := exceptions.TryCatch[error](func() {
		model.SetStore(p.graph, store)
		store.SetTraining(p.graph, training)
		for v := range store.IterVariables() {
			p.vars = append(p.vars, v)
			v.NodeValue(p.graph) // makes it a parameter
		}
		var nodes []*graph.Node
		for i, shape := range inputs {
			nodes = append(nodes, graph.Parameter(p.graph, fmt.Sprintf("input%d", i), shape))
		}
		outputs := build(p.graph, p.vars, nodes)
		if changes {
			var changed []*graph.Node
			for _, v := range p.vars {
				changed = append(changed, v.NodeValue(p.graph))
			}
			outputs = append(changed, outputs...)
		}
		if err := p.graph.Compile(outputs...); err != nil {
			panic(err)
		}
	})
	if err != nil {
		return nil, oneLine(err)
	}
	return p, nil
}

// temporary is an input that only one run needs.
type temporary struct{ *tensors.Tensor }

// run executes the program on the variables' values and the inputs: tensors, which stay, or temporary ones, or Go values.
//
// An interrupt ends it after some patience, with ErrInterrupted and the variables as they were. Where the program changes
// them, that takes memory for their old and their new values at once, so it is only done for a run that is said to be
// long; a short one takes the variables' memory for the new values and is waited for.
func (p *program) run(ctx context.Context, long bool, inputs ...any) ([]*tensors.Tensor, error) {
	if ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	var buffers []compute.Buffer
	var donate []bool
	err := exceptions.TryCatch[error](func() {
		backend := p.graph.Backend()
		add := func(t *tensors.Tensor, give bool) {
			take := t.Buffer
			if give {
				take = t.DonateBuffer
			}
			buffer, err := take(backend, 0)
			if err != nil {
				panic(err)
			}
			buffers, donate = append(buffers, buffer), append(donate, give)
		}
		for _, v := range p.vars {
			give := p.changes && !long
			add(v.MustValue(), give)
			if give {
				if err := v.Reset(); err != nil {
					panic(err)
				}
			}
		}
		for _, input := range inputs {
			switch input := input.(type) {
			case *tensors.Tensor:
				add(input, false)
			case temporary:
				add(input.Tensor, true)
			default:
				add(tensors.MustFromAnyValue(input), true)
			}
		}
	})
	if err != nil {
		return nil, oneLine(err)
	}
	execute := func() (outputs []*tensors.Tensor, err error) {
		err = exceptions.TryCatch[error](func() { outputs = p.graph.RunWithBuffers(buffers, donate, 0) })
		if err != nil {
			return nil, oneLine(err)
		}
		return outputs, nil
	}
	var outputs []*tensors.Tensor
	if p.changes && !long {
		outputs, err = execute()
	} else {
		outputs, err = attend(ctx, execute)
	}
	if err != nil || !p.changes {
		return outputs, err
	}
	for i, v := range p.vars {
		if err := v.SetValue(outputs[i]); err != nil {
			return nil, oneLine(err)
		}
	}
	return outputs[len(p.vars):], nil
}

// repeat adds a loop of n rounds. Each round's body gets its number, from 0, the changing nodes as the round before left
// them, and the fixed ones, and returns the changed ones. Variables keep their values from round to round, too.
//
// GoMLX's closures cannot use nodes from outside, so that everything comes in as the loop's state; and the graph shares
// one node for equal scalars, so nothing outside of the body may make one before.
func repeat(once bool, n *graph.Node, vars []*model.Variable, changing, fixed []*graph.Node,
	body func(i *graph.Node, changing, fixed []*graph.Node) []*graph.Node) []*graph.Node {
	g := n.Graph()
	if once {
		return body(graph.Const(g, int32(0)), changing, fixed)
	}
	state := []*graph.Node{graph.Const(g, int32(0)), n}
	for _, v := range vars {
		state = append(state, v.NodeValue(g))
	}
	state = append(append(state, changing...), fixed...)
	parameters := func() (ps []*graph.Node) {
		for i, node := range state {
			ps = append(ps, graph.Parameter(g, fmt.Sprintf("state%d", i), node.Shape()))
		}
		return ps
	}
	more := graph.NewClosure(g, func(*graph.Graph) []*graph.Node {
		ps := parameters()
		return []*graph.Node{graph.LessThan(ps[0], ps[1])}
	})
	round := graph.NewClosure(g, func(*graph.Graph) []*graph.Node {
		ps := parameters()
		for i, v := range vars {
			v.SetNodeValue(ps[2+i])
		}
		rest := ps[2+len(vars):]
		changed := body(ps[0], rest[:len(changing)], rest[len(changing):])
		next := []*graph.Node{graph.AddScalar(ps[0], 1), ps[1]}
		for _, v := range vars {
			next = append(next, v.NodeValue(g))
		}
		return append(append(next, changed...), rest[len(changing):]...)
	})
	after := graph.While(more, round, state...)
	for i, v := range vars {
		v.SetNodeValue(after[2+i])
	}
	return after[2+len(vars):][:len(changing)]
}

// deviceSplit is a split of a data set on the device, as bytes.
type deviceSplit struct {
	pixels, labels *tensors.Tensor
}

func upload(backend compute.Backend, data dataset.Images, split *dataset.Split) (d deviceSplit, err error) {
	pixels := shapes.Make(dtypes.Uint8, split.Len(), data.Height, data.Width, data.Channels)
	if d.pixels, err = tensors.FromRaw(backend, 0, pixels, split.Pixels); err != nil {
		return d, oneLine(err)
	}
	if d.labels, err = tensors.FromRaw(backend, 0, shapes.Make(dtypes.Uint8, split.Len()), split.Labels); err != nil {
		return d, oneLine(err)
	}
	return d, nil
}

// take picks images by their indices: uint8 [n, height, width, channels], uint8 [n] and int32 [batch] →
// uint8 [batch, height, width, channels] and int32 [batch].
func take(pixels, labels, indices *graph.Node) (*graph.Node, *graph.Node) {
	indices = graph.ExpandAxes(indices, -1)
	return graph.Gather(pixels, indices), graph.ConvertDType(graph.Gather(labels, indices), dtypes.Int32)
}

// trainer is the program that trains.
type trainer struct {
	*program
	train    deviceSplit
	batch    int
	capacity int // steps that one call can do
	numbers  int // random numbers of an image
	scalars  int // numbers that the optimizer needs for a step
}

// newTrainer compiles the program that does up to capacity steps of training in one call.
func newTrainer(backend compute.Backend, store *model.Store, net nn.Layer, data dataset.Images, c Config, split deviceSplit, capacity int) (*trainer, error) {
	optimized := optimizedOf(store)
	scalars := len(c.Optimizer.stepScalars(1, 1))
	inputs := []shapes.Shape{
		split.pixels.Shape(), split.labels.Shape(),
		shapes.Make(dtypes.Int32, capacity*c.Batch),                         // the images to use, in order
		shapes.Make(dtypes.Int32),                                           // how many of them count
		shapes.Make(dtypes.Int32),                                           // steps to do
		shapes.Make(dtypes.Float32, capacity*c.Batch, data.RandomNumbers()), // each image's random numbers
		shapes.Make(dtypes.Uint64, capacity, randomState),                   // where each step's random generator starts
		shapes.Make(dtypes.Float32, capacity, scalars),                      // what the optimizer needs for each step
		shapes.Make(dtypes.Float32, capacity),                               // where each step's loss goes
	}
	p, err := newProgram(backend, store, "train "+nn.Name(net), true, true, inputs,
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) []*graph.Node {
			pixels, labels, order, count, steps, random, states, scalars, losses := in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], in[8]
			return repeat(capacity == 1, steps, vars, []*graph.Node{losses}, []*graph.Node{pixels, labels, order, count, random, states, scalars},
				func(i *graph.Node, changing, fixed []*graph.Node) []*graph.Node {
					pixels, labels, order, count, random, states, scalars := fixed[0], fixed[1], fixed[2], fixed[3], fixed[4], fixed[5], fixed[6]
					first := graph.MulScalar(i, c.Batch)
					images, wanted := take(pixels, labels, rows(order, first, c.Batch))
					// An epoch's last batch may be short. It is filled up with other images, which do not count.
					position := graph.Add(first, graph.Iota(g, shapes.Make(dtypes.Int32, c.Batch), 0))
					counts := graph.ConvertDType(graph.LessThan(position, count), dtypes.Float32)
					if split.pixels.Shape().Dim(0)%c.Batch != 0 {
						nn.SetCounted(counts)
					}

					nn.SetRandom(graph.Reshape(rows(states, i, 1), randomState))
					outputs := nn.Apply(store.RootScope(), net, data.Augmented(images, rows(random, first, c.Batch)))
					each := c.Loss.train(outputs, wanted)
					for _, guess := range nn.Guesses(outputs.Graph()) {
						each = graph.Add(each, graph.MulScalar(c.Loss.train(guess.Output, wanted), guess.Weight))
					}
					loss := graph.Div(graph.ReduceAllSum(graph.Mul(each, counts)), graph.ReduceAllSum(counts))
					optimized.step(c.Optimizer, loss, rows(scalars, i, 1))
					return []*graph.Node{graph.DynamicUpdateSlice(changing[0], graph.Reshape(loss, 1), []*graph.Node{i})}
				})
		})
	if err != nil {
		return nil, err
	}
	return &trainer{p, split, c.Batch, capacity, data.RandomNumbers(), scalars}, nil
}

// rows takes n rows of an array, from the given one on.
func rows(x, first *graph.Node, n int) *graph.Node {
	from, sizes := []*graph.Node{first}, x.Shape().Clone().Dimensions
	for range x.Rank() - 1 {
		from = append(from, graph.ScalarZero(x.Graph(), dtypes.Int32))
	}
	sizes[0] = n
	return graph.DynamicSlice(x, from, sizes)
}

// randomState is how many numbers a random generator's state has in GoMLX.
const randomState = 3

// steps trains on the images of order, which may end in a short batch, with their random numbers, the state of the random
// generator and what the optimizer needs for the i-th step, and returns the loss of each step before it.
//
// A short batch is filled up with its own images again, so whatever a layer does with them depends on nothing but the
// step. See program.run for what long means.
func (t *trainer) steps(ctx context.Context, long bool, order []int32, random []float32,
	state func(i int) [randomState]uint64, scalars func(i int) []float64) ([]float32, error) {
	n := (len(order) + t.batch - 1) / t.batch
	images := make([]int32, t.capacity*t.batch)
	numbers := make([]float32, len(images)*t.numbers)
	copy(images, order)
	copy(numbers, random)
	short := len(order) % t.batch
	for i := len(order); short > 0 && i < n*t.batch; i++ {
		images[i] = images[i-short]
		copy(numbers[i*t.numbers:], numbers[(i-short)*t.numbers:][:t.numbers])
	}
	var settings []float32
	var states []uint64
	for i := range t.capacity {
		s := state(min(i, n-1))
		states = append(states, s[:]...)
		for _, v := range scalars(min(i, n-1)) {
			settings = append(settings, float32(v))
		}
	}
	outputs, err := t.run(ctx, long, t.train.pixels, t.train.labels, images, int32(len(order)), int32(n),
		temporary{tensors.FromFlatDataAndDimensions(numbers, len(images), t.numbers)},
		temporary{tensors.FromFlatDataAndDimensions(states, t.capacity, randomState)},
		temporary{tensors.FromFlatDataAndDimensions(settings, t.capacity, t.scalars)}, make([]float32, t.capacity))
	if err != nil {
		return nil, err
	}
	losses, err := tensors.CopyFlatData[float32](outputs[0])
	return losses[:n], err
}

// slot names the i-th variable that the optimizer keeps for the parameter at path.
func slot(i int, path string) string { return fmt.Sprintf("/optimizer/%d%s", i, path) }

// addSlots creates the optimizer's own variables.
func addSlots(store *model.Store, o Optimizer) {
	for _, v := range optimizedOf(store) {
		for i := range o.ruleFor(v.Name(), v.Shape().Dimensions).slots {
			store.VariableWithValue(slot(i, v.Path()), tensors.FromShape(v.Shape())).SetTrainable(false)
		}
	}
}

// optimized are the variables that training changes by their gradients.
type optimized []*model.Variable

func optimizedOf(store *model.Store) (vs optimized) {
	for v := range store.IterVariables() {
		if v.Trainable {
			vs = append(vs, v)
		}
	}
	return vs
}

// step changes the variables in the loss's graph by their gradients. The optimizer's scalars are in one row.
func (vs optimized) step(o Optimizer, loss, row *graph.Node) {
	var nodes []*graph.Node
	for _, v := range vs {
		nodes = append(nodes, v.NodeValue(loss))
	}
	var scalars []*graph.Node
	for i := range row.Shape().Size() {
		scalars = append(scalars, graph.Reshape(graph.Slice(row, graph.AxisRange(), graph.AxisElem(i))))
	}
	gradients := graph.Gradient(loss, nodes...)
	store := model.GetStore(loss)
	for i, v := range vs {
		p := parameter{value: nodes[i], gradient: gradients[i], kind: v.Name()}
		var kept []*model.Variable
		for k := range o.ruleFor(p.kind, v.Shape().Dimensions).slots {
			kept = append(kept, store.GetVariable(slot(k, v.Path())))
			p.slots = append(p.slots, kept[k].NodeValue(loss))
		}
		value, slots := o.apply(scalars, p)
		v.SetNodeValue(value)
		for k := range kept {
			kept[k].SetNodeValue(slots[k])
		}
	}
}

// tester is the program that applies the network to every image of a split.
type tester struct {
	*program
	split   deviceSplit
	images  int
	rounds  int
	outputs int
	batch   int
}

// look is a way to test.
type look struct {
	batch    int  // images at a time
	flips    bool // the outputs are the means of those for the image and for its mirror image
	training bool // layers behave as they do in training
}

// newTester compiles the program that gets the outputs and the loss of each image of a split.
func newTester(backend compute.Backend, store *model.Store, net nn.Layer, data dataset.Images, c Config, split deviceSplit, look look) (*tester, error) {
	images, classes := split.labels.Shape().Size(), len(data.Classes)
	batch := min(look.batch, images)
	t := &tester{split: split, images: images, rounds: (images + batch - 1) / batch, outputs: classes, batch: batch}
	inputs := []shapes.Shape{
		split.pixels.Shape(), split.labels.Shape(),
		shapes.Make(dtypes.Int32), // batches to do
		shapes.Make(dtypes.Float32, t.rounds*batch, classes),
		shapes.Make(dtypes.Float32, t.rounds*batch),
	}
	var err error
	t.program, err = newProgram(backend, store, "test "+nn.Name(net), look.training, false, inputs,
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) []*graph.Node {
			pixels, labels, rounds, outputs, losses := in[0], in[1], in[2], in[3], in[4]
			return repeat(t.rounds == 1, rounds, vars, []*graph.Node{outputs, losses}, []*graph.Node{pixels, labels},
				func(i *graph.Node, changing, fixed []*graph.Node) []*graph.Node {
					first := graph.MulScalar(i, batch)
					indices := graph.Add(first, graph.Iota(g, shapes.Make(dtypes.Int32, batch), 0))
					indices = graph.MinScalar(indices, images-1) // a short last batch repeats the last image
					x, wanted := take(fixed[0], fixed[1], indices)
					if look.flips {
						x = graph.Concatenate([]*graph.Node{x, graph.Reverse(x, 2)}, 0)
					}
					if look.training { // dropout's numbers
						nn.SetRandom(graph.Const(g, make([]uint64, randomState)))
					}
					y := nn.Apply(store.RootScope(), net, data.Preprocess(x))
					if look.flips {
						y = graph.ReduceMean(graph.Reshape(y, 2, batch, classes), 0)
					}
					zero := graph.ScalarZero(g, dtypes.Int32)
					return []*graph.Node{
						graph.DynamicUpdateSlice(changing[0], y, []*graph.Node{first, zero}),
						graph.DynamicUpdateSlice(changing[1], c.Loss.test(y, wanted), []*graph.Node{first}),
					}
				})
		})
	return t, err
}

// test returns the outputs, [image × class], and the loss of each image.
func (t *tester) test(ctx context.Context) (outputs, losses []float32, err error) {
	rows := t.rounds * t.batch
	results, err := t.run(ctx, true, t.split.pixels, t.split.labels, int32(t.rounds),
		tensors.FromShape(shapes.Make(dtypes.Float32, rows, t.outputs)), make([]float32, rows))
	if err != nil {
		return nil, nil, err
	}
	if outputs, err = tensors.CopyFlatData[float32](results[0]); err != nil {
		return nil, nil, err
	}
	losses, err = tensors.CopyFlatData[float32](results[1])
	return outputs[:t.images*t.outputs], losses[:t.images], err
}

// oneLine drops the stack that GoMLX's errors carry.
func oneLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("%s", line)
}

// seconds is the time since start.
func seconds(start time.Time) float64 { return time.Since(start).Seconds() }
