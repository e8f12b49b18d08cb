package nn

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/internal/text"
)

// tracer records a network while it is applied. It travels with the graph, as graph state; most graphs have none.
type tracer struct {
	layers  []LayerInfo
	outputs []*graph.Node // what each of the layers gives

	root part
	open []*part // those that are being applied, the outermost first
	lane string  // the way that is being applied through the innermost of them

	outer struct{ block, lane string } // the outermost block with several ways that is being applied, and the way

	fields  map[*graph.Node]field
	rows    map[*graph.Node]row // those values that are a flattened image's
	initial map[string]initial
	input   int // the image's longer side
	cost    cost
}

// part is a layer as it was applied, with the layers that it consists of.
type part struct {
	layer  Layer
	path   string
	lane   string // its way through the block around it
	input  []int  // dimensions of the image that it gets
	output []int  // of what it gives, where that is none of what its parts give
	parts  []*part
	lines  []LayerInfo // of the summary, its own or those of its parts
}

// field is how far a value sees: its receptive field's side, and by how many of the input's pixels the fields of
// neighbours lie apart.
type field struct{ side, step int }

// row is what a row of values holds: the numbers of an image, in Flatten's order, or these together with others.
type row struct {
	image []int // height, width, channels; none if it is not an image
	mixed bool
}

// cost is what a layer notes of itself while it is traced.
type cost struct {
	macs           int  // for one image
	kernel, stride int  // of a sliding window
	global         bool // every output sees the whole input
}

type tracerKey struct{}

// newTracer attaches a tracer to the graph of the batch of images x.
func newTracer(x *graph.Node) *tracer {
	t := &tracer{
		fields:  map[*graph.Node]field{x: {1, 1}},
		rows:    map[*graph.Node]row{},
		initial: map[string]initial{},
	}
	image := x.Shape().Dimensions[1:]
	for _, side := range image[:min(2, len(image))] {
		t.input = max(t.input, side)
	}
	t.open = []*part{&t.root}
	x.Graph().AttachState(tracerKey{}, t)
	return t
}

// tracerOf is the graph's tracer, or nil.
func tracerOf(g *graph.Graph) *tracer {
	t, _ := g.State(tracerKey{}).(*tracer)
	return t
}

// Activations applies a network as [Apply] does and returns what each of its layers gives, in the order of the summary.
// The last is what the network gives.
func Activations(scope *model.Scope, net Layer, x *graph.Node) (layers []LayerInfo, outputs []*graph.Node) {
	t := newTracer(x)
	y := Apply(scope, net, x)
	if n := len(t.outputs); n == 0 || t.outputs[n-1] != y { // code of a reader's own, or an auxiliary classifier, was last
		t.add(LayerInfo{Info: Info{Kind: "output"}, Path: "output"}, y, t.fieldOf(y))
	}
	return t.layers, t.outputs
}

// note tells a tracer, if x's graph has one, what the layer that is being applied costs.
func note(x *graph.Node, c cost) {
	if t := tracerOf(x.Graph()); t != nil {
		t.cost = c
	}
}

// begin records a layer that is applied to x, up to the call of what it returns with the result.
func (t *tracer) begin(scope *model.Scope, layer Layer, x *graph.Node) (done func(y *graph.Node)) {
	if t == nil {
		return func(*graph.Node) {}
	}
	path := strings.TrimPrefix(scope.Scope(), Path(""))
	p := &part{layer: layer, path: path, lane: t.lane, input: x.Shape().Dimensions[1:]}
	around := t.last()
	around.parts = append(around.parts, p)
	t.open = append(t.open, p) // a layer that panics stays the last, for explain to name
	t.lane = ""
	t.cost = cost{}
	before, first := parameters(scope), len(t.layers)
	return func(y *graph.Node) {
		t.open = t.open[:len(t.open)-1]
		t.lane = p.lane
		if len(t.layers) == first { // not a block, for which its layers stand
			info := LayerInfo{Info: layer.Info(), Path: path, Parameters: parameters(scope) - before, MACs: t.cost.macs}
			info.Block, info.Lane = t.outer.block, t.outer.lane
			info.gets = t.rows[x]
			t.rows[y] = info.gets.through(info.Kind, x, y)
			t.add(info, y, t.fieldOf(x).through(t.cost, t.input))
		} else if _, known := t.fields[y]; !known { // made of its layers' results by code of its own
			t.fields[y] = t.widest(t.outputs[first:]...)
			t.rows[y] = t.made(y)
			p.output = y.Shape().Dimensions[1:]
		}
		p.lines = slices.Clone(t.layers[first:])
	}
}

// last is the innermost part that is being applied.
func (t *tracer) last() *part { return t.open[len(t.open)-1] }

// applyLane applies layers one after another on one of the ways through a block.
func applyLane(scope *model.Scope, lane string, layers []Layer, x *graph.Node) *graph.Node {
	net := sequence{layers: layers}
	t := tracerOf(x.Graph())
	if t == nil {
		return net.Apply(scope, x)
	}
	before, outermost := t.lane, t.outer.block == ""
	t.lane = lane
	if outermost {
		t.outer.block, t.outer.lane = t.last().path, lane
	}
	y := net.Apply(scope, x)
	t.lane = before
	if outermost {
		t.outer.block, t.outer.lane = "", ""
	}
	return y
}

// join records what the block that is being applied makes of the results of its ways.
func (t *tracer) join(kind string, y *graph.Node, results ...*graph.Node) {
	if t == nil {
		return
	}
	block := t.last().path
	info := LayerInfo{Info: Info{Kind: kind}, Path: block + "/" + kind, Block: block}
	if t.outer.block != "" { // which holds this one
		info.Block, info.Lane = t.outer.block, t.outer.lane
	}
	t.rows[y] = t.together(kind, results...)
	t.add(info, y, t.widest(results...))
}

// add adds a line for what gives y.
func (t *tracer) add(info LayerInfo, y *graph.Node, f field) {
	info.Output, info.Field = y.Shape().Dimensions[1:], f.side
	t.fields[y] = f
	t.outputs = append(t.outputs, y)
	t.layers = append(t.layers, info)
}

// fieldOf is how far the values of x see.
func (t *tracer) fieldOf(x *graph.Node) field {
	if f, ok := t.fields[x]; ok {
		return f
	}
	return field{1, 1}
}

// widest is how far those values see that see furthest.
func (t *tracer) widest(values ...*graph.Node) (widest field) {
	for _, x := range values {
		if f := t.fieldOf(x); f.side > widest.side {
			widest = f
		}
	}
	return widest
}

// through is how far what a layer makes of the values sees, in an image of that side.
func (f field) through(c cost, input int) field {
	switch {
	case c.global:
		return field{input, 0}
	case c.kernel > 0:
		return field{min(f.side+(c.kernel-1)*f.step, input), f.step * c.stride}
	}
	return f
}

// through is what the row y holds that a layer of that kind makes of x.
func (r row) through(kind string, x, y *graph.Node) row {
	switch {
	case kind == "flatten" && x.Rank() == 4:
		return row{image: x.Shape().Dimensions[1:]}
	case kind == "dense":
		return row{}
	case !x.Shape().EqualDimensions(y.Shape()) && (r.mixed || r.image != nil):
		return row{mixed: true} // of some of the numbers, or of sums of them
	}
	return r
}

// made is what a row y holds that code of a reader's own makes of the results of layers.
func (t *tracer) made(y *graph.Node) row {
	var from []*graph.Node
	seen := map[*graph.Node]bool{}
	var visit func(x *graph.Node)
	visit = func(x *graph.Node) {
		if seen[x] {
			return
		}
		seen[x] = true
		if _, known := t.fields[x]; known {
			from = append(from, x)
			return
		}
		for _, input := range x.Inputs() {
			visit(input)
		}
	}
	for _, input := range y.Inputs() {
		visit(input)
	}
	if len(from) == 0 {
		return row{}
	}
	return t.together("sum", from...).through("", from[0], y)
}

// together is what a row holds that a block makes of the results of its ways: their sum, or one behind another.
func (t *tracer) together(kind string, results ...*graph.Node) row {
	first := t.rows[results[0]]
	for _, x := range results[1:] {
		if r := t.rows[x]; r.mixed || !slices.Equal(r.image, first.image) || kind == "concat" && r.image != nil {
			return row{mixed: true}
		}
	}
	return first
}

// parameters counts the trainable values under the scope.
func parameters(scope *model.Scope) int {
	n := 0
	for v := range scope.IterVariables() {
		if v.Trainable {
			n += v.Shape().Size()
		}
	}
	return n
}

// explain makes one line of what a layer threw while the network was applied.
func (t *tracer) explain(net Layer, image []int, cause any) error {
	where := Name(net)
	if layer := t.last().path; layer != "" {
		where += ", layer " + layer
	}
	return errors.New(where + ", on images of " + times(image) + ": " + text.FirstLine(cause))
}

// panicf throws a layer's error, the way GoMLX does.
func panicf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }
