package nn

import "github.com/gomlx/gomlx/core/graph"

// ReLU keeps what is positive and puts 0 for the rest.
var ReLU Layer = plain{"relu", func(x *graph.Node) *graph.Node {
	return graph.Max(x, graph.ScalarZero(x.Graph(), x.DType()))
}}

// Sigmoid squeezes every value into (0, 1): 1/(1+e⁻ˣ).
var Sigmoid Layer = plain{"sigmoid", graph.Sigmoid}

// LogSoftmax turns scores into logarithms of probabilities along the last axis. [batch, classes] → the same
var LogSoftmax Layer = plain{"log-softmax", func(x *graph.Node) *graph.Node {
	return graph.LogSoftmax(x, -1)
}}
