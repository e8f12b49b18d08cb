// Package op has what the graphs of package nn need and GoMLX lacks, or has without a gradient.
package op

import "github.com/gomlx/gomlx/core/graph"

// WithGradient is f(x) with another gradient than the one that GoMLX would derive: backward makes the gradient by x of
// the gradient by f(x). What GoMLX derives all the same is used by nothing, and XLA drops it.
func WithGradient(x *graph.Node, f, backward func(*graph.Node) *graph.Node) *graph.Node {
	var pull *graph.Node // known once GoMLX comes by f(x) on its way back to x
	x = graph.IdentityWithCustomGradient(x, func(_, _ *graph.Node) *graph.Node { return backward(pull) })
	return graph.IdentityWithCustomGradient(f(x), func(_, v *graph.Node) *graph.Node {
		pull = v
		return v
	})
}
