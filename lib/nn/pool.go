package nn

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/internal/op"
	"example.org/convbook/lib/nn/internal/pool"
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
// it does in GoogLeNet. This is PyTorch's ceil_mode, but that the first window has to fit; only [MaxPool] has it.
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
	if p.info.Kind == "avg-pool" {
		if p.info.Ceil {
			panicf("cannot be rounded up: only a max-pool can")
		}
		return graph.MeanPool(op.Pad(x, padding)).Window(size).Strides(stride).NoPadding().Done()
	}
	return pool.Max(x, pool.Window{Size: size, Stride: stride, Padding: padding,
		Below: p.beyond(x.Shape().Dim(1)), Right: p.beyond(x.Shape().Dim(2))})
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
var GlobalAvgPool Layer = plain{"global-avg-pool", channelMeans}

func channelMeans(x *graph.Node) *graph.Node {
	checkImages(x)
	note(x, cost{global: true})
	return graph.ReduceMean(x, 1, 2)
}
