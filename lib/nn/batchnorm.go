package nn

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// BatchNorm gives every channel the mean 0 and the variance 1, and then the scale and the shift that it learns (Ioffe
// and Szegedy, "Batch Normalization", 2015). [batch, height, width, channels] → the same
//
// In training, mean and variance are the batch's, and running averages of them are kept: a step moves them a tenth of
// the way to the batch's. Testing uses the running averages. Both numbers and the 1e-5 that is added to the variance are
// those of PyTorch's nn.BatchNorm2d, and so is the variance: over n values for the batch, over n − 1 for the average.
var BatchNorm = BatchNormLayer{epsilon: 1e-5}

// BatchNormLayer is BatchNorm's type.
type BatchNormLayer struct{ epsilon float64 }

// Epsilon returns the layer with another number that is added to the variance.
func (b BatchNormLayer) Epsilon(epsilon float64) BatchNormLayer { b.epsilon = epsilon; return b }

func (b BatchNormLayer) String() string {
	if b != BatchNorm {
		return fmt.Sprintf("batch-norm epsilon %v", b.epsilon)
	}
	return "batch-norm"
}

const batchNormMomentum = 0.1

// Apply is Layer's.
func (b BatchNormLayer) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if x.Rank() != 4 {
		panicf("takes [batch, height, width, channels], got %v", x.Shape().Dimensions)
	}
	channels := x.Shape().Dim(3)
	perChannel := []int{1, 1, 1, channels}
	scale := parameter(scope, x, "scale", constant(1), perChannel...)
	shift := parameter(scope, x, "shift", constant(0), perChannel...)
	runningMean := statistic(scope, x, "mean", constant(0), perChannel...)
	runningVariance := statistic(scope, x, "variance", constant(1), perChannel...)

	inverse := func(variance *graph.Node) *graph.Node {
		return graph.Rsqrt(graph.AddScalar(variance, b.epsilon))
	}
	if !scope.IsTraining(x.Graph()) {
		factor := graph.Mul(scale, inverse(runningVariance.NodeValue(x)))
		return graph.Add(graph.Mul(graph.Sub(x, runningMean.NodeValue(x)), factor), shift)
	}

	// The gradient is written out below, so that it takes two passes over the data: what follows shall not add its own.
	values := x.Shape().Size() / channels
	mean := graph.StopGradient(graph.ReduceAndKeep(x, graph.ReduceMean, 0, 1, 2))
	variance := graph.StopGradient(graph.ReduceAndKeep(graph.Square(graph.Sub(x, mean)), graph.ReduceMean, 0, 1, 2))
	toward := func(v *model.Variable, batch *graph.Node) {
		v.SetNodeValue(graph.Add(graph.MulScalar(v.NodeValue(x), 1-batchNormMomentum), graph.MulScalar(batch, batchNormMomentum)))
	}
	toward(runningMean, mean)
	toward(runningVariance, graph.MulScalar(variance, float64(values)/float64(max(values-1, 1))))

	// With n values in a channel, x̂ = (x − mean)/√(variance + ε), y = scale · x̂ + shift, and g the gradient by y:
	// by shift it is Σg, by scale Σg·x̂, and by x̂, with mean and variance that follow x, scale · (g − (Σg + x̂ · Σg·x̂)/n).
	// GoMLX comes to scale and shift first, which come last in the graph, so their sums serve again for x̂.
	var sumG, sumGX *graph.Node
	normal := graph.Mul(graph.Sub(x, mean), graph.StopGradient(inverse(variance)))
	normal = graph.IdentityWithCustomGradient(normal, func(normal, scaled *graph.Node) *graph.Node { // scale · g
		if sumG == nil || sumGX == nil {
			panicf("a batch norm in training has a gradient by its input only together with those by its scale and shift")
		}
		correction := graph.Mul(scale, graph.Add(sumG, graph.Mul(normal, sumGX)))
		return graph.Sub(scaled, graph.MulScalar(correction, 1/float64(values)))
	})
	keep := func(parameter *graph.Node, sum **graph.Node) *graph.Node {
		return graph.IdentityWithCustomGradient(parameter, func(_, g *graph.Node) *graph.Node {
			*sum = g
			return g
		})
	}
	return graph.Add(graph.Mul(normal, keep(scale, &sumGX)), keep(shift, &sumG))
}
