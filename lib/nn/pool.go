package nn

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/device"
)

// PoolLayer slides a window over every channel by itself and keeps one number of each position.
// [batch, height, width, channels] → [batch, (height + 2 × padding − size)/stride + 1, same for the width, channels]
type PoolLayer struct {
	kind                  string
	size, stride, padding int
	ceil                  bool
	pool                  func(x *graph.Node) *graph.PoolBuilder
}

// MaxPool keeps the largest value of each size × size window. The stride is the size, unless Stride sets it.
func MaxPool(size int) PoolLayer {
	return PoolLayer{kind: "max-pool", size: size, stride: size, pool: graph.MaxPool}
}

// AvgPool keeps the mean of each size × size window. The stride is the size, unless Stride sets it.
func AvgPool(size int) PoolLayer {
	return PoolLayer{kind: "avg-pool", size: size, stride: size, pool: graph.MeanPool}
}

// Stride returns the layer with another distance between windows.
func (p PoolLayer) Stride(stride int) PoolLayer { p.stride = stride; return p }

// Padding returns the layer with that much put around the image on every side: for a maximum what is never the largest,
// for a mean zeros, which count. It is half of the size at most.
func (p PoolLayer) Padding(padding int) PoolLayer { p.padding = padding; return p }

// Ceil returns the layer with the division of the output's size rounded up: a last window may reach past the image, as
// it does in GoogLeNet. This is PyTorch's ceil_mode; only MaxPool has it.
func (p PoolLayer) Ceil() PoolLayer { p.ceil = true; return p }

func (p PoolLayer) String() string {
	s := fmt.Sprintf("%s %d×%[2]d", p.kind, p.size)
	if p.stride != p.size {
		s += fmt.Sprintf(", stride %d", p.stride)
	}
	if p.padding != 0 {
		s += fmt.Sprintf(", padding %d", p.padding)
	}
	if p.ceil {
		s += ", rounded up"
	}
	return s
}

// Apply is Layer's.
func (p PoolLayer) Apply(_ *model.Scope, x *graph.Node) *graph.Node {
	checkWindow(x, p.size, p.stride, p.padding)
	if 2*p.padding > p.size {
		panicf("has size %d and padding %d: padding is half of the size at most", p.size, p.padding)
	}
	note(x, cost{kernel: p.size, stride: p.stride})
	if p.kind == "max-pool" && tracerOf(x.Graph()) == nil && device.IsCPU(x.Graph().Backend()) {
		// XLA's own gradient of a maximum takes ten times as long there.
		if p.tiles(x) {
			return p.poolTiles(x)
		}
		return p.poolShifted(x)
	}
	if p.kind == "avg-pool" {
		if p.ceil {
			panicf("cannot be rounded up: only a max-pool can")
		}
		return p.pool(pad(x, p.padding)).Window(p.size).Strides(p.stride).NoPadding().Done()
	}
	pool := p.pool(x).Window(p.size).Strides(p.stride).NoPadding()
	rows, columns := p.padding+p.beyond(x.Shape().Dim(1)), p.padding+p.beyond(x.Shape().Dim(2))
	if rows > 0 || columns > 0 {
		pool = pool.PaddingPerDim([][2]int{{p.padding, rows}, {p.padding, columns}})
	}
	return pool.Done()
}

// tiles reports whether the windows cover the images without a gap, an overlap or a rest.
func (p PoolLayer) tiles(x *graph.Node) bool {
	return p.size > 0 && p.padding == 0 && p.stride == p.size && x.Shape().Dim(1)%p.size == 0 && x.Shape().Dim(2)%p.size == 0
}

// poolTiles pools windows that tile the images, whichever of batch and channels is first and last.
func (p PoolLayer) poolTiles(x *graph.Node) *graph.Node {
	first, height, width, last := x.Shape().Dim(0), x.Shape().Dim(1)/p.size, x.Shape().Dim(2)/p.size, x.Shape().Dim(3)
	split := func(x *graph.Node) *graph.Node { return graph.Reshape(x, first, height, p.size, width, p.size, last) }
	if p.kind == "avg-pool" {
		return graph.ReduceMean(split(x), 2, 4)
	}
	var largest *graph.Node
	return withGradient(x, func(x *graph.Node) *graph.Node {
		largest = graph.ReduceMax(split(x), 2, 4)
		return largest
	}, func(pull *graph.Node) *graph.Node {
		// The first of a window's largest values gets all of the gradient, as in PyTorch.
		each := func(x *graph.Node) *graph.Node { return graph.Reshape(x, first, height, 1, width, 1, last) }
		values, largest, pull := split(x), each(largest), each(pull)
		none, free := graph.ZerosLike(pull), graph.Equal(largest, largest)
		var lines []*graph.Node
		for i := range p.size {
			var line []*graph.Node
			for j := range p.size {
				value := graph.Slice(values, graph.AxisRange(), graph.AxisRange(), graph.AxisElem(i), graph.AxisRange(), graph.AxisElem(j))
				hit := graph.LogicalAnd(free, graph.Equal(value, largest))
				free = graph.LogicalAnd(free, graph.LogicalNot(hit))
				line = append(line, graph.Where(hit, pull, none))
			}
			lines = append(lines, graph.Concatenate(line, 4))
		}
		return graph.Reshape(graph.Concatenate(lines, 2), x.Shape().Dimensions...)
	})
}

// poolShifted takes the maximum of windows that overlap, as that of the images moved by 0, 1, … pixels: along the rows,
// then along the columns. Of equal values, the first of the first row gets all of the gradient, as in PyTorch.
func (p PoolLayer) poolShifted(x *graph.Node) *graph.Node {
	lowest := graph.Infinity(x.Graph(), x.DType(), -1)
	for _, axis := range []int{2, 1} {
		x = extend(x, axis, p.padding, p.padding+p.beyond(x.Shape().Dim(axis)), lowest)
		reach := x.Shape().Dim(axis) - p.size + 1 // where windows can begin
		var largest *graph.Node
		for k := range p.size {
			axes := []graph.SliceAxisSpec{graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), graph.AxisRange()}
			axes[axis] = graph.AxisRange(k, k+reach).Stride(p.stride)
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
	room := side + 2*p.padding - p.size // for windows to begin in, after the first
	if !p.ceil || room%p.stride == 0 || room/p.stride*p.stride+p.stride >= side+p.padding {
		return 0
	}
	return p.stride - room%p.stride
}

// GlobalAvgPool keeps the mean of each channel. [batch, height, width, channels] → [batch, channels]
var GlobalAvgPool = Func("global-avg-pool", func(x *graph.Node) *graph.Node {
	if x.Rank() != 4 {
		panicf("takes [batch, height, width, channels], got %v", x.Shape().Dimensions)
	}
	note(x, cost{global: true})
	return graph.ReduceMean(x, 1, 2)
})

// checkWindow panics when a window of size × size cannot slide over the images x.
func checkWindow(x *graph.Node, size, stride, padding int) {
	if x.Rank() != 4 {
		panicf("takes [batch, height, width, channels], got %v", x.Shape().Dimensions)
	}
	if size < 1 || stride < 1 || padding < 0 {
		panicf("has size %d, stride %d and padding %d: size and stride start at 1, padding at 0", size, stride, padding)
	}
	height, width := x.Shape().Dim(1), x.Shape().Dim(2)
	if size > height+2*padding || size > width+2*padding {
		panicf("slides a window of %d×%d over a %d×%d feature map with padding %d: the window does not fit",
			size, size, height, width, padding)
	}
}
