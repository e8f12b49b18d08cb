package nn

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn/internal/check"
)

// applied runs a network with given variables, each of whose values is a constant, and returns what f makes of its
// input and output.
func applied(t *testing.T, net Layer, training bool, values map[string]float32, x *tensors.Tensor,
	f func(x, y *graph.Node) []*graph.Node) [][]float32 {
	t.Helper()
	arrays := map[string][]float32{}
	for name, value := range values {
		arrays[name] = []float32{value}
	}
	_, flat := appliedTo(t, net, training, arrays, x, func(_ *model.Store, x, y *graph.Node) []*graph.Node { return f(x, y) })
	return flat
}

// appliedTo runs a network with given variables, those of one value filled with it, and returns its store and what f
// makes of its input and output.
func appliedTo(t *testing.T, net Layer, training bool, values map[string][]float32, x *tensors.Tensor,
	f func(store *model.Store, x, y *graph.Node) []*graph.Node) (*model.Store, [][]float32) {
	t.Helper()
	summary, err := Summarize(net, x.Shape().Dimensions[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	store := model.NewStore()
	if err := summary.Initialize(store, check.Device(t), 1); err != nil {
		t.Fatal(err)
	}
	for name, flat := range values {
		v := store.GetVariable(Path(name))
		if v == nil {
			t.Fatalf("no variable %s in\n%v", name, summary)
		}
		if len(flat) == 1 {
			flat = slices.Repeat(flat, v.Shape().Size())
		}
		if err := v.SetValue(tensors.FromFlatDataAndDimensions(flat, v.Shape().Dimensions...)); err != nil {
			t.Fatal(err)
		}
	}
	outputs, err := model.CallOnceN(check.Device(t), store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
		scope.Store().SetTraining(x.Graph(), training)
		return f(store, x, Apply(scope, net, x))
	}, x)
	if err != nil {
		t.Fatal(err)
	}
	var flat [][]float32
	for _, output := range outputs {
		flat = append(flat, tensors.MustCopyFlatData[float32](output))
	}
	return store, flat
}

func output(_, y *graph.Node) []*graph.Node { return []*graph.Node{y} }
