package nn

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn/internal/op"
)

// PoolLayer slides a window over every channel by itself and keeps one number of each position.
// [batch, height, width, channels] → [batch, (height + 2 × padding − size)/stride + 1, same for the width, channels]
type PoolLayer struct{ info Info }

// MaxPool keeps the largest value of each size × size window. The stride is the size, unless Stride sets it.
func MaxPool(size int) PoolLayer {
	return PoolLayer{Info{Kind: "max-pool", Kernel: size, Stride: size}}
}

// AvgPool keeps the mean of each size × size window. The stride is the size, unless Stride sets it.
func AvgPool(size int) PoolLayer {
	return PoolLayer{Info{Kind: "avg-pool", Kernel: size, Stride: size}}
}

// Stride returns the layer with another distance between windows.
func (p PoolLayer) Stride(stride int) PoolLayer { p.info.Stride = stride; return p }

// Padding returns the layer with that much put around the image on every side: for a maximum what is never the largest,
// for a mean zeros, which count. It is half of the size at most.
func (p PoolLayer) Padding(padding int) PoolLayer { p.info.Padding = padding; return p }

// Ceil returns the layer with the division of the output's size rounded up: a last window may reach past the image, as
// it does in GoogLeNet. This is PyTorch's ceil_mode; only [MaxPool] has it.
func (p PoolLayer) Ceil() PoolLayer { p.info.Ceil = true; return p }

// Info implements [Layer].
func (p PoolLayer) Info() Info { return p.info }

// Apply implements [Layer].
func (p PoolLayer) Apply(_ *model.Scope, x *graph.Node) *graph.Node {
	size, stride, padding := p.info.Kernel, p.info.Stride, p.info.Padding
	checkWindow(x, size, stride, padding)
	if 2*padding > size {
		panicf("has size %d and padding %d: padding is half of the size at most", size, padding)
	}
	note(x, cost{kernel: size, stride: stride})
	switch {
	case p.info.Kind == "avg-pool":
		if p.info.Ceil {
			panicf("cannot be rounded up: only a max-pool can")
		}
		return graph.MeanPool(op.Pad(x, padding)).Window(size).Strides(stride).NoPadding().Done()
	case !device.IsCPU(x.Graph().Backend()):
		return p.max(x)
	case padding == 0 && stride == size && x.Shape().Dim(1)%size == 0 && x.Shape().Dim(2)%size == 0:
		return p.maxOfTiles(x)
	}
	return p.maxOfShifted(x)
}

// max leaves the work to XLA. On a processor, its gradient takes ten times as long as those below.
func (p PoolLayer) max(x *graph.Node) *graph.Node {
	pool := graph.MaxPool(x).Window(p.info.Kernel).Strides(p.info.Stride).NoPadding()
	rows, columns := p.info.Padding+p.beyond(x.Shape().Dim(1)), p.info.Padding+p.beyond(x.Shape().Dim(2))
	if rows > 0 || columns > 0 {
		pool = pool.PaddingPerDim([][2]int{{p.info.Padding, rows}, {p.info.Padding, columns}})
	}
	return pool.Done()
}

// maxOfTiles takes the maximum of windows that cover the images without a gap, an overlap or a rest.
func (p PoolLayer) maxOfTiles(x *graph.Node) *graph.Node {
	size := p.info.Kernel
	batch, height, width, channels := x.Shape().Dim(0), x.Shape().Dim(1)/size, x.Shape().Dim(2)/size, x.Shape().Dim(3)
	split := func(x *graph.Node) *graph.Node { return graph.Reshape(x, batch, height, size, width, size, channels) }
	var largest *graph.Node
	return op.WithGradient(x, func(x *graph.Node) *graph.Node {
		largest = graph.ReduceMax(split(x), 2, 4)
		return largest
	}, func(pull *graph.Node) *graph.Node {
		// The first of a window's largest values gets all of the gradient, as in PyTorch.
		each := func(x *graph.Node) *graph.Node { return graph.Reshape(x, batch, height, 1, width, 1, channels) }
		values, largest, pull := split(x), each(largest), each(pull)
		none, free := graph.ZerosLike(pull), graph.Equal(largest, largest)
		all := graph.AxisRange()
		var lines []*graph.Node
		for i := range size {
			var line []*graph.Node
			for j := range size {
				value := graph.Slice(values, all, all, graph.AxisElem(i), all, graph.AxisElem(j))
				hit := graph.LogicalAnd(free, graph.Equal(value, largest))
				free = graph.LogicalAnd(free, graph.LogicalNot(hit))
				line = append(line, graph.Where(hit, pull, none))
			}
			lines = append(lines, graph.Concatenate(line, 4))
		}
		return graph.Reshape(graph.Concatenate(lines, 2), x.Shape().Dimensions...)
	})
}

// maxOfShifted takes the maximum of windows that overlap, as that of the images moved by 0, 1, … pixels: along the
// rows, then along the columns. Of equal values, the first of the first row gets all of the gradient, as in PyTorch.
func (p PoolLayer) maxOfShifted(x *graph.Node) *graph.Node {
	lowest := graph.Infinity(x.Graph(), x.DType(), -1)
	for _, axis := range []int{2, 1} {
		x = op.Extend(x, axis, p.info.Padding, p.info.Padding+p.beyond(x.Shape().Dim(axis)), lowest)
		reach := x.Shape().Dim(axis) - p.info.Kernel + 1 // where windows can begin
		var largest *graph.Node
		for k := range p.info.Kernel {
			axes := []graph.SliceAxisSpec{graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), graph.AxisRange()}
			axes[axis] = graph.AxisRange(k, k+reach).Stride(p.info.Stride)
			value := graph.Slice(x, axes...)
			if largest == nil {
				largest = value
				continue
			}
			larger := graph.LogicalOr(graph.GreaterThan(value, largest), graph.IsNaN(value))
			largest = graph.Where(larger, value, largest)
		}
		x = largest
	}
	return x
}

// beyond is how far the last window reaches past the image and its padding. It must begin in the image or before.
func (p PoolLayer) beyond(side int) int {
	stride, padding := p.info.Stride, p.info.Padding
	room := side + 2*padding - p.info.Kernel // for windows to begin in, after the first
	if !p.info.Ceil || room%stride == 0 || room/stride*stride+stride >= side+padding {
		return 0
	}
	return stride - room%stride
}

// GlobalAvgPool keeps the mean of each channel. [batch, height, width, channels] → [batch, channels]
var GlobalAvgPool Layer = plain{"global-avg-pool", func(x *graph.Node) *graph.Node {
	checkImages(x)
	note(x, cost{global: true})
	return graph.ReduceMean(x, 1, 2)
}}
