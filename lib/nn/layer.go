// Package nn describes convolutional networks as values.
//
// A Layer is a description: it holds no weights and does nothing until it is applied to a batch in a GoMLX graph. One
// description gives the graph that trains, the summary, the parameter count and the initial weights.
//
//	net := nn.Named("LeNet",
//		nn.Conv(6, 5), nn.ReLU, nn.MaxPool(2),
//		nn.Conv(16, 5), nn.ReLU, nn.MaxPool(2),
//		nn.Flatten, nn.Dense(120), nn.ReLU, nn.Dense(84), nn.ReLU, nn.Dense(10))
//
// Batches of images are float32 tensors in the order NHWC: [batch, height, width, channels].
//
// Layers build graphs, so they panic on a shape that does not fit, the way GoMLX does; Summary and package train turn
// that into an error of one line that names the layer.
package nn

import (
	"fmt"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Layer is a network or a part of one, described by value.
type Layer interface {
	// Apply adds the layer's computation on the batch x to x's graph and returns its result. The layer's weights are
	// variables of the scope.
	Apply(scope *model.Scope, x *graph.Node) *graph.Node

	// String describes the layer for people. Its first word is the layer's kind, such as conv, after which its
	// variables are named: conv1/weights, conv1/bias, conv2/weights.
	fmt.Stringer
}

// Sequential applies layers one after another.
func Sequential(layers ...Layer) Layer { return Named("sequential", layers...) }

// Named is Sequential with a name: of a network, for results and summaries, or of a block inside of one.
func Named(name string, layers ...Layer) Layer {
	return sequence{name: name, layers: layers}
}

type sequence struct {
	name   string
	layers []Layer
}

func (s sequence) String() string { return s.name }

func (s sequence) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	count := map[string]int{}
	batchLast := false
	for _, layer := range s.layers {
		kind, _, _ := strings.Cut(layer.String(), " ")
		count[kind]++
		x, batchLast = applyInOrder(scope.In("%s%d", kind, count[kind]), layer, x, batchLast)
	}
	if batchLast {
		x = turned(x)
	}
	return x
}

// Func makes a layer of a plain GoMLX function, such as activation.Swish or one of your own.
func Func(name string, f func(x *graph.Node) *graph.Node) Layer {
	return ModelFunc(name, func(_ *model.Scope, x *graph.Node) *graph.Node { return f(x) })
}

// ModelFunc makes a layer of a plain GoMLX model function, one that keeps variables in a scope, such as those of
// GoMLX's package layers.
func ModelFunc(name string, f func(scope *model.Scope, x *graph.Node) *graph.Node) Layer {
	return function{name, f}
}

type function struct {
	name string
	f    func(*model.Scope, *graph.Node) *graph.Node
}

func (f function) String() string { return f.name }

func (f function) Apply(scope *model.Scope, x *graph.Node) *graph.Node { return f.f(scope, x) }

// elementwise makes a layer of a function that treats every value alike, wherever it stands.
func elementwise(name string, f func(x *graph.Node) *graph.Node) Layer {
	return each{function{name, func(_ *model.Scope, x *graph.Node) *graph.Node { return f(x) }}}
}

type each struct{ function }

func (e each) canBatchLast(*graph.Node) bool { return true }

func (e each) applyBatchLast(scope *model.Scope, x *graph.Node) *graph.Node { return e.f(scope, x) }

// Name is the network's or layer's own name: the first word of its description.
func Name(layer Layer) string {
	name, _, _ := strings.Cut(layer.String(), " ")
	return name
}
