package nn

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Dropout replaces each value by 0 with the probability rate while a network is trained, and scales the others by
// 1/(1 − rate), so their sum stays what it is on average (Srivastava et al., "Dropout", 2014). In tests it does
// nothing. Any shape → the same
func Dropout(rate float64) Layer { return dropout{rate} }

type dropout struct{ rate float64 }

// Info implements [Layer].
func (d dropout) Info() Info { return Info{Kind: "dropout", Rate: d.rate} }

// Apply implements [Layer].
func (d dropout) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if !(d.rate >= 0 && d.rate < 1) {
		panicf("drops %v of its values: it must be at least 0 and below 1", d.rate)
	}
	if !scope.IsTraining(x.Graph()) {
		return x
	}
	keep := graph.GreaterOrEqual(uniformLike(scope, x), graph.Scalar(x.Graph(), x.DType(), d.rate))
	return graph.Where(keep, graph.MulScalar(x, 1/(1-d.rate)), graph.ZerosLike(x))
}

type randomKey struct{}

// SetRandom gives the graph of state the state of a random generator, as graph.RNGState makes them, for its layers to
// draw from. Without it they draw from the generator of their scope's store.
func SetRandom(state *graph.Node) { state.Graph().AttachState(randomKey{}, state) }

// uniformLike draws a number from 0 to below 1 for each value of x.
func uniformLike(scope *model.Scope, x *graph.Node) *graph.Node {
	state, ok := x.Graph().State(randomKey{}).(*graph.Node)
	if !ok {
		return scope.RandomUniform(x.Graph(), x.Shape())
	}
	state, values := graph.RandomUniform(state, x.Shape())
	SetRandom(state)
	return values
}
