// Package convolve writes the convolution of images in a graph, in the form that the machine computes fastest.
//
// That is XLA's convolution, but for one case: on a processor where oneDNN does not compute it, XLA's own is slow for
// filters with few weights, slower inside of a loop, where package train puts small networks, very slow where the
// feature map is about as small as the kernel, and slow in the gradient with respect to the weights. There a
// convolution is written as something else. All forms give the same numbers, up to rounding.
package convolve

import (
	"fmt"

	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/internal/op"
)

// What decides between the forms on a processor without oneDNN, measured with the shapes of the MNIST CNN, Net and
// VGG16: `make bench`.
const (
	fewWeights   = 256 // that a filter may have for patches to be faster than XLA's convolution
	manyChannels = 64  // from which on, in and out, Winograd's additions cost less than the multiplications they save
)

// Convolve slides filters over images. Where an image has more channels than a filter sees, the filters are in groups:
// the first ones see the first channels, and so on.
// [batch, height, width, channels], [kernel, kernel, channels/groups, filters] → [batch, height', width', filters]
func Convolve(x, weights *graph.Node, stride, padding int) *graph.Node {
	kernel, channels, filters := weights.Shape().Dim(0), weights.Shape().Dim(2), weights.Shape().Dim(3)
	side := min(x.Shape().Dim(1), x.Shape().Dim(2))
	switch {
	case x.Shape().Dim(3) > channels:
		return inGroups(x, weights, stride, padding)
	case !slow(x.Graph()):
		return convolution(x, weights, stride, padding)
	case kernel > 1 && side < kernel:
		return dense(x, weights, stride, padding)
	case kernel > 1 && side < 2*kernel, kernel*kernel*channels <= fewWeights:
		return patches(x, weights, stride, padding)
	case canWinograd(x, weights, stride, padding) && min(channels, filters) >= manyChannels:
		return winograd(x, weights, stride, padding)
	}
	return convolution(x, weights, stride, padding)
}

// slow reports whether XLA computes the graph's convolutions on a processor by itself. Graphs of GoMLX's pure-Go
// backend are never computed.
func slow(g *graph.Graph) bool {
	backend := g.Backend()
	return backend.Name() != gobackend.BackendName && device.IsCPU(backend) && !device.OneDNN(backend)
}

// CanEnd reports whether [Ended] computes a convolution with these weights: it does on a processor with oneDNN, for
// windows of odd size and padding that is less than that.
func CanEnd(x, weights *graph.Node, padding int) bool {
	kernel := weights.Shape().Dim(0)
	return device.OneDNN(x.Graph().Backend()) && x.Shape().Dim(3) == weights.Shape().Dim(2) && kernel%2 == 1 && padding < kernel
}

// Ended is a convolution with a bias, and a ReLU behind it if one is wanted, in a single pass over the result. It is not
// for training: its gradient computes the convolution once more.
func Ended(x, weights, bias *graph.Node, stride, padding int, relu bool) *graph.Node {
	x, padding = padded(x, weights, stride, padding)
	name := "convbook_convolution"
	if relu {
		name += "_relu"
	}
	return op.External{Name: fmt.Sprintf("%s_%d_%d", name, stride, padding), Body: func(in []*graph.Node) *graph.Node {
		y := graph.Add(convolution(in[0], in[1], stride, padding), in[2])
		if relu {
			y = graph.Max(y, graph.Const(y.Graph(), float32(0)))
		}
		return y
	}}.Call(x, weights, bias)[0]
}

// inGroups applies each group of filters to its channels.
func inGroups(x, weights *graph.Node, stride, padding int) *graph.Node {
	groups := x.Shape().Dim(3) / weights.Shape().Dim(2)
	share := func(x *graph.Node, group int) *graph.Node {
		size := x.Shape().Dim(3) / groups
		last := graph.AxisRange(group*size, (group+1)*size)
		return graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), last)
	}
	var parts []*graph.Node
	for group := range groups {
		parts = append(parts, Convolve(share(x, group), share(weights, group), stride, padding))
	}
	return graph.Concatenate(parts, -1)
}

// convolution leaves the work to XLA, or to oneDNN in its place.
//
// GoMLX's gradient of a convolution is wrong for windows of even size (it takes the window's middle for its centre),
// and fails for windows that hold nothing but padding. So an even window gets a row and a column of zeros more, and
// wide padding is put around the image first. Neither changes the result.
func convolution(x, weights *graph.Node, stride, padding int) *graph.Node {
	more := 0
	if weights.Shape().Dim(0)%2 == 0 {
		weights, more = op.Grow(op.Grow(weights, 0, 0, 1), 1, 0, 1), 1
	}
	if padding+more >= weights.Shape().Dim(0) {
		x, padding = op.Pad(x, padding), 0
	}
	x, padding = padded(x, weights, stride, padding)
	around := [2]int{padding, padding + more}
	return graph.Convolve(x, weights).Strides(stride).PaddingPerDim([][2]int{around, around}).Done()
}

// padded puts the padding around the image, where oneDNN is slow otherwise: it has no code of its own for large windows
// that move by several pixels and begin outside of the image, as AlexNet's first ones do.
func padded(x, weights *graph.Node, stride, padding int) (*graph.Node, int) {
	if padding == 0 || stride == 1 || weights.Shape().Dim(0) <= 7 || !device.OneDNN(x.Graph().Backend()) {
		return x, padding
	}
	return op.Pad(x, padding), 0
}
