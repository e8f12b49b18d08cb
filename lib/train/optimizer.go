package train

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/internal/op"
	"example.org/convbook/lib/nn"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Optimizer changes parameters after each step, by their gradients.
type Optimizer struct {
	name        string  // as in a Recipe
	rate        float64 // the learning rate
	momentum    float64 // of SGD; of Muon, if it is not the usual one
	turn        float64 // of Muon, see Turn
	decay       float64 // weight decay apart from the gradients, see AdamW
	weightDecay float64 // of the L2 penalty, see WeightDecay
	clip        float64 // see Clip; 0 without
	invalid     error   // a setting that cannot work
	own         string  // made by OptimizerFunc: the sum of its operations, once a network is known, and "unknown" before

	rule
	filters *rule // for convolutions' weights, where they have a rule of their own
}

// rule is how a step changes a parameter.
type rule struct {
	kept   []string // what it keeps for each parameter, arrays of the parameter's dimensions that are zero at first
	update func(now numbers, p parameter) (value *graph.Node, kept []*graph.Node)
	handed string // the same as the plugin of package device knows it, if it does
}

// parameter is what an optimizer's update gets to know.
type parameter struct {
	value, gradient *graph.Node
	kept            []*graph.Node
	kind            string // its name in its layer: weights, biases, or batch norm's scale or shift
}

const weightsKind = "weights" // as nn names them

// stepNumbers are what a step needs beside arrays: worked out on the host, in float64, so a long training does not
// lose them to rounding.
type stepNumbers[T any] struct {
	rate      T // the learning rate
	momentum  T // of SGD
	corrected T // the rate for Adam's mean, which began at zero: rate/(1 − 0.9^step)
	spread    T // what makes up for the same in Adam's variance: 1/√(1 − 0.999^step)
	left      T // the share of a weight that AdamW's decay leaves: 1 − rate·decay
	step      T // counted from 1
}

// numbers are those of a step in its graph.
type numbers struct {
	stepNumbers[*graph.Node]
	all *graph.Node // in a row
}

// numbersIn are those in a row, for each of the rates that parameters may have.
func numbersIn(row *graph.Node) []numbers {
	row = graph.Reshape(row, -1, stepNumbersSize)
	all := make([]numbers, row.Shape().Dim(0))
	for rate := range all {
		all[rate].all = graph.Reshape(graph.Slice(row, graph.AxisElem(rate)), stepNumbersSize)
		for i, field := range all[rate].fields() {
			*field = graph.Reshape(graph.Slice(all[rate].all, graph.AxisElem(i)))
		}
	}
	return all
}

// fields are the numbers in the order in which the program gets them, and the plugin: see its update.h.
func (n *stepNumbers[T]) fields() []*T {
	return []*T{&n.rate, &n.momentum, &n.corrected, &n.spread, &n.left, &n.step}
}

// stepNumbersSize is how many there are.
var stepNumbersSize = len(new(stepNumbers[float64]).fields())

// stepNumbers are those of a step, counted from 1, at a learning rate of factor times the optimizer's.
func (o Optimizer) stepNumbers(factor float64, step int) stepNumbers[float64] {
	rate := factor * o.rate
	return stepNumbers[float64]{
		rate:      rate,
		momentum:  o.momentum,
		corrected: rate / (1 - math.Pow(adamMean, float64(step))),
		spread:    1 / math.Sqrt(1-math.Pow(adamVariance, float64(step))),
		left:      1 - rate*o.decay,
		step:      float64(step),
	}
}

// SGD is stochastic gradient descent with momentum, as PyTorch's optim.SGD has it: each parameter p keeps a velocity v,
// and a step with gradient g is v ← momentum·v + g, then p ← p − rate·v. Momentum 0 is plain descent.
func SGD(rate, momentum float64) Optimizer {
	o := Optimizer{name: "SGD", rate: rate, momentum: momentum}
	if !(momentum >= 0 && momentum < 1) {
		o.invalid = fmt.Errorf("momentum is %v: it must be at least 0 and below 1", momentum)
	}
	o.rule = rule{handed: "descent", kept: []string{"velocity"}, update: func(now numbers, p parameter) (*graph.Node, []*graph.Node) {
		velocity := graph.Add(graph.MulScalar(p.kept[0], momentum), p.gradient)
		return graph.Sub(p.value, graph.Mul(now.rate, velocity)), []*graph.Node{velocity}
	}}
	return o
}

// Adam's constants, those of the paper and of PyTorch.
const (
	adamMean     = 0.9   // how much of the gradients' running mean a step keeps
	adamVariance = 0.999 // how much of their squares' running mean it keeps
	adamEpsilon  = 1e-8
)

// Adam gives every parameter a step size of its own (Kingma and Ba, 2014), as PyTorch's optim.Adam does: with running
// means m of the gradients and v of their squares, both corrected for having started at zero, p ← p − rate·m/(√v +
// 1e-8).
func Adam(rate float64) Optimizer { return adam("Adam", rate, 0) }

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter, 2017): before the step, p ← p − rate·decay·p. Only
// weights decay; biases and batch norm's scale and shift do not.
func AdamW(rate, decay float64) Optimizer { return adam("AdamW", rate, decay) }

func adam(name string, rate, decay float64) Optimizer {
	o := Optimizer{name: name, rate: rate, decay: decay}
	if !(decay >= 0) || infinite(decay) {
		o.invalid = fmt.Errorf("weight decay is %v: it must be at least 0 and finite", decay)
	}
	o.rule = rule{handed: "adam", kept: []string{"mean", "variance"}, update: func(now numbers, p parameter) (*graph.Node, []*graph.Node) {
		mean := toward(p.kept[0], p.gradient, adamMean)
		variance := toward(p.kept[1], graph.Square(p.gradient), adamVariance)
		scale := graph.AddScalar(graph.Mul(graph.Sqrt(variance), now.spread), adamEpsilon)
		if p.kind == weightsKind && decay > 0 {
			p.value = graph.Mul(p.value, now.left)
		}
		return graph.Sub(p.value, graph.Mul(now.corrected, graph.Div(mean, scale))), []*graph.Node{mean, variance}
	}}
	return o
}

// Muon gives each convolution a step that turns it in every direction alike (Jordan et al., 2024). A gradient's few
// large directions drown its many small ones; Muon takes the momentum's matrix, inputs × filters, and brings all of its
// singular values to about 1. As torch.optim.Muon with adjust_lr_fn "match_rms_adamw" it has Nesterov's momentum 0.95,
// AdamW's decay, and steps of the size that AdamW's would have, so one rate serves both (Liu et al., "Muon is
// Scalable for LLM Training", 2025). All other parameters follow AdamW with the same rate and decay.
func Muon(rate, decay float64) Optimizer {
	o := adam("Muon", rate, decay)
	o.filters = o.muon()
	return o
}

// muon is Muon's rule for the weights of convolutions.
func (o Optimizer) muon() *rule {
	share := cmp.Or(o.momentum, muonMomentum)
	return &rule{kept: []string{"momentum"}, update: func(now numbers, p parameter) (*graph.Node, []*graph.Node) {
		momentum := graph.Add(graph.MulScalar(p.kept[0], share), p.gradient)
		ahead := graph.Add(p.gradient, graph.MulScalar(momentum, share))
		dims := p.value.Shape().Dimensions
		filters := dims[len(dims)-1]
		inputs := p.value.Shape().Size() / filters
		step := graph.Reshape(orthogonal(graph.Reshape(ahead, inputs, filters)), dims...)
		if o.turn > 0 {
			p.value = graph.MulScalar(unit(p.value), math.Sqrt(float64(filters)))
			step = graph.MulScalar(step, o.turn/o.rate) // o.rate is in now.rate
			return graph.Sub(p.value, graph.Mul(now.rate, step)), []*graph.Node{momentum}
		}
		step = graph.MulScalar(step, muonSize*math.Sqrt(float64(max(inputs, filters))))
		return graph.Sub(graph.Mul(p.value, now.left), graph.Mul(now.rate, step)), []*graph.Node{momentum}
	}}
}

// Momentum returns Muon with another momentum than 0.95. The fewer steps there are in all, the fewer of those before
// should have a say in one.
func (o Optimizer) Momentum(momentum float64) Optimizer {
	switch {
	case o.filters == nil:
		o.invalid = fmt.Errorf("%s has no momentum to set: Muon has", o.name)
	case !(momentum > 0 && momentum < 1):
		o.invalid = fmt.Errorf("momentum of Muon is %v: it must be above 0 and below 1", momentum)
	default:
		o.momentum = momentum
		if momentum == muonMomentum {
			o.momentum = 0 // the usual one, and the run the same
		}
		o.filters = o.muon()
	}
	return o
}

// Turn returns Muon with a rate of their own for the weights of convolutions, which then all keep their size. A batch
// norm undoes the size: what a step changes is only the weights' direction, and the longer they have become, the less.
// So before each step they are brought to the Frobenius norm √filters, which is about that of a step of rate 1 (Jordan,
// airbench94_muon, 2024). Decay has no part in it. It is of no use to a convolution without a batch norm after it.
func (o Optimizer) Turn(rate float64) Optimizer {
	switch {
	case o.filters == nil:
		o.invalid = fmt.Errorf("%s cannot turn filters: Muon can", o.name)
	case !(rate > 0) || infinite(rate):
		o.invalid = fmt.Errorf("filters turn by %v: it must be above 0 and finite", rate)
	default:
		o.turn = rate
		o.filters = o.muon()
	}
	return o
}

// Parameter is what the function of an OptimizerFunc gets to know of a parameter in a step. All arrays are float32.
type Parameter struct {
	Value    *graph.Node   // of the parameter's dimensions
	Gradient *graph.Node   // of the batch's mean loss, of the same dimensions
	Kept     []*graph.Node // what the step before kept for it, of the same dimensions; zeros in the first step
	Rate     *graph.Node   // the learning rate as the schedule has it in this step, a scalar
	Step     *graph.Node   // the step's number, from 1, a scalar
	Kind     string        // the parameter's name in its layer: weights, bias, or batch norm's scale or shift
}

// OptimizerFunc is an optimizer of one's own. The function does a step on one parameter: it gives the parameter's new
// value, and for each name in keeps an array that the next step gets, such as a velocity. Both have the parameter's
// dimensions. The function is asked once for each parameter, while a step's graph is built.
//
// A schedule, Clip, WeightDecay and a start's rates are in the gradient and in the rate already. A run is known by the
// name and by the function's operations in a graph, as with [LossFunc].
func OptimizerFunc(name string, rate float64, step func(p Parameter) (value *graph.Node, kept []*graph.Node), keeps ...string) Optimizer {
	o := Optimizer{name: name, rate: rate, own: "unknown"}
	sorted := slices.Sorted(slices.Values(keeps))
	switch {
	case name == "" || step == nil:
		o.invalid = errors.New(`an optimizer of your own has a name and a function: train.OptimizerFunc("Lion", 0.003, lion, "momentum")`)
	case len(slices.Compact(sorted)) < len(keeps):
		o.invalid = fmt.Errorf("the optimizer %q keeps two arrays of the same name: give each its own", name)
	case slices.ContainsFunc(keeps, func(kept string) bool { return kept == "" || strings.Contains(kept, "/") }):
		o.invalid = fmt.Errorf("the optimizer %q keeps %q: names must not be empty and have no slash", name, keeps)
	}
	o.rule = rule{kept: keeps, update: func(now numbers, p parameter) (*graph.Node, []*graph.Node) {
		value, kept := step(Parameter{p.value, p.gradient, p.kept, now.rate, now.step, p.kind})
		if len(kept) != len(keeps) {
			panic(fmt.Errorf("it keeps %d arrays, and names %d", len(kept), len(keeps)))
		}
		for _, made := range append([]*graph.Node{value}, kept...) {
			if made == nil || !made.Shape().Equal(p.value.Shape()) {
				panic(fmt.Errorf("it gives %v, and must give arrays of the parameter's dimensions, %v", shapeOf(made), p.value.Shape()))
			}
		}
		return value, kept
	}}
	return o
}

// shapeOf is a node's shape for people.
func shapeOf(node *graph.Node) string {
	if node == nil {
		return "nil"
	}
	return node.Shape().String()
}

// described is the optimizer with the sum of its operations for a network.
func (o Optimizer) described(net *nn.Summary) (Optimizer, error) {
	if o.own == "" {
		return o, nil
	}
	current := "" // the parameter
	sum, err := nn.Operations(func(g *graph.Graph) (x *graph.Node, results []*graph.Node) {
		row := graph.Parameter(g, "row", shapes.Make(dtypes.Float32, stepNumbersSize))
		for _, v := range net.Variables {
			if !v.Trainable {
				continue
			}
			current = v.Name
			array := func(what string) *graph.Node {
				return graph.Parameter(g, what+" of "+v.Name, shapes.Make(dtypes.Float32, v.Dims...))
			}
			p := parameter{value: array("value"), gradient: array("gradient"), kind: path.Base(v.Name)}
			for _, name := range o.kept {
				p.kept = append(p.kept, array(name))
			}
			value, kept := o.update(numbersIn(row)[0], p)
			results = append(append(results, value), kept...)
		}
		return row, results
	})
	if err != nil {
		return o, fmt.Errorf("the optimizer %q, for %s: %w", o.name, current, err)
	}
	o.own = sum
	return o, nil
}

// Muon's constants, those of PyTorch.
const (
	muonMomentum = 0.95
	muonSize     = 0.2 // the root mean square of a weight's step, which is about that of Adam's
	muonRounds   = 5
)

// muonRound are a, b and c of a round of Newton and Schulz's iteration, x ← a·x + b·(x·xᵀ)·x + c·(x·xᵀ)²·x. Jordan
// chose them to let small singular values grow fast; they end between 0.7 and 1.2.
var muonRound = [3]float64{3.4445, -4.7750, 2.0315}

// orthogonal brings the singular values of a matrix to about 1 and keeps its singular vectors.
//
// Each round multiplies x by a polynomial of its Gram matrix, which follows from the Gram matrix before. So the rounds
// need only the smaller square matrix, and x itself is multiplied once, at the end: for 4,608 inputs of 512 filters
// that is 0.4 times the work.
func orthogonal(x *graph.Node) *graph.Node {
	if x.Shape().Dim(0) < x.Shape().Dim(1) {
		return graph.Transpose(orthogonal(graph.Transpose(x, 0, 1)), 0, 1)
	}
	dot := func(a, b *graph.Node) *graph.Node { return graph.Einsum("ij,jk->ik", a, b) }
	x = unit(x)
	gram := graph.Einsum("ri,rj->ij", x, x)
	one := graph.DiagonalWithValue(graph.ScalarOne(x.Graph(), x.DType()), gram.Shape().Dim(0))
	product := one
	for range muonRounds {
		p := graph.MulScalar(one, muonRound[0])
		p = graph.Add(p, graph.MulScalar(gram, muonRound[1]))
		p = graph.Add(p, graph.MulScalar(dot(gram, gram), muonRound[2]))
		product = dot(product, p)
		gram = dot(dot(p, gram), p)
	}
	return dot(x, product)
}

// unit scales an array to the Frobenius norm 1.
func unit(x *graph.Node) *graph.Node {
	return graph.Div(x, graph.AddScalar(graph.Sqrt(graph.ReduceAllSum(graph.Square(x))), 1e-7))
}

// toward is a running mean that keeps the given share of itself and takes the rest from the value.
func toward(mean, value *graph.Node, keep float64) *graph.Node {
	return graph.Add(graph.MulScalar(mean, keep), graph.MulScalar(value, 1-keep))
}

// WeightDecay returns the optimizer with an L2 penalty on the weights, which PyTorch calls weight_decay in optim.SGD and
// optim.Adam: decay·p is added to the gradient of each weight p, before all else but Clip, and that is the gradient of
// decay/2 times the weights' squares. Biases and batch norm's scale and shift have no penalty; in PyTorch they have one
// unless they are put into a group of their own.
//
// What AdamW and Muon do with their decay is something else, apart from the gradients. Both at once are refused.
func (o Optimizer) WeightDecay(decay float64) Optimizer {
	o.weightDecay = decay
	if !(decay >= 0) || infinite(decay) {
		o.invalid = fmt.Errorf("L2 penalty is %v: it must be at least 0 and finite", decay)
	}
	return o
}

// Clip returns the optimizer with gradients of at most that norm: before all else the gradients of everything that is
// trained, taken as one vector, are multiplied by norm/(the vector's length + 1e-6) if that is below 1, as PyTorch's
// clip_grad_norm_ does (Pascanu et al., "On the difficulty of training recurrent neural networks", 2012). So a batch
// with huge gradients makes no huge step. Frozen layers do not count.
func (o Optimizer) Clip(norm float64) Optimizer {
	o.clip = norm
	if !(float32(norm) > 0) || infinite(norm) {
		o.invalid = fmt.Errorf("gradients are clipped to norm %v: it must be above 0 and finite", norm)
	}
	return o
}

// clipped are the gradients as Clip leaves them.
func (o Optimizer) clipped(gradients []*graph.Node) []*graph.Node {
	if o.clip == 0 || len(gradients) == 0 {
		return gradients
	}
	squares := graph.ScalarZero(gradients[0].Graph(), gradients[0].DType())
	for _, gradient := range gradients {
		squares = graph.Add(squares, graph.ReduceAllSum(graph.Square(gradient)))
	}
	total := graph.AddScalar(graph.Sqrt(squares), 1e-6)
	share := graph.MinScalar(graph.Div(graph.Scalar(total.Graph(), total.DType(), o.clip), total), 1)
	var clipped []*graph.Node
	for _, gradient := range gradients {
		clipped = append(clipped, graph.Mul(gradient, share))
	}
	return clipped
}

// infinite reports whether a number is infinite as a float32, as networks are computed.
func infinite(v float64) bool { return math.IsInf(float64(float32(v)), 0) }

func (o Optimizer) check() error {
	if !(o.rate > 0) || math.IsInf(o.rate, 1) {
		return fmt.Errorf("learning rate is %v: it must be above 0 and finite", o.rate)
	}
	if rate := float32(o.rate); rate == 0 || infinite(o.rate) {
		return fmt.Errorf("learning rate is %v, which is %v as a float32, as networks are computed: "+
			"it must be above 0 and finite", o.rate, rate)
	}
	return o.invalid
}

// checkDecays refuses weights that would shrink in two ways at once. It is asked before a training only, since a run that
// was trained so can still be loaded.
func (o Optimizer) checkDecays() error {
	if o.decay > 0 && o.weightDecay > 0 {
		return fmt.Errorf("%s has the weight decay %v, apart from the gradients, and WeightDecay(%v) adds an L2 penalty to them: "+
			"leave one of the two out", o.name, o.decay, o.weightDecay)
	}
	return nil
}

// ruleFor is the rule that the parameter called kind, with these dimensions, follows.
func (o Optimizer) ruleFor(kind string, dims []int) rule {
	if o.filters != nil && kind == weightsKind && len(dims) == filterAxes {
		return *o.filters
	}
	return o.rule
}

// filterAxes are the axes of a convolution's weights: height, width, inputs, filters.
const filterAxes = 4

// apply does a step on one parameter.
func (o Optimizer) apply(now numbers, p parameter) (value *graph.Node, kept []*graph.Node) {
	if o.weightDecay > 0 && p.kind == weightsKind {
		p.gradient = graph.Add(p.gradient, graph.MulScalar(p.value, o.weightDecay))
	}
	r := o.ruleFor(p.kind, p.value.Shape().Dimensions)
	if r.handed != "" && knownToPlugin(p.value.Shape()) && device.OneDNN(p.value.Graph().Backend()) {
		return o.handOver(r.handed, now, p)
	}
	return r.update(now, p)
}

// knownToPlugin reports whether the plugin takes parameters of this shape: it takes all that layers of package nn have.
func knownToPlugin(shape shapes.Shape) bool {
	return shape.DType == dtypes.Float32 && shape.Rank() <= filterAxes && !slices.ContainsFunc(shape.Dimensions, func(n int) bool {
		return n > 1<<24
	})
}

// handOver leaves the work to the plugin. XLA would compile a function for each size of parameters, which takes as long
// as all the rest of a deep network.
func (o Optimizer) handOver(name string, now numbers, p parameter) (value *graph.Node, kept []*graph.Node) {
	if name == "adam" && p.kind == weightsKind && o.decay > 0 {
		name = "adamw"
	}
	inputs := append([]*graph.Node{p.value, p.gradient}, p.kept...)
	var shaped []shapes.Shape
	for range len(p.kept) + 1 {
		shaped = append(shaped, p.value.Shape())
	}
	results := op.External{Name: "convbook_" + name, Results: shaped}.Call(append(inputs, now.all)...)
	return results[0], results[1:]
}

// keptNames are what the optimizer keeps, whatever the parameter.
func (o Optimizer) keptNames() []string {
	if o.filters != nil {
		return append(slices.Clone(o.kept), o.filters.kept...)
	}
	return o.kept
}

// keptPath is where the variable is that the optimizer keeps under this name for the parameter at path.
func keptPath(name, path string) string { return "/optimizer/" + name + path }

// addKept creates the optimizer's own variables.
func addKept(store *model.Store, o Optimizer) {
	for _, v := range optimizedOf(store) {
		for _, name := range o.ruleFor(v.Name(), v.Shape().Dimensions).kept {
			store.VariableWithValue(keptPath(name, v.Path()), tensors.FromShape(v.Shape())).SetTrainable(false)
		}
	}
}

// optimized are the variables that training changes by their gradients.
type optimized []*model.Variable

func optimizedOf(store *model.Store) (vs optimized) {
	for v := range store.IterVariables() {
		if v.Trainable {
			vs = append(vs, v)
		}
	}
	return vs
}

// step changes the variables in the loss's graph by their gradients. What the optimizer needs for it is in one row, for
// each of the rates; rate says which of them a variable has.
func (vs optimized) step(o Optimizer, loss, row *graph.Node, rate func(*model.Variable) int) {
	var nodes []*graph.Node
	for _, v := range vs {
		nodes = append(nodes, v.NodeValue(loss))
	}
	now := numbersIn(row)
	gradients := o.clipped(graph.Gradient(loss, nodes...))
	store := model.GetStore(loss)
	for i, v := range vs {
		p := parameter{value: nodes[i], gradient: gradients[i], kind: v.Name()}
		var variables []*model.Variable
		for _, name := range o.ruleFor(p.kind, v.Shape().Dimensions).kept {
			variable := store.GetVariable(keptPath(name, v.Path()))
			variables, p.kept = append(variables, variable), append(p.kept, variable.NodeValue(loss))
		}
		value, kept := o.apply(now[rate(v)], p)
		v.SetNodeValue(value)
		for k, variable := range variables {
			variable.SetNodeValue(kept[k])
		}
	}
}
