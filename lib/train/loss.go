package train

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/nn"
)

// Loss says how wrong a network's outputs are. A batch's loss is the mean over its images.
type Loss struct {
	name      string                                        // as in a Recipe
	logs      func(outputs *graph.Node) *graph.Node         // outputs [batch, classes] → logarithms of probabilities
	each      func(outputs, labels *graph.Node) *graph.Node // float32 [batch, classes], int32 [batch] → float32 [batch]
	smoothing float64                                       // see Smooth
	own       bool                                          // made by LossFunc
	sum       string                                        // of its operations then, in a plan
}

// likelihood is the negative logarithm of the probability of the label.
func likelihood(name string, logs func(outputs *graph.Node) *graph.Node) Loss {
	return Loss{name: name, logs: logs, each: func(outputs, labels *graph.Node) *graph.Node {
		return pick(logs(outputs), labels)
	}}
}

// NLL is the negative log-likelihood: −outputs[label]. The outputs must be logarithms of probabilities, so the network
// ends in nn.LogSoftmax. A task whose network ends in a layer that gives scores is refused, and where that is not sure, a
// loss below 0 ends the training.
var NLL = likelihood("negative log-likelihood", unchanged)

func unchanged(outputs *graph.Node) *graph.Node { return outputs }

// CrossEntropy is −log of the probability that softmax gives the label. The outputs are scores of any size (logits).
// After nn.LogSoftmax it equals NLL, since a log-softmax of a log-softmax changes nothing.
var CrossEntropy = likelihood("cross-entropy", logSoftmax)

func logSoftmax(logits *graph.Node) *graph.Node { return graph.LogSoftmax(logits, -1) }

// MSE is the mean squared error of the probabilities that softmax gives: the mean over the classes of (p − y)², y being
// 1 for the label and 0 for the others. The outputs are scores of any size (logits).
var MSE = Loss{name: "mean squared error", each: squaredError}

func squaredError(logits, labels *graph.Node) *graph.Node {
	wanted := graph.OneHot(labels, logits.Shape().Dim(-1), logits.DType())
	return graph.ReduceMean(graph.Square(graph.Sub(graph.Softmax(logits, -1), wanted)), -1)
}

// LossFunc is a loss of one's own. The function gives each image's loss: the network's outputs, float32 [batch,
// classes], and the labels, int32 [batch] → float32 [batch]. Training takes the mean over a batch, and a test that over
// all images; PyTorch's CrossEntropyLoss divides by the sum of the weights instead where classes have weights.
//
// The class with the largest output is the network's answer, and its probabilities are the softmax of the outputs,
// whatever the loss. So outputs are to be scores of any size (logits) or logarithms of probabilities; where they are
// something else, such as scores for one sigmoid each, only [Predictions]' Outputs, classes and losses count.
//
// A run is known by the name and by the function's operations in a graph, as layers made by [nn.Func] are: with another
// function or constant the network is trained anew.
func LossFunc(name string, each func(outputs, labels *graph.Node) *graph.Node) Loss {
	return Loss{name: name, each: each, own: true}
}

// described is the loss with the sum of its operations for that number of classes.
func (l Loss) described(classes int) (Loss, error) {
	if !l.own {
		return l, nil
	}
	images := classes + 1 // another number, so a mean over the wrong axis shows
	sum, err := nn.Operations(func(g *graph.Graph) (x *graph.Node, results []*graph.Node) {
		outputs := graph.Parameter(g, "outputs", shapes.Make(dtypes.Float32, images, classes))
		each := l.each(outputs, graph.Parameter(g, "labels", shapes.Make(dtypes.Int32, images)))
		want, gives := shapes.Make(dtypes.Float32, images), shapeOf(each)
		if gives != want.String() {
			panic(fmt.Errorf("it gives %s, and must give a number for each image, %v", gives, want))
		}
		return outputs, []*graph.Node{each}
	})
	if err != nil {
		return l, fmt.Errorf("the loss %q, for %d images of %d classes: %w", l.name, images, classes, err)
	}
	l.sum = sum
	return l, nil
}

// Smooth returns the loss with label smoothing (Szegedy et al., "Rethinking the Inception Architecture", 2015): in
// training, that share of every label is spread evenly over all classes, so no output needs to grow without end.
// Tests measure the plain loss.
func (l Loss) Smooth(share float64) Loss {
	l.smoothing = share
	return l
}

func (l Loss) check() error {
	if l.own && (l.name == "" || l.each == nil) {
		return errors.New(`a loss of your own has a name and a function: train.LossFunc("focal loss", focal)`)
	}
	if !(l.smoothing >= 0 && l.smoothing < 1) {
		return fmt.Errorf("labels are smoothed by %v: it must be at least 0 and below 1", l.smoothing)
	}
	if l.smoothing > 0 && l.logs == nil {
		return fmt.Errorf("labels cannot be smoothed for the %s: use train.CrossEntropy", l.name)
	}
	return nil
}

// takesLogarithms reports whether the outputs must be logarithms of probabilities.
func (l Loss) takesLogarithms() bool { return l.name == NLL.name && !l.own }

// scorers are the kinds of layers that give a network's scores, or make something of them that is no logarithm.
var scorers = []string{"dense", "relu", "gelu", "sigmoid"}

// checkEnd finds a network whose outputs are surely not what the loss takes.
func (l Loss) checkEnd(net *nn.Summary) error {
	if last, sure := net.Last(); sure && l.takesLogarithms() && slices.Contains(scorers, last.Kind) {
		return noLogarithms("%s ends in %s", net.Network, last.Kind)
	}
	return nil
}

// belowZero is how far a loss of NLL may be below 0: what rounding does to the logarithm of a probability near 1.
const belowZero = 1e-4

// checkValue finds a loss, the mean over some images, that logarithms of probabilities cannot have.
func (l Loss) checkValue(loss float64, net *nn.Summary) error {
	if l.takesLogarithms() && loss < -belowZero {
		return noLogarithms("the loss of %s is %.4g", net.Network, loss)
	}
	return nil
}

// noLogarithms is the error of outputs that are something else, and what shows it.
func noLogarithms(format string, args ...any) error {
	return fmt.Errorf("NLL needs logarithms of probabilities, and %s: end the network with nn.LogSoftmax, "+
		"or use train.CrossEntropy", fmt.Sprintf(format, args...))
}

// train is each image's loss with smoothed labels. float32 [batch, classes], int32 [batch] → float32 [batch]
func (l Loss) train(outputs, labels *graph.Node) *graph.Node {
	loss := l.each(outputs, labels)
	if l.smoothing > 0 {
		spread := graph.Neg(graph.ReduceMean(l.logs(outputs), -1))
		loss = graph.Add(graph.MulScalar(loss, 1-l.smoothing), graph.MulScalar(spread, l.smoothing))
	}
	return loss
}

// pick is −outputs[label] of each image.
func pick(outputs, labels *graph.Node) *graph.Node {
	chosen := graph.OneHot(labels, outputs.Shape().Dim(-1), outputs.DType())
	return graph.Neg(graph.ReduceSum(graph.Mul(outputs, chosen), -1))
}
