package nn

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/internal/op"
)

// ReLU keeps positive values and replaces all others by 0. Where it does, the gradient is 0, as in PyTorch. What is not a
// number stays so, except in a test right behind a convolution that oneDNN computes, where it becomes 0.
var ReLU Layer = plain{"relu", rectify}

func rectify(x *graph.Node) *graph.Node {
	if rectified := rectifiedBehind(x); rectified != nil {
		return rectified()
	}
	zero := graph.ScalarZero(x.Graph(), x.DType())
	var y *graph.Node
	return op.WithGradient(x, func(x *graph.Node) *graph.Node {
		y = graph.Max(x, zero)
		return y
	}, func(pull *graph.Node) *graph.Node {
		return graph.Where(graph.GreaterThan(y, zero), pull, graph.ZerosLike(pull))
	})
}

// GELU is x times the probability that a normally distributed number is below x: a ReLU without the corner (Hendrycks and
// Gimpel, "Gaussian Error Linear Units", 2016). It is computed as PyTorch's nn.GELU, by the error function.
var GELU Layer = plain{"gelu", gelu}

func gelu(x *graph.Node) *graph.Node {
	below := graph.MulScalar(graph.OnePlus(graph.Erf(graph.MulScalar(x, math.Sqrt2/2))), 0.5)
	return graph.Mul(x, below)
}

// Times multiplies every value by a constant, such as 0.1 after a network's last layer: its scores are small at first,
// and what a step changes in that layer has a tenth of the effect. Any shape → the same
func Times(factor float64) Layer { return multiplied{factor} }

type multiplied struct{ factor float64 }

// Info implements [Layer].
func (m multiplied) Info() Info { return Info{Kind: "times", Factor: m.factor} }

// Apply implements [Layer].
func (m multiplied) Apply(_ *model.Scope, x *graph.Node) *graph.Node {
	if math.IsNaN(m.factor) || math.IsInf(m.factor, 0) {
		panicf("multiplies by %v: it must be finite", m.factor)
	}
	return graph.MulScalar(x, m.factor)
}

// Sigmoid squeezes every value into (0, 1): 1/(1+e⁻ˣ).
var Sigmoid Layer = plain{"sigmoid", graph.Sigmoid}

// LogSoftmax turns scores into logarithms of probabilities along the last axis. [batch, classes] → the same
var LogSoftmax Layer = plain{"log-softmax", logSoftmax}

func logSoftmax(x *graph.Node) *graph.Node {
	return graph.LogSoftmax(x, -1)
}
