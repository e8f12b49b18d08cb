package nn

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"example.org/convbook/lib/internal/op"
	"example.org/convbook/lib/internal/text"
)

// Description identifies what a network computes and how it starts. It is made for JSON: networks are the same where
// that is the same. The network's own name has no part in it; names of blocks have, since variables are called after
// them and drawn by their names.
type Description struct {
	Input     []int                 `json:"input"` // dimensions of one image
	Layers    []layerDescription    `json:"layers"`
	Variables []variableDescription `json:"variables,omitempty"`
}

// layerDescription is a layer and what is in it.
type layerDescription struct {
	Info
	Lane       string             `json:"lane,omitempty"`       // the way through the block around it
	Operations string             `json:"operations,omitempty"` // of code that is not this package's: their sum
	Layers     []layerDescription `json:"layers,omitempty"`
}

// variableDescription is a variable and the distribution that it starts from.
type variableDescription struct {
	Name      string      `json:"name"`
	Dims      []int       `json:"dims"`
	Trainable bool        `json:"trainable"`
	Uniform   *[2]float64 `json:"uniform,omitempty"` // lowest and highest; none where a ModelFunc initializes its own
}

// Description describes the network, for images of this size.
//
// A layer of this package is identified by its settings. The code of functions and of a reader's own types cannot be
// compared, so they are identified by the operations that they add to a graph, in training and in a test.
func (s *Summary) Description() Description {
	d := Description{Input: s.Input, Layers: describe(s.parts)}
	for _, v := range s.Variables {
		variable := variableDescription{Name: v.Name, Dims: v.Dims, Trainable: v.Trainable}
		if v.drawn {
			variable.Uniform = &[2]float64{v.initial.low, v.initial.high}
		}
		d.Variables = append(d.Variables, variable)
	}
	return d
}

func describe(parts []*part) (layers []layerDescription) {
	for _, p := range parts {
		layer := layerDescription{Info: p.layer.Info(), Lane: p.lane, Layers: describe(p.parts)}
		if !own(p.layer) {
			layer.Operations = operations(p.layer, p.input)
		}
		layers = append(layers, layer)
	}
	return layers
}

// own reports whether a layer is one of this package, whose Info tells all that decides what it computes.
func own(layer Layer) bool {
	switch layer.(type) {
	case sequence, ResidualLayer, branching, auxiliary, ConvLayer, PoolLayer, BatchNormLayer, dense, dropout, multiplied, lrn,
		plain:
		return true
	}
	return false
}

func init() { graph.MinConstValueSizeToKeep = math.MaxInt } // for operations to see

// operations is a sum of what a layer adds to a graph, in training and in a test, with the gradients that it gives to
// what it does and the values that its variables start from, where the description has them nowhere else.
func operations(layer Layer, image []int) string {
	sum := sha256.New()
	for _, training := range []bool{true, false} {
		store := model.NewStore()
		x := images(store, "", training, image)
		t := newTracer(x)
		var y *graph.Node
		// Code that fails here fails where the network is used as well, and says so there.
		_ = exceptions.TryCatch[error](func() { y = layer.Apply(store.RootScope().In(root), x) })
		if y != nil {
			writeFunction(sum, x, y)
		} else {
			write(sum, x.Graph())
		}
		if training {
			writeValues(sum, store)
			sum.Write(initialOperations(store, t.initial))
		}
		x.Graph().Finalize()
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// Operations is a sum of the operations that make results of x, with the gradient with respect to x where they set one
// of their own. Functions are the same where that is the same. build writes them into a graph that is only built; what it
// throws is the error, in one line.
func Operations(build func(g *graph.Graph) (x *graph.Node, results []*graph.Node)) (string, error) {
	g := graph.NewGraph(gobackend.GetBackend(), "")
	defer g.Finalize()
	sum := sha256.New()
	cause := exceptions.Try(func() {
		x, results := build(g)
		writeFunction(sum, x, results...)
	})
	if cause != nil {
		return "", errors.New(text.FirstLine(cause))
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// writeFunction writes the nodes of a graph that makes results of x, those of a gradient that no operation shows, and
// which nodes are the results, unless it is the last one.
func writeFunction(to io.Writer, x *graph.Node, results ...*graph.Node) {
	nodes := x.Graph().Nodes()
	usual := len(results) == 1 && results[0] == nodes[len(nodes)-1]
	if slices.ContainsFunc(nodes, op.Foreign) {
		for _, y := range results {
			_ = exceptions.TryCatch[error](func() { graph.Gradient(graph.ReduceAllSum(y), x) })
		}
	}
	write(to, x.Graph())
	if !usual {
		fmt.Fprintln(to, ids(results))
	}
}

// write writes the nodes of a graph.
func write(to io.Writer, g *graph.Graph) {
	for _, node := range g.Nodes() {
		fmt.Fprintln(to, node, ids(node.Inputs()))
	}
}

func ids(nodes []*graph.Node) (all []graph.NodeId) {
	for _, node := range nodes {
		all = append(all, node.Id())
	}
	return all
}

// writeValues writes the values that a layer gave to its variables: no operation shows them.
func writeValues(to io.Writer, store *model.Store) {
	for v := range store.IterVariables() {
		if !Owns(v) || !v.HasValue() {
			continue
		}
		fmt.Fprintln(to, v.Path(), v.Shape())
		_ = v.MustValue().ConstBytes(func(values []byte) { _, _ = to.Write(values) })
	}
}

// initialOperations are what the initial values of a store's variables are made of, or nothing where all come from
// GoMLX's usual initialiser, or are known anyway.
func initialOperations(store *model.Store, known map[string]initial) []byte {
	usual := model.NewStore()
	for v := range store.IterVariables() {
		if _, ok := known[v.Path()]; ok {
			store.VariableWithShape(v.Path(), v.Shape(), model.DefaultInitializer(store))
		}
		if !v.HasValue() {
			usual.VariableWithShape(v.Path(), v.Shape(), model.DefaultInitializer(usual))
		}
	}
	if is := initialGraph(store); !bytes.Equal(is, initialGraph(usual)) {
		return is
	}
	return nil
}

// initialGraph is the graph that draws the values of a store's variables, as text. It is only built: one variable more,
// the last, looks at what was made for the others and gives up.
func initialGraph(store *model.Store) []byte {
	var text bytes.Buffer
	store.VariableWithShape("/last", shapes.Make(dtypes.Float32), func(g *graph.Graph, _ shapes.Shape) *graph.Node {
		write(&text, g)
		panic(errors.New("it is not to be computed"))
	})
	_ = store.InitializeVariables(gobackend.GetBackend(), nil)
	return text.Bytes()
}
