package nn

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn/internal/convolve"
)

// ConvLayer slides filters over an image. Each filter has one weight for every value under its window, the same at
// every position, plus one bias; its results at all positions make one channel of the output, a feature map.
// [batch, height, width, channels] → [batch, (height + 2 × padding − kernel)/stride + 1, same for the width, filters]
type ConvLayer struct{ info Info }

// Conv has the given number of filters of kernel × kernel, stride 1 and no padding.
//
// Weights and biases start uniform in ±1/√(kernel × kernel × channels), as PyTorch's nn.Conv2d does.
func Conv(filters, kernel int) ConvLayer {
	return ConvLayer{Info{Kind: "conv", Filters: filters, Kernel: kernel, Stride: 1, Groups: 1}}
}

// Stride returns the layer with another distance between windows.
func (c ConvLayer) Stride(stride int) ConvLayer { c.info.Stride = stride; return c }

// Padding returns the layer with that many zeros put around the image on every side.
func (c ConvLayer) Padding(padding int) ConvLayer { c.info.Padding = padding; return c }

// Groups returns the layer with its filters in that many groups, each of which sees only its share of the channels: the
// first filters the first channels, and so on. AlexNet had two, one on each of two GPUs.
func (c ConvLayer) Groups(groups int) ConvLayer { c.info.Groups = groups; return c }

// NoBias returns the layer without biases, as batch norm after it has shifts of its own.
func (c ConvLayer) NoBias() ConvLayer { c.info.NoBias = true; return c }

// Info implements [Layer].
func (c ConvLayer) Info() Info { return c.info }

// Apply implements [Layer].
func (c ConvLayer) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	kernel, filters, groups := c.info.Kernel, c.info.Filters, c.info.Groups
	checkWindow(x, kernel, c.info.Stride, c.info.Padding)
	if filters < 1 {
		panicf("has %d filters: it needs at least 1", filters)
	}
	if groups < 1 || x.Shape().Dim(3)%groups != 0 || filters%groups != 0 {
		panicf("has %d groups for %d channels and %d filters: both must be divisible by them",
			groups, x.Shape().Dim(3), filters)
	}
	channels := x.Shape().Dim(3) / groups // that a filter sees
	bound := uniform(1 / math.Sqrt(float64(kernel*kernel*channels)))
	weights := parameter(scope, x, "weights", bound, kernel, kernel, channels, filters)
	var bias *graph.Node
	if !c.info.NoBias {
		bias = parameter(scope, x, "bias", bound, 1, 1, 1, filters)
	}
	precision := precisionOf(x)
	y := convolve.Convolve(graph.ConvertDType(x, precision), graph.ConvertDType(weights, precision),
		c.info.Stride, c.info.Padding)
	y = graph.ConvertDType(y, x.DType())
	positions := y.Shape().Dim(1) * y.Shape().Dim(2)
	note(x, cost{macs: positions * weights.Shape().Size(), kernel: kernel, stride: c.info.Stride})
	if bias != nil {
		y = graph.Add(y, bias)
	}
	if !scope.IsTraining(x.Graph()) && precision == x.DType() && convolve.CanEnd(x, weights, c.info.Padding) {
		c.offer(x, weights, bias, y)
	}
	return y
}

// offer offers bias, factor and ReLU in one pass with the convolution, for a test.
func (c ConvLayer) offer(x, weights, bias, y *graph.Node) {
	ended := func(weights, bias *graph.Node, relu bool) *graph.Node {
		return convolve.Ended(x, weights, bias, c.info.Stride, c.info.Padding, relu)
	}
	if bias != nil {
		offerReLU(y, func() *graph.Node { return ended(weights, bias, true) })
	}
	offerScale(y, func(factor, shift *graph.Node) *graph.Node {
		weights := graph.Mul(weights, factor)
		if bias != nil {
			shift = graph.Add(graph.Mul(bias, factor), shift)
		}
		y := ended(weights, shift, false)
		offerReLU(y, func() *graph.Node { return ended(weights, shift, true) })
		return y
	})
}
