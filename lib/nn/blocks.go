package nn

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// ResidualLayer adds what its layers make of their input to the input itself.
type ResidualLayer struct {
	layers   []Layer
	shortcut []Layer
}

// Residual is x + f(x), with the layers one after another as f (He et al., "Deep Residual Learning for Image
// Recognition", 2015). f must keep the shape, unless Shortcut brings x into the new one.
func Residual(layers ...Layer) ResidualLayer { return ResidualLayer{layers: layers} }

// Shortcut returns the layer as s(x) + f(x), with these layers one after another as s.
func (r ResidualLayer) Shortcut(layers ...Layer) ResidualLayer { r.shortcut = layers; return r }

func (r ResidualLayer) String() string { return "residual" }

// Apply is Layer's.
func (r ResidualLayer) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	y := Sequential(r.layers...).Apply(scope, x)
	if len(r.shortcut) > 0 {
		x = apply(scope.In("shortcut"), Named("shortcut", r.shortcut...), x)
	}
	if !slices.Equal(x.Shape().Dimensions, y.Shape().Dimensions) {
		panicf("cannot add %v to %v: give it a Shortcut that makes them alike", y.Shape().Dimensions[1:], x.Shape().Dimensions[1:])
	}
	return joined(scope, "add", graph.Add(x, y), x, y)
}

// Branches applies each of the layers to the same input and puts their results side by side, along the channels: an
// Inception module (Szegedy et al., "Going Deeper with Convolutions", 2014).
// [batch, height, width, channels] → [batch, height', width', the sum of the branches' channels]
func Branches(branches ...Layer) Layer { return branching(branches) }

type branching []Layer

func (b branching) String() string { return "branches" }

func (b branching) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if len(b) == 0 {
		panicf("has no branch")
	}
	var parts []*graph.Node
	for i, branch := range b {
		if _, ok := branch.(sequence); !ok {
			branch = Sequential(branch)
		}
		y := apply(scope.In("branch%d", i+1), branch, x)
		if dims := y.Shape().Dimensions; i > 0 && !slices.Equal(dims[:len(dims)-1], parts[0].Shape().Dimensions[:len(dims)-1]) {
			panicf("cannot put %v of branch %d beside %v of the first: only the channels may differ",
				dims[1:], i+1, parts[0].Shape().Dimensions[1:])
		}
		parts = append(parts, y)
	}
	return joined(scope, "concat", graph.Concatenate(parts, -1), parts...)
}

// joined records in a trace what a block made of several results.
func joined(scope *model.Scope, kind string, y *graph.Node, parts ...*graph.Node) *graph.Node {
	t := tracerOf(y.Graph())
	if t == nil {
		return y
	}
	var f field
	for _, part := range parts {
		if of, ok := t.fields[part]; ok && of.side > f.side {
			f = of
		}
	}
	_, path, _ := strings.Cut(scope.Scope()+"/"+kind, "/"+root+"/")
	t.fields[y] = f
	t.outputs = append(t.outputs, y)
	t.layers = append(t.layers, LayerInfo{Path: path, Layer: kind, Output: y.Shape().Dimensions[1:], Field: f.side})
	return y
}

// Auxiliary passes its input on and, while a network is trained, has the layers make a guess of it, too. Package train
// adds weight times the loss of that guess to the network's own, so that early layers learn from close by (Szegedy et
// al., 2014: GoogLeNet, weight 0.3). In tests it does nothing.
func Auxiliary(weight float64, layers ...Layer) Layer { return auxiliary{weight, layers} }

type auxiliary struct {
	weight float64
	layers []Layer
}

func (a auxiliary) String() string { return fmt.Sprintf("auxiliary weight %v", a.weight) }

func (a auxiliary) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if g := x.Graph(); scope.IsTraining(g) {
		guess := Guess{a.weight, Sequential(a.layers...).Apply(scope, x)}
		g.AttachState(guessesKey{}, append(Guesses(g), guess))
	}
	return x
}

// Guess is what an auxiliary classifier gives for a batch.
type Guess struct {
	Weight float64     // of its loss beside the network's own
	Output *graph.Node // [batch, classes]
}

type guessesKey struct{}

// Guesses are those of a network's auxiliary classifiers that its graph has while it is trained.
func Guesses(g *graph.Graph) []Guess {
	guesses, _ := g.State(guessesKey{}).([]Guess)
	return guesses
}
