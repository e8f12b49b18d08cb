package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn/internal/check"
)

// Of 10,000 ones a fifth must become 0 and the others 1.25; a test leaves them as they are.
func TestDropout(t *testing.T) {
	ones := tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{1}, 10000), 1, 10000)
	got := applied(t, Dropout(0.2), true, nil, ones, func(x, y *graph.Node) []*graph.Node {
		return []*graph.Node{y, graph.Gradient(graph.ReduceAllSum(y), x)[0]}
	})
	dropped := 0
	for i, v := range got[0] {
		if v == 0 {
			dropped++
		} else if math.Abs(float64(v)-1.25) > 1e-6 {
			t.Fatalf("value %d is %v, want 0 or 1.25", i, v)
		}
		if got[1][i] != v {
			t.Fatalf("gradient %d is %v for %v", i, got[1][i], v)
		}
	}
	if math.Abs(float64(dropped)-2000) > 5*math.Sqrt(10000*0.2*0.8) {
		t.Errorf("dropped %d of 10000, want about 2000", dropped)
	}
	if got := applied(t, Dropout(0.2), false, nil, ones, output); slices.ContainsFunc(got[0], func(v float32) bool { return v != 1 }) {
		t.Error("a test drops values")
	}
}

// A state that is given decides what is dropped; two layers draw different numbers from it.
func TestDropoutDrawsFromTheGivenState(t *testing.T) {
	draw := func(seed int64) [][]float32 {
		state, err := graph.RNGStateFromSeed(seed)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := check.Run(t, check.Device(t), func(in []*graph.Node) []*graph.Node {
			store := model.NewStore()
			model.SetStore(in[0].Graph(), store)
			store.SetTraining(in[0].Graph(), true)
			SetRandom(in[1])
			first := Dropout(0.5).Apply(store.RootScope(), in[0])
			return []*graph.Node{first, Dropout(0.5).Apply(store.RootScope(), in[0])}
		}, slices.Repeat([]float32{1}, 64), state)
		return got
	}
	a, again, b := draw(1), draw(1), draw(2)
	if !slices.Equal(a[0], again[0]) || !slices.Equal(a[1], again[1]) {
		t.Error("the same state gives different numbers")
	}
	if slices.Equal(a[0], a[1]) || slices.Equal(a[0], b[0]) {
		t.Error("two layers or two states give the same numbers")
	}
}
