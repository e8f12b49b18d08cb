package nn

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// PoolLayer slides a window over every channel by itself and keeps one number of each position.
// [batch, height, width, channels] → [batch, (height − size)/stride + 1, (width − size)/stride + 1, channels]
type PoolLayer struct {
	kind         string
	size, stride int
	pool         func(x *graph.Node) *graph.PoolBuilder
}

// MaxPool keeps the largest value of each size × size window. The stride is the size, unless Stride sets it.
func MaxPool(size int) PoolLayer { return PoolLayer{"max-pool", size, size, graph.MaxPool} }

// AvgPool keeps the mean of each size × size window. The stride is the size, unless Stride sets it.
func AvgPool(size int) PoolLayer { return PoolLayer{"avg-pool", size, size, graph.MeanPool} }

// Stride returns the layer with another distance between windows.
func (p PoolLayer) Stride(stride int) PoolLayer { p.stride = stride; return p }

func (p PoolLayer) String() string {
	if p.stride == p.size {
		return fmt.Sprintf("%s %d×%[2]d", p.kind, p.size)
	}
	return fmt.Sprintf("%s %d×%[2]d, stride %d", p.kind, p.size, p.stride)
}

// Apply is Layer's.
func (p PoolLayer) Apply(_ *model.Scope, x *graph.Node) *graph.Node {
	checkWindow(x, p.size, p.stride, 0)
	note(x, cost{kernel: p.size, stride: p.stride})
	return p.pool(x).Window(p.size).Strides(p.stride).NoPadding().Done()
}

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
