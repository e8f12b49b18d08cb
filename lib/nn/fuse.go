package nn

import "github.com/gomlx/gomlx/core/graph"

// A layer may know a faster way to what layers behind it make of its result, and offers it with that. A layer that
// takes the offer leaves the result unused, and XLA drops what is not used.

type (
	reluKey  struct{ result graph.NodeId } // of a graph's state
	scaleKey struct{ result graph.NodeId }
)

// offerReLU offers what a ReLU makes of y.
func offerReLU(y *graph.Node, rectified func() *graph.Node) {
	y.Graph().AttachState(reluKey{y.Id()}, rectified)
}

// rectifiedBehind is what was offered with x, or nil.
func rectifiedBehind(x *graph.Node) func() *graph.Node {
	rectified, _ := x.Graph().State(reluKey{x.Id()}).(func() *graph.Node)
	return rectified
}

// offerScale offers y · factor + shift, channel by channel.
func offerScale(y *graph.Node, scaled func(factor, shift *graph.Node) *graph.Node) {
	y.Graph().AttachState(scaleKey{y.Id()}, scaled)
}

// scaledBehind is what was offered with x, or nil.
func scaledBehind(x *graph.Node) func(factor, shift *graph.Node) *graph.Node {
	scaled, _ := x.Graph().State(scaleKey{x.Id()}).(func(factor, shift *graph.Node) *graph.Node)
	return scaled
}
