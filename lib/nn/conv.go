package nn

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/device"
)

// ConvLayer slides filters over an image. Each filter has one weight for every value under its window, the same at
// every position, plus one bias; its results at all positions make one channel of the output, a feature map.
// [batch, height, width, channels] → [batch, (height + 2 × padding − kernel)/stride + 1, same for the width, filters]
type ConvLayer struct {
	filters, kernel, stride, padding, groups int
	noBias                                   bool
}

// Conv has the given number of filters of kernel × kernel, stride 1 and no padding.
//
// Weights and biases start uniform in ±1/√(kernel × kernel × channels), as PyTorch's nn.Conv2d does.
func Conv(filters, kernel int) ConvLayer {
	return ConvLayer{filters: filters, kernel: kernel, stride: 1, groups: 1}
}

// Stride returns the layer with another distance between windows.
func (c ConvLayer) Stride(stride int) ConvLayer { c.stride = stride; return c }

// Padding returns the layer with that many zeros put around the image on every side.
func (c ConvLayer) Padding(padding int) ConvLayer { c.padding = padding; return c }

// Groups returns the layer with its filters in that many groups, each of which sees only its share of the channels: the
// first filters the first channels, and so on. AlexNet had two, one on each of two GPUs.
func (c ConvLayer) Groups(groups int) ConvLayer { c.groups = groups; return c }

// NoBias returns the layer without biases, as batch norm after it has shifts of its own.
func (c ConvLayer) NoBias() ConvLayer { c.noBias = true; return c }

func (c ConvLayer) String() string {
	s := fmt.Sprintf("conv %d×%[1]d, %d filters", c.kernel, c.filters)
	if c.stride != 1 {
		s += fmt.Sprintf(", stride %d", c.stride)
	}
	if c.padding != 0 {
		s += fmt.Sprintf(", padding %d", c.padding)
	}
	if c.groups != 1 {
		s += fmt.Sprintf(", %d groups", c.groups)
	}
	if c.noBias {
		s += ", no bias"
	}
	return s
}

// Apply is Layer's.
func (c ConvLayer) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	checkWindow(x, c.kernel, c.stride, c.padding)
	if c.filters < 1 {
		panicf("has %d filters: it needs at least 1", c.filters)
	}
	if c.groups < 1 || x.Shape().Dim(3)%c.groups != 0 || c.filters%c.groups != 0 {
		panicf("has %d groups for %d channels and %d filters: both must be divisible by them", c.groups, x.Shape().Dim(3), c.filters)
	}
	weights, bias := c.parameters(scope, x, x.Shape().Dim(3)/c.groups)
	y := c.convolve(x, weights)
	note(x, cost{macs: y.Shape().Dim(1) * y.Shape().Dim(2) * weights.Shape().Size(), kernel: c.kernel, stride: c.stride})
	if bias == nil {
		return y
	}
	return graph.Add(y, bias)
}

// parameters are the weights and, if the layer has them, the biases of filters that see so many channels.
func (c ConvLayer) parameters(scope *model.Scope, x *graph.Node, channels int) (weights, bias *graph.Node) {
	bound := uniform(1 / math.Sqrt(float64(c.kernel*c.kernel*channels)))
	weights = parameter(scope, x, "weights", bound, c.kernel, c.kernel, channels, c.filters)
	if !c.noBias {
		bias = parameter(scope, x, "bias", bound, 1, 1, 1, c.filters)
	}
	return weights, bias
}

// convolve applies each group's filters to its channels.
func (c ConvLayer) convolve(x, weights *graph.Node) *graph.Node {
	share := func(x *graph.Node, group int) *graph.Node {
		size := x.Shape().Dim(3) / c.groups
		return graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(), graph.AxisRange(group*size, (group+1)*size))
	}
	if c.groups == 1 {
		return lower(x, weights, c.stride, c.padding)(x, weights, c.stride, c.padding)
	}
	var parts []*graph.Node
	for group := range c.groups {
		x, weights := share(x, group), share(weights, group)
		parts = append(parts, lower(x, weights, c.stride, c.padding)(x, weights, c.stride, c.padding))
	}
	return graph.Concatenate(parts, -1)
}

// lowering is one way to write a convolution of images with weights [kernel, kernel, channels, filters] in a graph. All
// give the same numbers, up to rounding.
type lowering func(x, weights *graph.Node, stride, padding int) *graph.Node

// What decides between lowerings on the CPU, measured with the shapes of the MNIST CNN, Net and VGG16: `make bench`.
const (
	fewWeights   = 256 // that a filter may have for patches to be faster than XLA's convolution
	manyChannels = 64  // from which on, in and out, Winograd's additions cost less than the multiplications they save
)

// needsLowering reports whether convolutions in the graph are faster when they are written as something else: on the CPU,
// where oneDNN is missing. A trace shows the convolution itself.
func needsLowering(g *graph.Graph) bool {
	return tracerOf(g) == nil && device.IsCPU(g.Backend()) && !device.OneDNN(g.Backend())
}

// lower picks the fastest lowering. XLA's own convolution on the CPU is slow for filters with few weights, slower inside of
// a loop, where package train puts small networks, very slow where the feature map is about as small as the kernel, and
// slow in the gradient by the weights.
func lower(x, weights *graph.Node, stride, padding int) lowering {
	if !needsLowering(x.Graph()) {
		return asConvolution
	}
	kernel, channels, filters := weights.Shape().Dim(0), weights.Shape().Dim(2), weights.Shape().Dim(3)
	side := min(x.Shape().Dim(1), x.Shape().Dim(2))
	switch {
	case kernel > 1 && side < kernel:
		return asDense
	case kernel > 1 && side < 2*kernel, kernel*kernel*channels <= fewWeights:
		return asPatches
	case canWinograd(x, weights, stride, padding) && min(channels, filters) >= manyChannels:
		return asConvolutionWinogradWeights
	}
	return asConvolution
}

// asConvolution leaves the work to XLA.
//
// GoMLX's gradient of a convolution is wrong for windows of even size (it takes the window's middle for its centre),
// and fails for windows that hold nothing but padding. So an even window gets a row and a column of zeros more, and wide
// padding is put around the image first. Neither changes the result.
func asConvolution(x, weights *graph.Node, stride, padding int) *graph.Node {
	more := 0
	if weights.Shape().Dim(0)%2 == 0 {
		weights, more = grow(grow(weights, 0, 0, 1), 1, 0, 1), 1
	}
	if padding+more >= weights.Shape().Dim(0) {
		x, padding = pad(x, padding), 0
	}
	around := [2]int{padding, padding + more}
	return graph.Convolve(x, weights).Strides(stride).PaddingPerDim([][2]int{around, around}).Done()
}

// asPatches copies what lies under the window at each position into a row of a matrix, in the order of the weights, and
// multiplies: the convolution becomes one matrix product.
func asPatches(x, weights *graph.Node, stride, padding int) *graph.Node {
	x = pad(x, padding)
	kernel, filters := weights.Shape().Dim(0), weights.Shape().Dim(3)
	patches := graph.Concatenate(windows(x, kernel, stride), -1) // [batch, height', width', kernel × kernel × channels]
	dims := patches.Shape().Dimensions
	y := graph.MatMul(graph.Reshape(patches, -1, dims[3]), graph.Reshape(weights, dims[3], filters))
	return graph.Reshape(y, dims[0], dims[1], dims[2], filters)
}

// windows are what lies under each place of the window at all of its positions along axes 1 and 2 of x, row by row: for
// a kernel of 3, nine arrays.
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

// asDense writes the convolution as a dense layer: one matrix with a row for every value of the image and a column for
// every value of the result. Where most windows see most of a small image, that is fewer multiplications than patches
// take, which are mostly padding then.
func asDense(x, weights *graph.Node, stride, padding int) *graph.Node {
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

// pad puts zeros around the images.
func pad(x *graph.Node, padding int) *graph.Node {
	return grow(grow(x, 1, padding, padding), 2, padding, padding)
}

// grow puts zeros before and after what is there along an axis.
func grow(x *graph.Node, axis, before, after int) *graph.Node {
	return extend(x, axis, before, after, graph.ScalarZero(x.Graph(), x.DType()))
}

// extend puts a value before and after what is there along an axis. It concatenates, because GoMLX's Pad has no gradient.
func extend(x *graph.Node, axis, before, after int, value *graph.Node) *graph.Node {
	filled := func(n int) []*graph.Node {
		if n == 0 {
			return nil
		}
		dims := slices.Clone(x.Shape().Dimensions)
		dims[axis] = n
		return []*graph.Node{graph.BroadcastToDims(value, dims...)}
	}
	parts := append(append(filled(before), x), filled(after)...)
	if len(parts) == 1 {
		return x
	}
	return graph.Concatenate(parts, axis)
}
