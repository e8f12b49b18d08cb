package nn

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

func TestBranchesByHand(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1, 2, 3, 4}, 1, 2, 2, 1)
	values := map[string]float32{"branches1/branch1/conv1/weights": 10, "branches1/branch2/conv1/weights": -1}
	net := Sequential(Branches(Conv(1, 1).NoBias(), Sequential(Conv(1, 1).NoBias(), ReLU), MaxPool(3).Stride(1).Padding(1)))
	got := applied(t, net, false, values, x, output)
	if want := []float32{10, 0, 4, 20, 0, 4, 30, 0, 4, 40, 0, 4}; !slices.Equal(got[0], want) {
		t.Errorf("%v, want %v", got[0], want)
	}
}

func TestAuxiliaryGuessesInTrainingOnly(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1, 2}, 1, 2)
	net := Sequential(Auxiliary(0.3, Dense(1)))
	values := map[string]float32{"auxiliary1/dense1/weights": 2, "auxiliary1/dense1/bias": 1}
	got := applied(t, net, true, values, x, func(_, y *graph.Node) []*graph.Node {
		guesses := Guesses(y.Graph())
		if len(guesses) != 1 || guesses[0].Weight != 0.3 {
			t.Fatalf("guesses: %v", guesses)
		}
		return []*graph.Node{y, guesses[0].Output}
	})
	if !slices.Equal(got[0], []float32{1, 2}) || !slices.Equal(got[1], []float32{7}) {
		t.Errorf("passes %v on and guesses %v, want 1, 2 and 7", got[0], got[1])
	}
	applied(t, net, false, values, x, func(_, y *graph.Node) []*graph.Node {
		if guesses := Guesses(y.Graph()); len(guesses) != 0 {
			t.Errorf("a test guesses: %v", guesses)
		}
		return []*graph.Node{y}
	})
}
