package op

import (
	"fmt"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// External is a computation of the plugin that package device puts in front of XLA: it replaces calls of a function
// that has this name, or refuses the program. So the function's body only says of what shapes the results are.
type External struct {
	Name    string
	Results []shapes.Shape
	// Gradient is what the gradients by the inputs are, or nil where there is none, if that by the first result is pull.
	// The others have no gradient.
	Gradient func(inputs, results []*graph.Node, pull *graph.Node) []*graph.Node
}

type (
	functionOf string                      // the state of a graph under this key is the function of that name
	gradientOf struct{ call graph.NodeId } // and under this one the gradient of a call
	gradient   func(pull *graph.Node) []*graph.Node
)

func init() {
	graph.VJPRegistration[graph.NodeTypeCall] = func(call *graph.Node, pulls []*graph.Node, _ shapes.Shape) []*graph.Node {
		return call.Graph().State(gradientOf{call.Id()}).(gradient)(pulls[0])
	}
}

// Call computes it.
func (e External) Call(inputs ...*graph.Node) (results []*graph.Node) {
	g := inputs[0].Graph()
	name := e.Name
	for _, dim := range inputs[0].Shape().Dimensions {
		name += fmt.Sprint("_", dim)
	}
	function, made := g.State(functionOf(name)).(*graph.Function)
	if !made {
		function = graph.NewFunction(g, name, func(g *graph.Graph) (results []*graph.Node) {
			for i, input := range inputs {
				graph.Parameter(g, fmt.Sprint("input", i), input.Shape())
			}
			for _, shape := range e.Results {
				zero := graph.Const(g, float32(0))
				results = append(results, graph.BroadcastToDims(zero, shape.Dimensions...))
			}
			return results
		})
		g.AttachState(functionOf(name), function)
	}
	results = function.Call(inputs...)
	call := results[0]
	if len(results) > 1 {
		call = call.Inputs()[0]
	}
	g.AttachState(gradientOf{call.Id()}, gradient(func(pull *graph.Node) []*graph.Node {
		return e.Gradient(inputs, results, pull)
	}))
	return results
}
