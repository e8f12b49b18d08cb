package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn/internal/check"
)

// Initial values fill ±1/√fan-in evenly, as PyTorch's do, and depend on the seed and the name alone.
func TestInitialize(t *testing.T) {
	values := func(net Layer, seed int, name string) []float32 {
		summary, err := Summarize(net, 12, 12, 4)
		if err != nil {
			t.Fatal(err)
		}
		store := model.NewStore()
		if err := summary.Initialize(store, check.Device(t), seed); err != nil {
			t.Fatal(err)
		}
		return tensors.MustCopyFlatData[float32](store.GetVariable(Path(name)).MustValue())
	}
	net := Sequential(Conv(32, 5), Flatten, Dense(100))
	for name, fanIn := range map[string]float64{"conv1/weights": 5 * 5 * 4, "conv1/bias": 5 * 5 * 4, "dense1/weights": 8 * 8 * 32, "dense1/bias": 8 * 8 * 32} {
		vs := values(net, 1, name)
		bound := 1 / math.Sqrt(fanIn)
		var sum, squares, most float64
		for _, v := range vs {
			sum += float64(v)
			squares += float64(v) * float64(v)
			most = max(most, math.Abs(float64(v)))
		}
		n := float64(len(vs))
		// A uniform distribution in ±b has mean 0 and variance b²/3; allow four standard errors.
		if most > bound || most < bound*(1-8/n) || math.Abs(sum/n) > 4*bound/math.Sqrt(3*n) || math.Abs(squares/n-bound*bound/3) > 4*bound*bound*math.Sqrt(4./45/n) {
			t.Errorf("%s: %v values, largest %v, mean %v, mean square %v; want uniform in ±%v", name, n, most, sum/n, squares/n, bound)
		}
	}
	first := values(net, 1, "conv1/weights")
	if !slices.Equal(first, values(net, 1, "conv1/weights")) {
		t.Error("the same seed gives other weights")
	}
	if slices.Equal(first, values(net, 2, "conv1/weights")) {
		t.Error("another seed gives the same weights")
	}
	if !slices.Equal(first, values(Sequential(Conv(32, 5), Conv(7, 3), Flatten, Dense(3)), 1, "conv1/weights")) {
		t.Error("a layer added later changes the first one's weights")
	}
}
