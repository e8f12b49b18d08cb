package nn

import (
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// ResidualLayer adds what its layers make of their input to the input itself.
type ResidualLayer struct {
	layers   []Layer
	shortcut []Layer
}

// Residual is x + f(x), with the layers one after another as f (He et al., "Deep Residual Learning for Image
// Recognition", 2015). f must keep the shape, unless Shortcut brings x into the new one.
func Residual(layers ...Layer) ResidualLayer { return ResidualLayer{layers: slices.Clone(layers)} }

// Shortcut returns the layer as s(x) + f(x), with these layers one after another as s.
func (r ResidualLayer) Shortcut(layers ...Layer) ResidualLayer {
	r.shortcut = slices.Clone(layers)
	return r
}

// Info implements [Layer].
func (r ResidualLayer) Info() Info { return Info{Kind: "residual"} }

// Apply implements [Layer].
func (r ResidualLayer) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	y := applyLane(scope, "", r.layers, x)
	if len(r.shortcut) > 0 {
		x = applyLane(scope.In("shortcut"), "shortcut", r.shortcut, x)
	}
	if to, what := x.Shape().Dimensions, y.Shape().Dimensions; !slices.Equal(to, what) {
		panicf("cannot add %v to %v: give it a Shortcut that makes them alike", what[1:], to[1:])
	}
	sum := graph.Add(x, y)
	tracerOf(x.Graph()).join("add", sum, x, y)
	return sum
}
