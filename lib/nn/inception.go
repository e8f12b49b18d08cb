package nn

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Branches applies each of the layers to the same input and puts their results side by side, along the channels: an
// Inception module (Szegedy et al., "Going Deeper with Convolutions", 2014).
// [batch, height, width, channels] → [batch, height', width', the sum of the branches' channels]
func Branches(branches ...Layer) Layer { return branching(slices.Clone(branches)) }

type branching []Layer

// Info implements [Layer].
func (b branching) Info() Info { return Info{Kind: "branches", Branches: len(b)} }

// Apply implements [Layer].
func (b branching) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if len(b) == 0 {
		panicf("has no branch")
	}
	var parts []*graph.Node
	for i, branch := range b {
		layers := []Layer{branch}
		if s, ok := branch.(sequence); ok {
			layers = s.layers
		}
		name := fmt.Sprint("branch", i+1)
		y := applyLane(scope.In("%s", name), name, layers, x)
		parts = append(parts, y)
		first, dims := parts[0].Shape().Dimensions, y.Shape().Dimensions
		if last := len(dims) - 1; !slices.Equal(dims[:last], first[:len(first)-1]) {
			panicf("cannot put %v of branch %d beside %v of the first: only the channels may differ",
				dims[1:], i+1, first[1:])
		}
	}
	all := graph.Concatenate(parts, -1)
	tracerOf(x.Graph()).join("concat", all, parts...)
	return all
}

// Auxiliary passes its input on and, while a network is trained, has the layers make a guess of it, too. Package train
// adds weight times the loss of that guess to the network's own, so early layers learn from close by (Szegedy et
// al., 2014: GoogLeNet, weight 0.3). In tests it does nothing.
func Auxiliary(weight float64, layers ...Layer) Layer { return auxiliary{weight, slices.Clone(layers)} }

type auxiliary struct {
	weight float64
	layers []Layer
}

// Info implements [Layer].
func (a auxiliary) Info() Info { return Info{Kind: "auxiliary", Weight: a.weight} }

// Apply implements [Layer].
func (a auxiliary) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if g := x.Graph(); scope.IsTraining(g) {
		guess := Guess{a.weight, applyLane(scope, "auxiliary", a.layers, x)}
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
