package op

import (
	"slices"

	"github.com/gomlx/gomlx/core/graph"
)

// Pad puts zeros around images. [batch, height, width, channels] → [batch, height + 2 × padding, width + 2 × padding,
// channels]
func Pad(x *graph.Node, padding int) *graph.Node {
	return Grow(Grow(x, 1, padding, padding), 2, padding, padding)
}

// Grow puts zeros before and after what is there along an axis.
func Grow(x *graph.Node, axis, before, after int) *graph.Node {
	return Extend(x, axis, before, after, graph.ScalarZero(x.Graph(), x.DType()))
}

// Extend puts a value before and after what is there along an axis. It concatenates, because GoMLX's Pad has no
// gradient.
func Extend(x *graph.Node, axis, before, after int, value *graph.Node) *graph.Node {
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
