package convolve

import (
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// dense writes the convolution as a dense layer: one matrix with a row for every value of the image and a column for
// every value of the result. Where most windows see most of a small image, that is fewer multiplications than patches
// take, which are mostly padding then.
func dense(x, weights *graph.Node, stride, padding int) *graph.Node {
	kernel, channels, filters := weights.Shape().Dim(0), weights.Shape().Dim(2), weights.Shape().Dim(3)
	batch, height, width := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	rows, columns := (height+2*padding-kernel)/stride+1, (width+2*padding-kernel)/stride+1
	zeros := graph.Zeros(x.Graph(), shapes.Make(x.DType(), channels, filters))
	weight := func(i, j int) *graph.Node { // between a pixel and a result whose window holds it at row i and column j
		if i < 0 || i >= kernel || j < 0 || j >= kernel {
			return zeros
		}
		return graph.Reshape(graph.Slice(weights, graph.AxisElem(i), graph.AxisElem(j)), channels, filters)
	}
	var matrix []*graph.Node
	for y := range height {
		for x := range width {
			var row []*graph.Node
			for r := range rows {
				for c := range columns {
					row = append(row, weight(y+padding-r*stride, x+padding-c*stride))
				}
			}
			matrix = append(matrix, graph.Concatenate(row, 1))
		}
	}
	flat := graph.Reshape(x, batch, height*width*channels)
	return graph.Reshape(graph.MatMul(flat, graph.Concatenate(matrix, 0)), batch, rows, columns, filters)
}
