package train

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"example.org/convbook/lib/nn"
)

// program is a compiled graph that reads the store's variables and may change them.
//
// Training and testing are each one program with a loop inside, so many steps run in one call: the data set stays
// on the device, nothing comes back to the host but losses and outputs, and a batch costs no call of its own. A small
// network's epoch takes less than half the time that a call for each step takes.
type program struct {
	graph   *graph.Graph
	vars    []*model.Variable // the graph's first parameters
	changes bool              // whether the graph's first results are the variables' new values
}

// inPlace begins the name of a program that changes variables, and their number follows. The plugin that stands in front
// of XLA's on the CPU looks for it, and lets XLA write the new values where the old ones are: a call needs that memory
// once then, not twice.
const inPlace = "convbook in place"

// mode is how a program treats the network.
type mode struct {
	training bool // layers behave as they do in training, not as in a test
	changes  bool // the variables change
}

// program builds a graph whose parameters are the variables and then the inputs.
func (e *engine) program(does string, how mode, inputs []shapes.Shape,
	build func(g *graph.Graph, vars []*model.Variable, inputs []*graph.Node) (outputs []*graph.Node)) (*program, error) {
	p := &program{vars: slices.Collect(e.vars.IterVariables()), changes: how.changes}
	name := does + " " + e.summary.Network
	if how.changes {
		name = fmt.Sprintf("%s %d %s", inPlace, len(p.vars), name)
	}
	p.graph = graph.NewGraph(e.backend, name)
	err := exceptions.TryCatch[error](func() {
		model.SetStore(p.graph, e.vars)
		e.vars.SetTraining(p.graph, how.training)
		if e.Precision == BFloat16 {
			nn.SetPrecision(p.graph, dtypes.BFloat16)
		}
		for _, v := range p.vars {
			v.NodeValue(p.graph) // makes it a parameter
		}
		var nodes []*graph.Node
		for i, shape := range inputs {
			nodes = append(nodes, graph.Parameter(p.graph, fmt.Sprintf("input%d", i), shape))
		}
		outputs := build(p.graph, p.vars, nodes)
		if how.changes {
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

// run executes the program on the variables' values and the inputs: tensors, which stay, or temporary ones, or Go
// values.
//
// An interrupt ends it after some patience, with ErrInterrupted, or as interrupted says.
func (p *program) run(ctx context.Context, interrupted interruption, inputs ...any) ([]*tensors.Tensor, error) {
	if ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	with, err := p.arguments(p.changes && interrupted != keeps, inputs)
	if err != nil {
		return nil, err
	}
	execute := func() (outputs []*tensors.Tensor, err error) {
		err = exceptions.TryCatch[error](func() { outputs = p.graph.RunWithBuffers(with.buffers, with.given, 0) })
		if err != nil {
			return nil, oneLine(err)
		}
		return outputs, nil
	}
	var outputs []*tensors.Tensor
	if p.changes && interrupted == waits {
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

// interruption is what an interrupt does while a program computes.
type interruption int

const (
	// waits lets it finish. That is for what is soon done.
	waits interruption = iota
	// keeps leaves it, and keeps the variables as they were. Where the program changes them, that takes memory for
	// their old and their new values at once, and the time to copy them.
	keeps
	// loses leaves it, and the variables that it changes have no values any more. That is for what can be had again: they
	// are as they were drawn, or as a checkpoint has them.
	loses
)

// arguments are the device's memory that a program reads, and which of it it may use for its results.
type arguments struct {
	buffers []compute.Buffer
	given   []bool
}

// arguments collects those of the variables, whose memory may be given, and of the inputs.
func (p *program) arguments(give bool, inputs []any) (a arguments, err error) {
	add := func(t *tensors.Tensor, give bool) {
		take := t.Buffer
		if give {
			take = t.DonateBuffer
		}
		buffer, err := take(p.graph.Backend(), 0)
		if err != nil {
			panic(err)
		}
		a.buffers, a.given = append(a.buffers, buffer), append(a.given, give)
	}
	err = exceptions.TryCatch[error](func() {
		for _, v := range p.vars {
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
	return a, oneLine(err)
}

// loop is something that a program does again and again. Each round's body gets its number, from 0, the changing nodes
// as the round before left them, and the fixed ones, and returns the changed ones. Variables keep their values from
// round to round, too.
type loop struct {
	changing, fixed []*graph.Node
	body            func(i *graph.Node, changing, fixed []*graph.Node) []*graph.Node
}

// once does it without a loop, a single time.
func (l loop) once(g *graph.Graph) []*graph.Node {
	return l.body(graph.Const(g, int32(0)), l.changing, l.fixed)
}

// repeat does it n times.
//
// GoMLX's closures cannot use nodes from outside, so everything comes in as the loop's state; and the graph shares one
// node for equal scalars, so nothing outside of the body may make one before.
func (l loop) repeat(n *graph.Node, vars []*model.Variable) []*graph.Node {
	g := n.Graph()
	state := []*graph.Node{graph.Const(g, int32(0)), n}
	for _, v := range vars {
		state = append(state, v.NodeValue(g))
	}
	state = append(append(state, l.changing...), l.fixed...)
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
		fixed := rest[len(l.changing):]
		changed := l.body(ps[0], rest[:len(l.changing)], fixed)
		next := []*graph.Node{graph.AddScalar(ps[0], 1), ps[1]}
		for _, v := range vars {
			next = append(next, v.NodeValue(g))
		}
		return append(append(next, changed...), fixed...)
	})
	after := graph.While(more, round, state...)
	for i, v := range vars {
		v.SetNodeValue(after[2+i])
	}
	return after[2+len(vars):][:len(l.changing)]
}

// take picks images by their indices: uint8 [n, height, width, channels], uint8 [n] and int32 [batch] →
// uint8 [batch, height, width, channels] and int32 [batch].
func take(pixels, labels, indices *graph.Node) (*graph.Node, *graph.Node) {
	indices = graph.ExpandAxes(indices, -1)
	return graph.Gather(pixels, indices), graph.ConvertDType(graph.Gather(labels, indices), dtypes.Int32)
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
