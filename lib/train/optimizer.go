package train

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
)

// Optimizer changes parameters after each step, by their gradients.
type Optimizer struct {
	name string
	rate float64 // the learning rate

	invalid error // a setting that cannot work
	slots   int   // arrays of its own that it keeps for each parameter, zero at first
	update  func(rate, parameter, gradient *graph.Node, slots []*graph.Node) (newParameter *graph.Node, newSlots []*graph.Node)
}

// SGD is stochastic gradient descent with momentum, as PyTorch's optim.SGD has it: each parameter p keeps a velocity v,
// and a step with gradient g is v ← momentum·v + g, then p ← p − rate·v. Momentum 0 is plain descent.
func SGD(rate, momentum float64) Optimizer {
	o := Optimizer{name: fmt.Sprintf("SGD, momentum %v", momentum), rate: rate, slots: 1}
	if !(momentum >= 0 && momentum < 1) {
		o.invalid = fmt.Errorf("momentum is %v: it must be at least 0 and below 1", momentum)
	}
	o.update = func(rate, parameter, gradient *graph.Node, slots []*graph.Node) (*graph.Node, []*graph.Node) {
		velocity := graph.Add(graph.MulScalar(slots[0], momentum), gradient)
		return graph.Sub(parameter, graph.Mul(rate, velocity)), []*graph.Node{velocity}
	}
	return o
}

func (o Optimizer) String() string { return fmt.Sprintf("%s, learning rate %v", o.name, o.rate) }

func (o Optimizer) check() error {
	if !(o.rate > 0) {
		return fmt.Errorf("learning rate is %v: it must be above 0", o.rate)
	}
	return o.invalid
}
