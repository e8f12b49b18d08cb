package train

import (
	"github.com/gomlx/gomlx/core/graph"
)

// Loss says how wrong a network's outputs are. A batch's loss is the mean over its images.
type Loss struct {
	name     string
	perImage func(outputs, labels *graph.Node) *graph.Node // float32 [batch, classes], int32 [batch] → float32 [batch]
}

// NLL is the negative log-likelihood: −outputs[label]. The outputs must be logarithms of probabilities, so the network
// ends in nn.LogSoftmax.
var NLL = Loss{"negative log-likelihood", pick}

// CrossEntropy is −log of the probability that softmax gives the label. The outputs are scores of any size (logits).
// After nn.LogSoftmax it equals NLL, since a log-softmax of a log-softmax changes nothing.
var CrossEntropy = Loss{"cross-entropy", func(logits, labels *graph.Node) *graph.Node {
	return pick(graph.LogSoftmax(logits, -1), labels)
}}

// pick is −outputs[label] of each image.
func pick(outputs, labels *graph.Node) *graph.Node {
	chosen := graph.OneHot(labels, outputs.Shape().Dim(-1), outputs.DType())
	return graph.Neg(graph.ReduceSum(graph.Mul(outputs, chosen), -1))
}
