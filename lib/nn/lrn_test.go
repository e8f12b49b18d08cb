package nn

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/nn/internal/check"
)

// The paper's formula for seven channels, and its gradient by finite differences, with an alpha that shows.
func TestLRN(t *testing.T) {
	layer := lrn{size: 5, k: 2, alpha: 0.3, beta: 0.75}
	values := []float32{1, -2, 3, 0.5, -1, 2, 4}
	formula := func(a []float32) (b []float32) {
		for i := range a {
			sum := 0.0
			for j := max(0, i-2); j <= min(len(a)-1, i+2); j++ {
				sum += float64(a[j]) * float64(a[j])
			}
			b = append(b, float32(float64(a[i])/math.Pow(2+0.3*sum, 0.75)))
		}
		return b
	}
	got, _ := check.Run(t, check.Device(t), func(in []*graph.Node) []*graph.Node {
		y := layer.Apply(nil, in[0])
		return []*graph.Node{y, graph.Gradient(graph.ReduceAllSum(graph.Square(y)), in[0])[0]}
	}, tensors.FromFlatDataAndDimensions(values, 1, 1, 1, 7))
	if want := formula(values); !check.Near(got[0], want, 1e-5) {
		t.Errorf("%v, want %v", got[0], want)
	}
	check.Gradient(t, "LRN", got[1], values, func(a []float32) (sum float64) {
		for _, b := range formula(a) {
			sum += float64(b) * float64(b)
		}
		return sum
	})
	if LRN != (Layer)(lrn{5, 2, 1e-4, 0.75}) {
		t.Errorf("the constants are not AlexNet's: %v", LRN)
	}
}
