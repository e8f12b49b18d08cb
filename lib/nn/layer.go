// Package nn describes convolutional networks as values.
//
// A [Layer] is a description: it holds no weights and does nothing until it is applied to a batch in a GoMLX graph. One
// description gives the graph that trains, the summary, the parameter count and the initial weights. It does not change
// with a list of layers that it was made of.
//
//	net := nn.Named("LeNet",
//		nn.Conv(6, 5), nn.ReLU, nn.MaxPool(2),
//		nn.Conv(16, 5), nn.ReLU, nn.MaxPool(2),
//		nn.Flatten, nn.Dense(120), nn.ReLU, nn.Dense(84), nn.ReLU, nn.Dense(10))
//
// Batches of images are float32 tensors in the order NHWC: [batch, height, width, channels].
//
// Layers build graphs, so they panic on a shape that does not fit, the way GoMLX does; [Summarize], [Compute] and
// package train turn that into an error of one line that names the layer.
package nn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Layer is a network or a part of one, described by value.
type Layer interface {
	// Apply adds the layer's computation on the batch x to x's graph and returns its result. The layer's weights are
	// variables of the scope.
	Apply(scope *model.Scope, x *graph.Node) *graph.Node

	// Info describes the layer. Its name, or its kind if it has none, names the layer's variables: conv1/weights,
	// conv1/bias, conv2/weights.
	Info() Info
}

var errNoNetwork = errors.New("the network is nil: give a layer, such as nn.Dense(10)")

// Apply applies a network to a batch of images, with its variables in the scope's sub-scope net. It is how a network
// is used as a plain GoMLX model function.
func Apply(scope *model.Scope, net Layer, x *graph.Node) *graph.Node {
	if net == nil {
		panic(errNoNetwork)
	}
	s, ok := net.(sequence)
	if !ok {
		s = sequence{Name(net), []Layer{net}} // a single layer gets its name and its line, too
	}
	return s.Apply(scope.In(root), x)
}

// Sequential applies layers one after another. Without any it gives what it gets, as one of [Branches] for DenseNet's
// blocks.
func Sequential(layers ...Layer) Layer { return Named("", layers...) }

// Named is Sequential with a name: of a network, for results and summaries, or of a block inside of one.
func Named(name string, layers ...Layer) Layer { return sequence{name, slices.Clone(layers)} }

type sequence struct {
	name   string
	layers []Layer
}

// Info implements [Layer].
func (s sequence) Info() Info { return Info{Kind: "sequential", Name: s.name} }

// Apply implements [Layer].
func (s sequence) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	trace := tracerOf(x.Graph())
	if !utf8.ValidString(s.name) {
		panicf("its name %q is not UTF-8, as names in files are", s.name)
	}
	count, taken := map[string]int{}, map[string]bool{}
	for i, layer := range s.layers {
		if layer == nil {
			panicf("its layer %d is nil: leave it out", i+1)
		}
		label := layer.Info().label()
		switch {
		case strings.Contains(label, "/"):
			panicf("its layer %d has the name %q: take one without a slash, which stands between the names of blocks", i+1, label)
		case !utf8.ValidString(label):
			panicf("its layer %d has the name %q, which is not UTF-8, as names in files are", i+1, label)
		}
		count[label]++
		name := fmt.Sprint(label, count[label])
		if taken[name] {
			panicf("two of its layers would be called %s: give the block of that name another one", name)
		}
		taken[name] = true
		scope := scope.In("%s", name)
		done := trace.begin(scope, layer, x)
		y := layer.Apply(scope, x)
		if y == nil {
			panicf("gives nil for its input: return the result's node")
		}
		if y.Rank() == 0 {
			panicf("gives a single number for all images: give values for each of them")
		}
		done(y)
		x = y
	}
	return x
}

// Func makes a layer of a plain GoMLX function, such as activation.Swish or one of your own.
func Func(name string, f func(x *graph.Node) *graph.Node) Layer {
	if f == nil {
		return ModelFunc(name, nil)
	}
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

// Info implements [Layer].
func (f function) Info() Info { return Info{Kind: "function", Name: f.name} }

// Apply implements [Layer].
func (f function) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if f.f == nil {
		panicf("has no function")
	}
	return f.f(scope, x)
}

// plain is a layer of this package that has no settings.
type plain struct {
	kind string
	f    func(x *graph.Node) *graph.Node
}

// Info implements [Layer].
func (p plain) Info() Info { return Info{Kind: p.kind} }

// Apply implements [Layer].
func (p plain) Apply(_ *model.Scope, x *graph.Node) *graph.Node { return p.f(x) }
