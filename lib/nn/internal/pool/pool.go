// Package pool writes the largest values of windows over images in a graph, in the form that the machine computes
// fastest. All forms give the same numbers.
package pool

import (
	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/internal/op"
)

// Window slides over images.
type Window struct {
	Size, Stride, Padding int
	Below, Right          int // how far the last window reaches past the image and its padding
}

// Max keeps the largest value of each channel in each window. Of equal values, the first one, row by row, gets all of
// the gradient, as in PyTorch.
// [batch, height, width, channels] → [batch, height', width', channels]
func Max(x *graph.Node, w Window) *graph.Node {
	tiles := w.Padding == 0 && w.Stride == w.Size && x.Shape().Dim(1)%w.Size == 0 && x.Shape().Dim(2)%w.Size == 0
	backend := x.Graph().Backend()
	switch {
	case !device.IsCPU(backend):
		return w.max(x)
	case tiles: // XLA does it along with what is before and behind
		return w.ofTiles(x)
	case device.OneDNN(backend):
		return w.max(x)
	}
	return w.ofShifted(x)
}

// max leaves the work to XLA, or to the plugin that brings oneDNN. XLA's gradient takes ten times as long on a
// processor as those below.
func (w Window) max(x *graph.Node) *graph.Node {
	around := [][2]int{{w.Padding, w.Padding + w.Below}, {w.Padding, w.Padding + w.Right}}
	return graph.MaxPool(x).Window(w.Size).Strides(w.Stride).PaddingPerDim(around).Done()
}

// ofTiles takes the maximum of windows that cover the images without a gap, an overlap or a rest.
func (w Window) ofTiles(x *graph.Node) *graph.Node {
	size := w.Size
	batch, height, width, channels := x.Shape().Dim(0), x.Shape().Dim(1)/size, x.Shape().Dim(2)/size, x.Shape().Dim(3)
	at := func(x *graph.Node, i, j int) *graph.Node {
		all := graph.AxisRange()
		x = graph.Reshape(x, batch, height, size, width, size, channels)
		return graph.Slice(x, all, all, graph.AxisElem(i), all, graph.AxisElem(j))
	}
	var largest *graph.Node
	return op.WithGradient(x, func(x *graph.Node) *graph.Node {
		largest = at(x, 0, 0)
		for k := 1; k < size*size; k++ {
			largest = larger(largest, at(x, k/size, k%size))
		}
		return graph.Reshape(largest, batch, height, width, channels)
	}, func(pull *graph.Node) *graph.Node {
		pull = graph.Reshape(pull, batch, height, 1, width, 1, channels)
		none, free := graph.ZerosLike(pull), graph.Equal(largest, largest)
		var lines []*graph.Node
		for i := range size {
			var line []*graph.Node
			for j := range size {
				value := at(x, i, j)
				hit := graph.LogicalAnd(free, graph.Equal(value, largest))
				free = graph.LogicalAnd(free, graph.LogicalNot(hit))
				line = append(line, graph.Where(hit, pull, none))
			}
			lines = append(lines, graph.Concatenate(line, 4))
		}
		return graph.Reshape(graph.Concatenate(lines, 2), x.Shape().Dimensions...)
	})
}

// larger is the larger of two values, or what is not a number if one of them is not: XLA's own maximum on a processor
// then gives the other one.
func larger(a, b *graph.Node) *graph.Node {
	return graph.Where(graph.LogicalOr(graph.GreaterThan(b, a), graph.IsNaN(b)), b, a)
}

// ofShifted takes the maximum of windows that overlap, as that of the images moved by 0, 1, … pixels: along the rows,
// then along the columns.
func (w Window) ofShifted(x *graph.Node) *graph.Node {
	lowest := graph.Infinity(x.Graph(), x.DType(), -1)
	beyond := [...]int{1: w.Below, 2: w.Right}
	for _, axis := range []int{2, 1} {
		x = op.Extend(x, axis, w.Padding, w.Padding+beyond[axis], lowest)
		reach := x.Shape().Dim(axis) - w.Size + 1 // where windows can begin
		var largest *graph.Node
		for k := range w.Size {
			axes := []graph.SliceAxisSpec{graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), graph.AxisRange()}
			axes[axis] = graph.AxisRange(k, k+reach).Stride(w.Stride)
			value := graph.Slice(x, axes...)
			if largest == nil {
				largest = value
				continue
			}
			largest = larger(largest, value)
		}
		x = largest
	}
	return x
}
