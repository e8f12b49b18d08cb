package nn

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

type precisionKey struct{}

// SetPrecision lets the convolutions of a graph multiply values of another type than float32, such as bfloat16: of the
// images and the weights, which stay float32 themselves, as do sums and everything else. Gradients are computed alike.
func SetPrecision(g *graph.Graph, precision dtypes.DType) { g.AttachState(precisionKey{}, precision) }

// precisionOf is the type that x's graph was told, or x's own.
func precisionOf(x *graph.Node) dtypes.DType {
	if precision, set := x.Graph().State(precisionKey{}).(dtypes.DType); set {
		return precision
	}
	return x.DType()
}
