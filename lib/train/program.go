package train

import (
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

// newProgram builds a graph whose parameters are the variables and then the inputs.
func newProgram(backend compute.Backend, store *model.Store, name string, training bool, inputs []shapes.Shape,
	build func(g *graph.Graph, vars []*model.Variable, inputs []*graph.Node) (outputs []*graph.Node)) (*program, error) {
	p := &program{graph: graph.NewGraph(backend, name), changes: training}
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
		if training {
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

// run executes the program on the variables' values and the inputs: tensors, which stay, or Go values.
func (p *program) run(inputs ...any) ([]*tensors.Tensor, error) {
	var outputs []*tensors.Tensor
	err := exceptions.TryCatch[error](func() {
		backend := p.graph.Backend()
		var buffers []compute.Buffer
		var donate []bool
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
			add(v.MustValue(), p.changes)
			if p.changes { // the memory is the program's now, for the new values
				if err := v.Reset(); err != nil {
					panic(err)
				}
			}
		}
		for _, input := range inputs {
			t, stays := input.(*tensors.Tensor)
			if !stays {
				t = tensors.MustFromAnyValue(input)
			}
			add(t, !stays)
		}
		outputs = p.graph.RunWithBuffers(buffers, donate, 0)
		if p.changes {
			for i, v := range p.vars {
				v.MustSetValue(outputs[i])
			}
			outputs = outputs[len(p.vars):]
		}
	})
	if err != nil {
		return nil, oneLine(err)
	}
	return outputs, nil
}

// repeat adds a loop of n rounds. Each round's body gets its number, from 0, the changing nodes as the round before left
// them, and the fixed ones, and returns the changed ones. Variables keep their values from round to round, too.
//
// GoMLX's closures cannot use nodes from outside, so that everything comes in as the loop's state; and the graph shares
// one node for equal scalars, so nothing outside of the body may make one before.
func repeat(n *graph.Node, vars []*model.Variable, changing, fixed []*graph.Node,
	body func(i *graph.Node, changing, fixed []*graph.Node) []*graph.Node) []*graph.Node {
	g := n.Graph()
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
}

// newTrainer compiles the program that does up to capacity steps of training in one call.
func newTrainer(backend compute.Backend, store *model.Store, net nn.Layer, data dataset.Images, c Config, split deviceSplit, capacity int) (*trainer, error) {
	optimized := optimizedOf(store)
	inputs := []shapes.Shape{
		split.pixels.Shape(), split.labels.Shape(),
		shapes.Make(dtypes.Int32, capacity*c.Batch), // the images to use, in order
		shapes.Make(dtypes.Int32),                   // how many of them count
		shapes.Make(dtypes.Int32),                   // steps to do
		shapes.Make(dtypes.Float32, capacity),       // each step's learning rate
		shapes.Make(dtypes.Float32, capacity),       // where each step's loss goes
	}
	p, err := newProgram(backend, store, "train "+nn.Name(net), true, inputs,
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) []*graph.Node {
			pixels, labels, order, count, steps, rates, losses := in[0], in[1], in[2], in[3], in[4], in[5], in[6]
			return repeat(steps, vars, []*graph.Node{losses}, []*graph.Node{pixels, labels, order, count, rates},
				func(i *graph.Node, changing, fixed []*graph.Node) []*graph.Node {
					pixels, labels, order, count, rates := fixed[0], fixed[1], fixed[2], fixed[3], fixed[4]
					first := graph.MulScalar(i, c.Batch)
					images, wanted := take(pixels, labels, graph.DynamicSlice(order, []*graph.Node{first}, []int{c.Batch}))
					// An epoch's last batch may be short. It is filled up with other images, which do not count.
					position := graph.Add(first, graph.Iota(g, shapes.Make(dtypes.Int32, c.Batch), 0))
					counts := graph.ConvertDType(graph.LessThan(position, count), dtypes.Float32)

					outputs := nn.Apply(store.RootScope(), net, data.Preprocess(images))
					loss := graph.Div(graph.ReduceAllSum(graph.Mul(c.Loss.perImage(outputs, wanted), counts)), graph.ReduceAllSum(counts))

					rate := graph.Reshape(graph.DynamicSlice(rates, []*graph.Node{i}, []int{1}))
					optimized.step(c.Optimizer, loss, rate)
					return []*graph.Node{graph.DynamicUpdateSlice(changing[0], graph.Reshape(loss, 1), []*graph.Node{i})}
				})
		})
	if err != nil {
		return nil, err
	}
	return &trainer{p, split, c.Batch, capacity}, nil
}

// steps trains on the images of order, which may end in a short batch, and returns the loss of each step before it.
func (t *trainer) steps(order []int32, rate func(step int) float64) ([]float32, error) {
	n := (len(order) + t.batch - 1) / t.batch
	padded := make([]int32, t.capacity*t.batch)
	copy(padded, order)
	for i := len(order); i > 0 && i < n*t.batch; i++ { // a short last batch is filled up with the first images again
		padded[i] = padded[i%len(order)]
	}
	rates := make([]float32, t.capacity)
	for i := range n {
		rates[i] = float32(rate(i))
	}
	outputs, err := t.run(t.train.pixels, t.train.labels, padded, int32(len(order)), int32(n), rates, make([]float32, t.capacity))
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
		for i := range o.slots {
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

// step changes the variables in the loss's graph by their gradients.
func (vs optimized) step(o Optimizer, loss, rate *graph.Node) {
	var nodes []*graph.Node
	for _, v := range vs {
		nodes = append(nodes, v.NodeValue(loss))
	}
	gradients := graph.Gradient(loss, nodes...)
	for i, v := range vs {
		store := model.GetStore(loss)
		var kept []*model.Variable
		var slots []*graph.Node
		for k := range o.slots {
			kept = append(kept, store.GetVariable(slot(k, v.Path())))
			slots = append(slots, kept[k].NodeValue(loss))
		}
		parameter, slots := o.update(rate, nodes[i], gradients[i], slots)
		v.SetNodeValue(parameter)
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

// newTester compiles the program that gets the outputs and the loss of each image of a split.
func newTester(backend compute.Backend, store *model.Store, net nn.Layer, data dataset.Images, c Config, split deviceSplit) (*tester, error) {
	images, classes := split.labels.Shape().Size(), len(data.Classes)
	batch := min(c.TestBatch, images)
	t := &tester{split: split, images: images, rounds: (images + batch - 1) / batch, outputs: classes, batch: batch}
	inputs := []shapes.Shape{
		split.pixels.Shape(), split.labels.Shape(),
		shapes.Make(dtypes.Int32), // batches to do
		shapes.Make(dtypes.Float32, t.rounds*batch, classes),
		shapes.Make(dtypes.Float32, t.rounds*batch),
	}
	var err error
	t.program, err = newProgram(backend, store, "test "+nn.Name(net), false, inputs,
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) []*graph.Node {
			pixels, labels, rounds, outputs, losses := in[0], in[1], in[2], in[3], in[4]
			return repeat(rounds, vars, []*graph.Node{outputs, losses}, []*graph.Node{pixels, labels},
				func(i *graph.Node, changing, fixed []*graph.Node) []*graph.Node {
					first := graph.MulScalar(i, batch)
					indices := graph.Add(first, graph.Iota(g, shapes.Make(dtypes.Int32, batch), 0))
					indices = graph.MinScalar(indices, images-1) // a short last batch repeats the last image
					x, wanted := take(fixed[0], fixed[1], indices)
					y := nn.Apply(store.RootScope(), net, data.Preprocess(x))
					zero := graph.ScalarZero(g, dtypes.Int32)
					return []*graph.Node{
						graph.DynamicUpdateSlice(changing[0], y, []*graph.Node{first, zero}),
						graph.DynamicUpdateSlice(changing[1], c.Loss.perImage(y, wanted), []*graph.Node{first}),
					}
				})
		})
	return t, err
}

// test returns the outputs, [image × class], and the loss of each image.
func (t *tester) test() (outputs, losses []float32, err error) {
	rows := t.rounds * t.batch
	results, err := t.run(t.split.pixels, t.split.labels, int32(t.rounds),
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
