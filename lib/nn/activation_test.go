package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/nn/internal/check"
)

func TestActivations(t *testing.T) {
	x := []float32{-2, -0.5, 0, 1, 3}
	got, _ := check.Run(t, check.Device(t), func(in []*graph.Node) []*graph.Node {
		return []*graph.Node{ReLU.Apply(nil, in[0]), Sigmoid.Apply(nil, in[0]), LogSoftmax.Apply(nil, in[0]), GELU.Apply(nil, in[0]), Times(-0.5).Apply(nil, in[0])}
	}, [][]float32{x})
	if !slices.Equal(got[0], []float32{0, 0, 0, 1, 3}) {
		t.Errorf("relu: %v", got[0])
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v))
	}
	for i, v := range x {
		if want := 1 / (1 + math.Exp(-float64(v))); math.Abs(float64(got[1][i])-want) > 1e-6 {
			t.Errorf("sigmoid of %v: %v, want %v", v, got[1][i], want)
		}
		if want := float64(v) - math.Log(sum); math.Abs(float64(got[2][i])-want) > 1e-5 {
			t.Errorf("log-softmax of %v: %v, want %v", v, got[2][i], want)
		}
		if want := float64(v) * math.Erfc(-float64(v)/math.Sqrt2) / 2; math.Abs(float64(got[3][i])-want) > 1e-6 {
			t.Errorf("GELU of %v: %v, want %v", v, got[3][i], want)
		}
		if got[4][i] != -v/2 {
			t.Errorf("%v times −0.5: %v", v, got[4][i])
		}
	}
}

// Where nothing is let through, at 0 too, the gradient is 0: PyTorch's nn.ReLU has it so.
func TestReLUsGradient(t *testing.T) {
	got, _ := check.Run(t, check.Device(t), func(in []*graph.Node) []*graph.Node {
		return graph.Gradient(graph.ReduceAllSum(ReLU.Apply(nil, in[0])), in[0])
	}, []float32{-2, 0, 3})
	if !slices.Equal(got[0], []float32{0, 0, 1}) {
		t.Errorf("%v, want 0 0 1", got[0])
	}
}
