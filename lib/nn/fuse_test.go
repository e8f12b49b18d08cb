package nn

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn/internal/check"
)

// What layers do together is what they do one after another, in a test and with its gradients.
func TestTogetherAsOneAfterAnother(t *testing.T) {
	apart := Func("apart", func(x *graph.Node) *graph.Node { return graph.MulScalar(x, 1) }) // nothing is offered behind it
	for _, c := range []struct {
		layers   []Layer
		dims     []int
		together bool
	}{
		{[]Layer{Conv(6, 5), ReLU}, []int{2, 9, 9, 3}, true},
		{[]Layer{Conv(16, 3).Padding(1), BatchNorm, ReLU}, []int{3, 8, 8, 16}, true},
		{[]Layer{Conv(24, 1).NoBias(), BatchNorm, ReLU}, []int{2, 5, 6, 20}, true},
		{[]Layer{Conv(8, 3).Stride(2).Padding(1).NoBias(), BatchNorm}, []int{2, 9, 9, 8}, true},
		{[]Layer{Conv(80, 3).Padding(1), BatchNorm, ReLU}, []int{17, 2, 2, 64}, true}, // by products of matrices
		{[]Layer{Conv(8, 2), ReLU}, []int{2, 5, 5, 4}, false},                         // an even window
		{[]Layer{Conv(8, 3).Groups(2), ReLU}, []int{2, 5, 5, 4}, false},
	} {
		var split []Layer
		for _, layer := range c.layers {
			split = append(split, layer, apart)
		}
		x := check.Random(1, c.dims...)
		results := func(layers []Layer) (got [][]float32, calls int) {
			values := map[string][]float32{}
			if c.layers[1].Info().Kind == "batch-norm" {
				for i, name := range []string{"scale", "shift", "mean"} {
					values["batch-norm1/"+name] = check.Values(uint64(2+i), c.layers[0].Info().Filters)
				}
				values["batch-norm1/variance"] = []float32{0.3}
			}
			_, got = appliedTo(t, Sequential(layers...), false, values, x, func(store *model.Store, x, y *graph.Node) []*graph.Node {
				for _, node := range y.Graph().Nodes() {
					if node.Type() == graph.NodeTypeCall {
						calls++
					}
				}
				loss := graph.ReduceAllSum(graph.Mul(y, graph.Sin(graph.IotaFull(y.Graph(), y.Shape()))))
				weights := store.GetVariable(Path("conv1/weights")).NodeValue(x)
				return append([]*graph.Node{y}, graph.Gradient(loss, x, weights)...)
			})
			return got, calls
		}
		got, calls := results(c.layers)
		want, none := results(split)
		if together := c.together && device.OneDNN(check.Device(t)); together != (calls > 0) || none > 0 {
			t.Errorf("%v of %v: %d calls together, %d apart", c.layers, c.dims, calls, none)
		}
		for i, what := range []string{"values", "gradient with respect to the images", "gradient with respect to the weights"} {
			if !check.Near(got[i], want[i], 1e-4) {
				t.Errorf("%v of %v: other %s", c.layers, c.dims, what)
			}
		}
	}
}
