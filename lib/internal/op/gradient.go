// Package op has what the graphs of package nn need and GoMLX lacks, or has without a gradient.
package op

import "github.com/gomlx/gomlx/core/graph"

// WithGradient is f(x) with another gradient than the one that GoMLX would derive: backward makes the gradient with
// respect to x of the gradient with respect to f(x). What GoMLX derives all the same is used by nothing, and XLA drops
// it.
func WithGradient(x *graph.Node, f, backward func(*graph.Node) *graph.Node) *graph.Node {
	var pull *graph.Node // known once GoMLX comes by f(x) on its way back to x
	x = Identity(x, func(_, _ *graph.Node) *graph.Node { return backward(pull) })
	return Identity(f(x), func(_, v *graph.Node) *graph.Node {
		pull = v
		return v
	})
}

type own struct{ node graph.NodeId } // of a graph's state

// Identity is x with this gradient, as graph.IdentityWithCustomGradient makes it.
func Identity(x *graph.Node, gradient func(x, pull *graph.Node) *graph.Node) *graph.Node {
	y := graph.IdentityWithCustomGradient(x, gradient)
	y.Graph().AttachState(own{y.Id()}, true)
	return y
}

// Foreign reports whether a node has a gradient that somebody else than this package gave it.
func Foreign(node *graph.Node) bool {
	return node.CustomGradient() != nil && node.Graph().State(own{node.Id()}) == nil
}
