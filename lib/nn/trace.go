package nn

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Trace is what a network does to images of one size, found by applying it to a batch of shapes without computing
// anything: the layers in order, what comes out of each and what it costs, and all parameters.
type Trace struct {
	Network   string      // the network's name
	Input     []int       // dimensions of one image: height, width, channels
	Layers    []LayerInfo // in the order in which they are applied
	Output    []int       // dimensions of what comes out for one image
	Variables []Variable  // in the order in which the layers create them

	net     Layer
	graph   string    // every operation of the network in training, as text
	weights []float64 // of its auxiliary classifiers' losses
}

// LayerInfo is a line of the summary.
type LayerInfo struct {
	Path       string // where it stands in the network, such as conv1 or block2/conv1
	Layer      string // its description
	Output     []int  // dimensions of what comes out for one image
	Parameters int    // trainable values
	MACs       int    // multiplications with an addition for one image; biases and everything but weights left out
	Field      int    // the receptive field's side: how many of the input's pixels, across, one output value can see
}

// Apply applies a network to a batch of images, with its variables in the scope's sub-scope net. It is how a network
// is used as a plain GoMLX model function.
func Apply(scope *model.Scope, net Layer, x *graph.Node) *graph.Node {
	scope = scope.In(root)
	if _, ok := net.(sequence); ok {
		return net.Apply(scope, x)
	}
	return sequence{Name(net), []Layer{net}}.Apply(scope, x) // a single layer gets its name and its line, too
}

// Summary traces the network on images of the given dimensions: height, width, channels. Printed, it is a table of the
// network layer by layer.
//
// A layer that does not fit what comes into it gives an error of one line that names the layer.
func Summary(net Layer, image ...int) (trace *Trace, err error) {
	if len(image) == 0 || size(image) < 1 {
		return nil, fmt.Errorf("%s cannot be traced on an image of dimensions %v: want height, width, channels", Name(net), image)
	}
	var t *tracer
	defer func() {
		if cause := recover(); cause != nil {
			trace, err = nil, t.explain(net, image, cause)
		}
	}()
	store := model.NewStore()
	x := images(store, Name(net), true, image) // in training, so dropout and its like show in the graph
	g := x.Graph()
	defer g.Finalize()
	t = newTracer(x)
	y := Apply(store.RootScope(), net, x)
	trace = &Trace{Network: Name(net), Input: image, Layers: t.layers, Output: y.Shape().Dimensions[1:], net: net, graph: operations(g)}
	for _, guess := range Guesses(g) {
		trace.weights = append(trace.weights, guess.Weight)
	}
	for v := range store.IterVariables() {
		if Owns(v) {
			initial, drawn := t.initial[v.Path()]
			name := strings.TrimPrefix(v.Path(), Path(""))
			trace.Variables = append(trace.Variables, Variable{name, v.Shape().Dimensions, v.Trainable, drawn, initial})
		}
	}
	return trace, nil
}

// images is a batch in a graph of its own, for a network's shapes and operations alone: the pure-Go backend needs no plugin
// and is never asked to compute.
func images(store *model.Store, name string, training bool, image []int) *graph.Node {
	g := graph.NewGraph(gobackend.GetBackend(), name)
	model.SetStore(g, store)
	store.SetTraining(g, training)
	const batch = 2
	return graph.Parameter(g, "images", shapes.Make(dtypes.Float32, append([]int{batch}, image...)...))
}

// operations lists the graph's operations, whatever its name, which stands in the first line.
func operations(g *graph.Graph) string {
	_, lines, _ := strings.Cut(g.String(), "\n")
	return lines
}

// Activations applies a network as Apply does and returns what each of its layers gives, in the order of the summary.
func Activations(scope *model.Scope, net Layer, x *graph.Node) (layers []LayerInfo, outputs []*graph.Node) {
	t := newTracer(x)
	Apply(scope, net, x)
	return t.layers, t.outputs
}

// Parameters is the number of trainable values in the network.
func (t *Trace) Parameters() int {
	total := 0
	for _, v := range t.Variables {
		if v.Trainable {
			total += v.Size()
		}
	}
	return total
}

// MACs is the number of multiplications with an addition that one image takes.
func (t *Trace) MACs() int {
	total := 0
	for _, layer := range t.Layers {
		total += layer.MACs
	}
	return total
}

// Fingerprint identifies what the network computes and how it starts: two networks that differ in any operation, size,
// initial distribution or weight of an auxiliary classifier have different fingerprints, whatever their names. A gradient
// that a layer gives itself does not show in it.
func (t *Trace) Fingerprint() string {
	hash := sha256.New()
	fmt.Fprintln(hash, t.Input, t.graph, t.weights)
	store := model.NewStore()
	x := images(store, t.Network, false, t.Input)
	defer x.Graph().Finalize()
	if err := exceptions.TryCatch[error](func() { Apply(store.RootScope(), t.net, x) }); err == nil { // else a test will say so
		fmt.Fprintln(hash, operations(x.Graph()))
	}
	for _, v := range t.Variables {
		fmt.Fprintln(hash, v)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// String is the summary table.
func (t *Trace) String() string {
	rows := [][6]string{
		{t.Network, "", "output", "parameters", "MACs", "sees"},
		{"input", "", times(t.Input), "", "", ""},
	}
	for _, l := range t.Layers {
		_, details, _ := strings.Cut(l.Layer, " ")
		rows = append(rows, [6]string{l.Path, details, times(l.Output), thousands(l.Parameters), thousands(l.MACs), fmt.Sprintf("%d×%[1]d", l.Field)})
	}
	rows = append(rows, [6]string{"total", "", "", thousands(t.Parameters()), thousands(t.MACs()), ""})
	var widths [6]int
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, text := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if i == 3 || i == 4 { // numbers end where numbers end
				text, space = space+text, ""
			}
			line += text + space + "  "
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func times(dims []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(dims), "[]"), " ", "×")
}

// thousands writes 1234567 as 1,234,567 and 0 as nothing.
func thousands(n int) string {
	if n == 0 {
		return ""
	}
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// tracer collects a Trace while a network is applied. It travels with the graph, as graph state.
type tracer struct {
	layers  []LayerInfo
	path    []string
	fields  map[*graph.Node]field
	initial map[string]initial
	input   int // the image's longer side
	cost    cost
	outputs []*graph.Node // what each of the layers gives
}

// field is how far a value sees: its receptive field's side, and by how many of the input's pixels the fields of
// neighbours lie apart.
type field struct{ side, step int }

// cost is what a layer notes of itself while it is traced.
type cost struct {
	macs           int  // for one image
	kernel, stride int  // of a sliding window
	global         bool // every output sees the whole input
}

type tracerKey struct{}

// newTracer attaches a tracer to the graph of the batch of images x.
func newTracer(x *graph.Node) *tracer {
	image := x.Shape().Dimensions[1:]
	t := &tracer{
		fields:  map[*graph.Node]field{x: {1, 1}},
		initial: map[string]initial{},
		input:   max(image[0], image[min(1, len(image)-1)]),
	}
	x.Graph().AttachState(tracerKey{}, t)
	return t
}

func tracerOf(g *graph.Graph) *tracer {
	t, _ := g.State(tracerKey{}).(*tracer)
	return t
}

// note tells a trace, if x's graph has one, what the layer that is being applied costs.
func note(x *graph.Node, c cost) {
	if t := tracerOf(x.Graph()); t != nil {
		t.cost = c
	}
}

// apply applies a layer under its own scope and records it if the graph is being traced.
func apply(scope *model.Scope, layer Layer, x *graph.Node) *graph.Node {
	t := tracerOf(x.Graph())
	if t == nil {
		return layer.Apply(scope, x)
	}
	_, path, _ := strings.Cut(scope.Scope(), "/"+root+"/")
	t.path = append(t.path, path)
	before, nested := parameters(scope), len(t.layers)
	t.cost = cost{}
	y := layer.Apply(scope, x)
	t.path = t.path[:len(t.path)-1] // a layer that panics stays the last, for explain to name
	if len(t.layers) > nested {
		return y // a block: its layers stand for it
	}
	f, ok := t.fields[x]
	if !ok {
		f = field{1, 1}
	}
	switch {
	case t.cost.global:
		f = field{t.input, 0}
	case t.cost.kernel > 0:
		f = field{min(f.side+(t.cost.kernel-1)*f.step, t.input), f.step * t.cost.stride}
	}
	t.fields[y] = f
	t.outputs = append(t.outputs, y)
	t.layers = append(t.layers, LayerInfo{path, layer.String(), y.Shape().Dimensions[1:], parameters(scope) - before, t.cost.macs, f.side})
	return y
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

// explain makes one line of what a layer threw while the network was traced.
func (t *tracer) explain(net Layer, image []int, cause any) error {
	message, _, _ := strings.Cut(fmt.Sprint(cause), "\n")
	where := Name(net)
	if len(t.path) > 0 {
		where += ", layer " + t.path[len(t.path)-1]
	}
	return errors.New(where + ", on images of " + times(image) + ": " + message)
}

// panicf throws a layer's error, the way GoMLX does.
func panicf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }
