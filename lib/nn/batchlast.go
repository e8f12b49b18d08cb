package nn

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// On the CPU, where oneDNN is missing, convolutions of few weights take a third of the time when the batch is the
// innermost axis, [channels, height, width, batch]: what lies under a window is then made of long runs of memory, and a
// filter's results at all positions of all images are one row of a matrix. A sequence brings its images into this order
// before the first layer that gains by it, and back before the first one that cannot work with it.

// batchLastLayer is a layer that can work on images with the batch last. It gives the same numbers as Apply.
type batchLastLayer interface {
	canBatchLast(x *graph.Node) bool // whether it can on images like these
	applyBatchLast(scope *model.Scope, x *graph.Node) *graph.Node
}

// applyInOrder applies a layer to x, in whose shape the batch comes last or first, and tells where the result has it.
func applyInOrder(scope *model.Scope, layer Layer, x *graph.Node, batchLast bool) (*graph.Node, bool) {
	if c, ok := layer.(ConvLayer); ok && !batchLast && c.prefersBatchLast(x) {
		x, batchLast = materialize(turned(x)), true
	}
	if !batchLast {
		return apply(scope, layer, x), false
	}
	if l, ok := layer.(batchLastLayer); ok && l.canBatchLast(x) {
		return l.applyBatchLast(scope, x), true
	}
	return apply(scope, layer, turned(x)), false
}

// turned puts the batch of images last where it is first, and first where it is last.
func turned(x *graph.Node) *graph.Node { return graph.TransposeAllAxes(x, 3, 1, 2, 0) }

// prefersBatchLast reports whether the convolution is faster on the images x, [batch, height, width, channels], if they
// are turned.
func (c ConvLayer) prefersBatchLast(x *graph.Node) bool {
	return x.Rank() == 4 && needsLowering(x.Graph()) && c.kernel > 1 && c.fewWeights(x, x.Shape().Dim(3))
}

func (c ConvLayer) canBatchLast(x *graph.Node) bool { return c.fewWeights(x, x.Shape().Dim(0)) }

// fewWeights reports whether the layer is one of few weights on images x of so many channels, and fits them.
func (c ConvLayer) fewWeights(x *graph.Node, channels int) bool {
	return c.filters > 0 && c.groups == 1 && c.kernel > 0 && c.stride > 0 && c.padding >= 0 &&
		c.kernel <= min(x.Shape().Dim(1), x.Shape().Dim(2)) && c.kernel*c.kernel*channels <= fewWeights
}

func (c ConvLayer) applyBatchLast(scope *model.Scope, x *graph.Node) *graph.Node {
	weights, bias := c.parameters(scope, x, x.Shape().Dim(0))
	y := convolveBatchLast(x, weights, c.stride, c.padding)
	if bias == nil {
		return y
	}
	return graph.Add(y, graph.Reshape(bias, c.filters, 1, 1, 1))
}

// convolveBatchLast multiplies the weights by patches, as asPatches does.
// [channels, height, width, batch] → [filters, height', width', batch]
func convolveBatchLast(x, weights *graph.Node, stride, padding int) *graph.Node {
	kernel, filters := weights.Shape().Dim(0), weights.Shape().Dim(3)
	patches := graph.Concatenate(windows(pad(x, padding), kernel, stride), 0) // [kernel × kernel × channels, height', width', batch]
	dims := patches.Shape().Dimensions
	// Of matrices, not of arrays of more axes: GoMLX's gradient of those moves all of the patches once more.
	rows, columns := graph.Reshape(weights, dims[0], filters), graph.Reshape(patches, dims[0], -1)
	y := graph.DotGeneral(rows, []int{0}, nil, columns, []int{0}, nil)
	return graph.Reshape(y, filters, dims[1], dims[2], dims[3])
}

func (p PoolLayer) canBatchLast(x *graph.Node) bool { return p.tiles(x) }

func (p PoolLayer) applyBatchLast(_ *model.Scope, x *graph.Node) *graph.Node { return p.poolTiles(x) }

// materialize returns x, computed once and kept in memory. XLA would compute it anew for every patch that a value is in:
// it fuses everything into its users but reductions. So this is the maximum of x and a number that is never larger.
func materialize(x *graph.Node) *graph.Node {
	return withGradient(x, func(x *graph.Node) *graph.Node {
		last := x.Rank() - 1
		twice := slices.Insert(slices.Clone(x.Shape().Dimensions), last, 2)
		second := graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, twice...), last)
		lowest := graph.Scalar(x.Graph(), x.DType(), -math.MaxFloat32)
		both := graph.Where(graph.Equal(second, graph.ZerosLike(second)), graph.BroadcastToDims(graph.ExpandAxes(x, last), twice...), lowest)
		return graph.ReduceMax(both, last)
	}, func(pull *graph.Node) *graph.Node { return pull })
}

// withGradient is f(x) with another gradient than the one that GoMLX would derive: backward makes the gradient by x of
// the gradient by f(x). What GoMLX derives all the same is used by nothing, and XLA drops it.
func withGradient(x *graph.Node, f, backward func(*graph.Node) *graph.Node) *graph.Node {
	var pull *graph.Node // known once GoMLX comes by f(x) on its way back to x
	x = graph.IdentityWithCustomGradient(x, func(_, _ *graph.Node) *graph.Node { return backward(pull) })
	return graph.IdentityWithCustomGradient(f(x), func(_, v *graph.Node) *graph.Node {
		pull = v
		return v
	})
}
