package op

import (
	"fmt"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// External is a computation that the plugin which package device puts in front of XLA knows by its name: it replaces
// calls of a function that has this name by code of its own.
type External struct {
	Name string

	// Body is the same computation, for a call that the plugin leaves alone. It must not use numbers that the graph
	// shares, such as graph.ScalarZero. Where it is nil there is no such call, and Results are the results' shapes.
	Body    func(inputs []*graph.Node) *graph.Node
	Results []shapes.Shape

	// Gradient is what the gradients with respect to the inputs are, or nil where there is none, if that with respect
	// to the first result is pull. The other results have no gradient. Where it is nil it is that of Body.
	Gradient func(inputs, results []*graph.Node, pull *graph.Node) []*graph.Node
}

type (
	functionOf string                      // the state of a graph under this key is the function of that name
	gradientOf struct{ call graph.NodeId } // and under this one the gradient of a call
	gradient   func(pull *graph.Node) []*graph.Node
)

func init() {
	graph.VJPRegistration[graph.NodeTypeCall] = func(call *graph.Node, pulls []*graph.Node, _ shapes.Shape) []*graph.Node {
		by, known := call.Graph().State(gradientOf{call.Id()}).(gradient)
		if !known {
			panic(fmt.Errorf("%v has no gradient: GoMLX does not know one for calls of a graph's functions", call))
		}
		return by(pulls[0])
	}
}

// Call computes it.
func (e External) Call(inputs ...*graph.Node) (results []*graph.Node) {
	g := inputs[0].Graph()
	results = e.function(g, inputs).Call(inputs...)
	call := results[0]
	if len(results) > 1 {
		call = call.Inputs()[0]
	}
	g.AttachState(gradientOf{call.Id()}, gradient(func(pull *graph.Node) []*graph.Node {
		if e.Gradient != nil {
			return e.Gradient(inputs, results, pull)
		}
		return graph.Gradient(graph.ReduceAllSum(graph.Mul(e.Body(inputs), graph.StopGradient(pull))), inputs...)
	}))
	return results
}

// function is the graph's function for inputs of these shapes. They are a part of its name.
func (e External) function(g *graph.Graph, inputs []*graph.Node) *graph.Function {
	name := e.Name
	for _, input := range inputs {
		for _, dim := range input.Shape().Dimensions {
			name += fmt.Sprint("_", dim)
		}
	}
	if f, made := g.State(functionOf(name)).(*graph.Function); made {
		return f
	}
	f := graph.NewFunction(g, name, func(g *graph.Graph) (results []*graph.Node) {
		var parameters []*graph.Node
		for i, input := range inputs {
			parameters = append(parameters, graph.Parameter(g, fmt.Sprint("input", i), input.Shape()))
		}
		if e.Body != nil {
			return []*graph.Node{e.Body(parameters)}
		}
		for _, shape := range e.Results { // go-xla writes no function without a body
			results = append(results, graph.BroadcastToDims(graph.Const(g, float32(0)), shape.Dimensions...))
		}
		return results
	})
	g.AttachState(functionOf(name), f)
	return f
}
