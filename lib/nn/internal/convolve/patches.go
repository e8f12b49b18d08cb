package convolve

import (
	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/internal/op"
)

// patches copies what lies under the window at each position into a row of a matrix, in the order of the weights, and
// multiplies: the convolution becomes one matrix product.
func patches(x, weights *graph.Node, stride, padding int) *graph.Node {
	x = op.Pad(x, padding)
	kernel, filters := weights.Shape().Dim(0), weights.Shape().Dim(3)
	rows := graph.Concatenate(windows(x, kernel, stride), -1) // [batch, height', width', kernel × kernel × channels]
	dims := rows.Shape().Dimensions
	y := graph.MatMul(graph.Reshape(rows, -1, dims[3]), graph.Reshape(weights, dims[3], filters))
	return graph.Reshape(y, dims[0], dims[1], dims[2], filters)
}

// windows are what lies under each place of the window at all of its positions, row by row: for a kernel of 3, nine
// arrays.
func windows(x *graph.Node, kernel, stride int) (places []*graph.Node) {
	along := func(axis, start int) graph.SliceAxisSpec { // every stride-th value
		return graph.AxisRange(start, x.Shape().Dim(axis)-kernel+start+1).Stride(stride)
	}
	for i := range kernel {
		for j := range kernel {
			places = append(places, graph.Slice(x, graph.AxisRange(), along(1, i), along(2, j)))
		}
	}
	return places
}
