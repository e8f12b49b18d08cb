package nn

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Dense is a fully connected layer: every one of its units is a weighted sum of all inputs, plus a bias.
// [batch, inputs] → [batch, units]
//
// Weights and biases start uniform in ±1/√inputs, as PyTorch's nn.Linear does.
func Dense(units int) Layer { return dense{units} }

type dense struct{ units int }

// Info implements [Layer].
func (d dense) Info() Info { return Info{Kind: "dense", Units: d.units} }

// Apply implements [Layer].
func (d dense) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if x.Rank() != 2 {
		panicf("takes [batch, inputs], got %v: put nn.Flatten before it", x.Shape().Dimensions)
	}
	if d.units < 1 {
		panicf("has %d units: it needs at least 1", d.units)
	}
	inputs := x.Shape().Dim(1)
	bound := uniform(1 / math.Sqrt(float64(inputs)))
	weights := parameter(scope, x, "weights", bound, inputs, d.units)
	bias := parameter(scope, x, "bias", bound, 1, d.units)
	note(x, cost{macs: inputs * d.units, global: true})
	return graph.Add(graph.MatMul(x, weights), bias)
}

// Flatten makes one row of each image: [batch, height, width, channels] → [batch, height × width × channels]. It
// keeps the order of the values, so channel c of pixel (y, x) lands at (y × width + x) × channels + c.
var Flatten Layer = plain{"flatten", flatten}

func flatten(x *graph.Node) *graph.Node {
	return graph.Reshape(x, x.Shape().Dim(0), -1)
}
