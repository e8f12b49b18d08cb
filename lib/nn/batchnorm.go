package nn

import (
	"math"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/internal/op"
)

// BatchNorm gives every channel the mean 0 and the variance 1, and then the scale and the shift that it learns (Ioffe
// and Szegedy, "Batch Normalization", 2015). [batch, height, width, channels] → the same
//
// In training, mean and variance are the batch's, and running averages of them are kept: a step moves them a tenth of
// the way to the batch's. Testing uses the running averages. Both numbers and the 1e-5 that is added to the variance
// are those of PyTorch's nn.BatchNorm2d, and so is the variance: over n values for the batch, over n − 1 for the
// average. Images that only fill a batch up (see [SetCounted]) have no part in any of this.
//
// A batch norm whose scale and shift are not to be trained, as of a layer that package train freezes, does in training
// what it does in a test: it uses the running averages, and they stay. Keras freezes it this way, too. In PyTorch the
// averages of a frozen layer still move, unless it is told that it is in a test.
var BatchNorm = BatchNormLayer{epsilon: usualEpsilon}

const (
	usualEpsilon      = 1e-5
	batchNormMomentum = 0.1
)

// BatchNormLayer is the type of [BatchNorm].
type BatchNormLayer struct {
	epsilon float64
	noScale bool
}

// Epsilon returns the layer with another number added to the variance.
func (b BatchNormLayer) Epsilon(epsilon float64) BatchNormLayer { b.epsilon = epsilon; return b }

// NoScale returns the layer without the scale that it learns, so every channel has the variance 1; the shift stays.
func (b BatchNormLayer) NoScale() BatchNormLayer { b.noScale = true; return b }

// Info implements [Layer].
func (b BatchNormLayer) Info() Info {
	return Info{Kind: "batch-norm", Epsilon: b.epsilon, NoScale: b.noScale}
}

// Apply implements [Layer].
func (b BatchNormLayer) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	checkImages(x)
	if !(b.epsilon > 0) || math.IsInf(b.epsilon, 1) {
		panicf("adds %v to the variance: it must be above 0 and finite", b.epsilon)
	}
	channels := x.Shape().Dim(3)
	perChannel := []int{1, 1, 1, channels}
	var scale *graph.Node
	if b.noScale {
		scale = graph.Ones(x.Graph(), shapes.Make(x.DType(), perChannel...))
	} else {
		scale = parameter(scope, x, "scale", constant(1), perChannel...)
	}
	shifts := variable(scope, x, "shift", constant(0), perChannel...)
	shift := shifts.NodeValue(x)
	runningMean := statistic(scope, x, "mean", constant(0), perChannel...)
	runningVariance := statistic(scope, x, "variance", constant(1), perChannel...)

	if !scope.IsTraining(x.Graph()) || !shifts.Trainable {
		mean, factor := runningMean.NodeValue(x), graph.Mul(scale, b.inverse(runningVariance.NodeValue(x)))
		if scaled := scaledBehind(x); scaled != nil {
			return scaled(factor, graph.Sub(shift, graph.Mul(mean, factor)))
		}
		return graph.Add(graph.Mul(graph.Sub(x, mean), factor), shift)
	}

	batch := momentsOf(x)
	if device.OneDNN(x.Graph().Backend()) {
		oldMean, oldVariance := runningMean.NodeValue(x), runningVariance.NodeValue(x)
		return b.external(x, scale, shift, batch, func(mean, variance *graph.Node) {
			one := graph.Scalar(x.Graph(), x.DType(), 1)
			runningMean.SetNodeValue(averageExternal(oldMean, mean, one))
			runningVariance.SetNodeValue(averageExternal(oldVariance, variance, batch.unbiased()))
		})
	}
	kept := func(v *model.Variable) *graph.Node { return graph.MulScalar(v.NodeValue(x), 1-batchNormMomentum) }
	oldMean, oldVariance := kept(runningMean), kept(runningVariance)
	return b.inGraph(x, scale, shift, batch, func(mean, variance *graph.Node) {
		variance = graph.Mul(variance, batch.unbiased())
		runningMean.SetNodeValue(graph.Add(oldMean, graph.MulScalar(mean, batchNormMomentum)))
		runningVariance.SetNodeValue(graph.Add(oldVariance, graph.MulScalar(variance, batchNormMomentum)))
	})
}

// averageExternal lets the plugin move a running average toward a batch's value times a factor.
func averageExternal(average, value, factor *graph.Node) *graph.Node {
	return op.External{Name: "convbook_average", Results: []shapes.Shape{average.Shape()}}.Call(average, value, factor)[0]
}

// inverse is what values with this variance are multiplied by.
func (b BatchNormLayer) inverse(variance *graph.Node) *graph.Node {
	return graph.Rsqrt(graph.AddScalar(variance, b.epsilon))
}

// inGraph leaves the work to XLA. The gradient is written out, in two passes over the data.
func (b BatchNormLayer) inGraph(x, scale, shift *graph.Node, batch moments, average func(mean, variance *graph.Node)) *graph.Node {
	mean := graph.StopGradient(batch.mean(x)) // no other gradient is to be added
	variance := graph.StopGradient(batch.mean(graph.Square(graph.Sub(x, mean))))
	average(mean, variance)

	// With n values in a channel, x̂ = (x − mean)/√(variance + ε), y = scale · x̂ + shift, and g the gradient with
	// respect to y: to shift it is Σg, to scale Σg·x̂, and to x̂, with mean and variance that follow x, scale · (g −
	// (Σg + x̂ · Σg·x̂)/n). GoMLX comes to scale and shift first, which come last in the graph, so their sums serve
	// again for x̂. A filler has no part in mean and variance, so its gradient is scale · g, which is 0 as it has no
	// part in the loss.
	var sumG, sumGX *graph.Node
	normal := graph.Mul(graph.Sub(x, mean), graph.StopGradient(b.inverse(variance)))
	normal = op.Identity(normal, func(normal, scaled *graph.Node) *graph.Node { // scale · g
		if b.noScale { // nor is its gradient computed; that with respect to the image is as if there were a scale
			sum := func(x *graph.Node) *graph.Node { return graph.ReduceAndKeep(x, graph.ReduceSum, 0, 1, 2) }
			sumG, sumGX = sum(scaled), sum(graph.Mul(scaled, normal))
		}
		if sumG == nil || sumGX == nil {
			panicf("a batch norm in training has a gradient with respect to its input only " +
				"with those with respect to its scale and shift")
		}
		correction := graph.Mul(scale, graph.Add(sumG, graph.Mul(normal, sumGX)))
		return graph.Sub(scaled, graph.Mul(correction, batch.share))
	})
	keep := func(parameter *graph.Node, sum **graph.Node) *graph.Node {
		return op.Identity(parameter, func(_, g *graph.Node) *graph.Node {
			*sum = g
			return g
		})
	}
	return graph.Add(graph.Mul(normal, keep(scale, &sumGX)), keep(shift, &sumG))
}

// external leaves the work to the plugin that brings oneDNN, and with it that of a ReLU behind the batch norm, if one
// comes: then nothing uses what is computed without it, and XLA drops that.
func (b BatchNormLayer) external(x, scale, shift *graph.Node, batch moments, average func(mean, variance *graph.Node)) *graph.Node {
	share := graph.BroadcastToDims(batch.share, x.Shape().Dim(0), 1, 1, 1)
	epsilon := graph.Scalar(x.Graph(), x.DType(), b.epsilon)
	shaped := []shapes.Shape{x.Shape(), scale.Shape(), scale.Shape()} // both ways: x, and two numbers a channel
	norm := func(name string) *graph.Node {
		gradient := func(_, results []*graph.Node, pull *graph.Node) []*graph.Node {
			by := op.External{Name: name + "_gradient", Results: shaped}.
				Call(x, pull, scale, shift, results[1], results[2], share, epsilon)
			return append(by, nil, nil) // none by share and epsilon
		}
		results := op.External{Name: name, Results: shaped, Gradient: gradient}.Call(x, scale, shift, share, epsilon)
		average(results[1], results[2]) // the batch's mean and variance
		return results[0]
	}
	y := norm("convbook_batch_norm")
	offerReLU(y, func() *graph.Node { return norm("convbook_batch_norm_relu") })
	return y
}

// moments takes means over a batch's values, channel by channel.
type moments struct {
	values *graph.Node // how many values a channel has in the images that count
	share  *graph.Node // of a value in a mean: 1/values, a scalar; with fillers, whose share is 0, [batch, 1, 1, 1]
}

func momentsOf(x *graph.Node) moments {
	images, area := x.Shape().Dim(0), x.Shape().Dim(1)*x.Shape().Dim(2)
	counted := countedOf(x.Graph())
	if counted == nil {
		values := graph.Scalar(x.Graph(), x.DType(), images*area)
		return moments{values, graph.Reciprocal(values)}
	}
	if counted.Shape().Dim(0) != images {
		panicf("cannot tell which of its %d images count in a batch of %d", images, counted.Shape().Dim(0))
	}
	values := graph.MulScalar(graph.ReduceAllSum(counted), area)
	return moments{values, graph.Div(graph.Reshape(counted, images, 1, 1, 1), values)}
}

// mean is the mean of x in the images that count. [batch, height, width, channels] → [1, 1, 1, channels]
func (m moments) mean(x *graph.Node) *graph.Node {
	if m.share.IsScalar() {
		return graph.ReduceAndKeep(x, graph.ReduceMean, 0, 1, 2)
	}
	ofImages := graph.ReduceAndKeep(x, graph.ReduceSum, 1, 2)
	return graph.ReduceAndKeep(graph.Mul(ofImages, m.share), graph.ReduceSum, 0)
}

// unbiased makes a variance over n values one over n − 1.
func (m moments) unbiased() *graph.Node {
	return graph.Div(m.values, graph.MaxScalar(graph.AddScalar(m.values, -1), 1))
}
