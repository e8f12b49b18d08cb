package nn

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/internal/columns"
	"example.org/convbook/lib/internal/text"
)

// Summary is what a network does to images of one size: its layers in order, what comes out of each and what it costs,
// and all parameters. Printed, it is a table of the network layer by layer.
type Summary struct {
	Network   string      // the network's name
	Input     []int       // dimensions of one image: height, width, channels
	Layers    []LayerInfo // in the order in which they are applied
	Output    []int       // dimensions of what comes out for one image
	Guesses   [][]int     // likewise, of each auxiliary classifier
	Variables []Variable  // in the order in which the layers create them

	net   Layer
	parts []*part
}

// LayerInfo is a line of the summary.
type LayerInfo struct {
	Info
	Path       string // where it stands in the network, such as conv1 or block2/conv1
	Block      string // the path of the block with several ways that it is in, the outermost, if any
	Lane       string // its way through that block: branch1, shortcut or auxiliary; none for the inside of a residual
	Output     []int  // dimensions of what comes out for one image
	Parameters int    // trainable values
	MACs       int    // multiplications with an addition for one image; biases and everything but weights left out
	Field      int    // the receptive field's side: how many of the input's pixels, across, one output value can see

	inside string // what is in a block of which this is the only line
	gets   row    // what comes into it
}

// Flattened is the image whose numbers the layer gets in the order of [Flatten]: height, width and channels, or nil.
// Libraries that keep an image's channels first have these numbers in another order. Where others are mixed with them,
// by a [Residual] or by [Branches], there is an error.
func (l LayerInfo) Flattened() (image []int, err error) {
	if l.gets.mixed {
		return nil, fmt.Errorf("%s gets the numbers of a flattened image together with others", l.Path)
	}
	return slices.Clone(l.gets.image), nil
}

// Details are the layer's settings for people, as Info's are. A block's are the filters in it.
func (l LayerInfo) Details() string {
	if l.inside != "" {
		return l.inside
	}
	return l.Info.Details()
}

// Summarize applies the network to a batch of shapes, images of the given dimensions, without computing anything:
// height, width, channels. A network that begins with a dense layer may get one number instead: its inputs.
//
// A layer that does not fit what comes into it gives an error of one line that names the layer.
func Summarize(net Layer, image ...int) (summary *Summary, err error) {
	if net == nil {
		return nil, errNoNetwork
	}
	if len(image) != 1 && len(image) != 3 || slices.Min(image) < 1 {
		return nil, fmt.Errorf("%s cannot be applied to an image of dimensions %v: want height, width, channels, "+
			"each at least 1; a gray image has 1 channel", Name(net), image)
	}
	store := model.NewStore()
	x := images(store, Name(net), true, image) // in training, so auxiliary classifiers show
	defer x.Graph().Finalize()
	t := newTracer(x)
	defer func() {
		if cause := recover(); cause != nil {
			summary, err = nil, t.explain(net, image, cause)
		}
	}()
	y := Apply(store.RootScope(), net, x)
	summary = &Summary{
		Network: Name(net), Input: image, Layers: t.layers, Output: y.Shape().Dimensions[1:],
		net: net, parts: t.root.parts,
	}
	for _, guess := range Guesses(x.Graph()) {
		summary.Guesses = append(summary.Guesses, guess.Output.Shape().Dimensions[1:])
	}
	for v := range store.IterVariables() {
		if Owns(v) {
			initial, drawn := t.initial[v.Path()]
			name := strings.TrimPrefix(v.Path(), Path(""))
			variable := Variable{name, v.Shape().Dimensions, v.Trainable, drawn, initial}
			summary.Variables = append(summary.Variables, variable)
		}
	}
	return summary, nil
}

// images is a batch in a graph of its own, for a network's shapes and operations alone: the pure-Go backend needs no
// plugin and is never asked to compute.
func images(store *model.Store, name string, training bool, image []int) *graph.Node {
	g := graph.NewGraph(gobackend.GetBackend(), name)
	model.SetStore(g, store)
	store.SetTraining(g, training)
	const batch = 2
	return graph.Parameter(g, "images", shapes.Make(dtypes.Float32, append([]int{batch}, image...)...))
}

// Last is the layer that gives the network's output, if that is sure: one of this package with no others in it. A
// reader's own type may make something else of what the layers in it give.
func (s *Summary) Last() (last Info, sure bool) {
	for parts := s.parts; len(parts) > 0; {
		p := parts[len(parts)-1]
		if _, block := p.layer.(sequence); block {
			parts = p.parts
			continue
		}
		if !own(p.layer) || len(p.parts) > 0 {
			break
		}
		return p.layer.Info(), true
	}
	return Info{}, false
}

// Parameters is the number of trainable values in the network.
func (s *Summary) Parameters() int {
	total := 0
	for _, v := range s.Variables {
		if v.Trainable {
			total += v.Size()
		}
	}
	return total
}

// MACs is the number of multiplications with an addition that one image takes.
func (s *Summary) MACs() int {
	total := 0
	for _, layer := range s.Layers {
		total += layer.MACs
	}
	return total
}

// Table is the summary with a row for the input, each layer and the sums, under a head.
func (s *Summary) Table() (head []string, rows [][]string) {
	rows = [][]string{{"input", "", times(s.Input), "", "", ""}}
	for _, l := range s.Layers {
		sees := fmt.Sprint(l.Field)
		if len(s.Input) == 3 {
			sees = times([]int{min(l.Field, s.Input[0]), min(l.Field, s.Input[1])})
		}
		row := []string{l.Path, l.Details(), times(l.Output), thousands(l.Parameters), thousands(l.MACs), sees}
		rows = append(rows, row)
	}
	rows = append(rows, []string{"total", "", "", thousands(s.Parameters()), thousands(s.MACs()), ""})
	return []string{s.Network, "", "output", "parameters", "MACs", "sees"}, rows
}

// String is the table as text.
func (s *Summary) String() string { return columns.Text(s.Table()) + "\n" }

// times writes dimensions as 28×28×6.
func times(dims []int) string {
	var parts []string
	for _, dim := range dims {
		parts = append(parts, fmt.Sprint(dim))
	}
	return strings.Join(parts, "×")
}

// thousands writes 1234567 as 1,234,567 and 0 as nothing.
func thousands(n int) string {
	if n == 0 {
		return ""
	}
	return text.Thousands(fmt.Sprint(n))
}
