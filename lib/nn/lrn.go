package nn

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/internal/op"
)

// LRN is AlexNet's local response normalisation (Krizhevsky et al., 2012, section 3.3) with the paper's constants:
// every value is divided by (2 + 1e-4 · s)^0.75, where s is the sum of the squares of the five values around it along
// the channels, fewer at the first and the last. [batch, height, width, channels] → the same
//
// PyTorch's nn.LocalResponseNorm(size) takes the mean of the squares where the paper has their sum: its alpha is five
// times the paper's.
var LRN Layer = lrn{size: 5, k: 2, alpha: 1e-4, beta: 0.75}

type lrn struct {
	size           int
	k, alpha, beta float64
}

// Info implements [Layer].
func (l lrn) Info() Info { return Info{Kind: "lrn", Channels: l.size} }

// Apply implements [Layer].
func (l lrn) Apply(_ *model.Scope, x *graph.Node) *graph.Node {
	checkImages(x)
	channels := x.Shape().Dim(3)
	squares := op.Grow(graph.Square(x), 3, l.size/2, l.size/2)
	var sum *graph.Node
	for i := range l.size {
		moved := graph.AxisRange(i, i+channels)
		neighbour := graph.Slice(squares, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), moved)
		if sum == nil {
			sum = neighbour
		} else {
			sum = graph.Add(sum, neighbour)
		}
	}
	logarithm := graph.Log(graph.AddScalar(graph.MulScalar(sum, l.alpha), l.k))
	return graph.Mul(x, graph.Exp(graph.MulScalar(logarithm, -l.beta)))
}
