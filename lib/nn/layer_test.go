package nn

import (
	"slices"
	"testing"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn/internal/check"
)

// A small network as a whole against the same sums written out.
func TestNetworkAgainstWrittenOutSums(t *testing.T) {
	net := Sequential(Conv(2, 3).Padding(1), ReLU, Flatten, Dense(4))
	summary, err := Summarize(net, 5, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	store := model.NewStore()
	if err := summary.Initialize(store, check.Device(t), 1); err != nil {
		t.Fatal(err)
	}
	x := check.Random(4, 2, 5, 4, 3)
	output, err := model.CallOnce(check.Device(t), store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		return Apply(scope, net, x)
	}, x)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) []float32 {
		return tensors.MustCopyFlatData[float32](store.GetVariable(Path(name)).MustValue())
	}
	maps := check.Convolution(tensors.MustCopyFlatData[float32](x), value("conv1/weights"), 2, 5, 4, 3, 3, 2, 1, 1)
	bias, weights, last := value("conv1/bias"), value("dense1/weights"), value("dense1/bias")
	var want []float32
	for image := range 2 {
		for unit := range 4 {
			sum := float64(last[unit])
			for i := range 5 * 4 * 2 {
				sum += max(0, float64(maps[image*40+i]+bias[i%2])) * float64(weights[i*4+unit])
			}
			want = append(want, float32(sum))
		}
	}
	if got := tensors.MustCopyFlatData[float32](output); !check.Near(got, want, 1e-5) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Plain GoMLX functions stand in as layers, with variables of their own, initialised by GoMLX.
func TestModelFunc(t *testing.T) {
	perUnit := ModelFunc("per-unit", func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope = scope.WithInitializer(graph.Ones)
		return graph.Mul(x, scope.VariableWithShape("by", shapes.Make(x.DType(), 1, x.Shape().Dim(1))).NodeValue(x))
	})
	summary, err := Summarize(Sequential(Flatten, Dense(6), Func("swish", activation.Swish), perUnit), 4, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := summary.Layers[3]; got.Path != "per-unit1" || got.Parameters != 6 {
		t.Errorf("the function's line: %+v", got)
	}
	store := model.NewStore()
	if err := summary.Initialize(store, check.Device(t), 1); err != nil {
		t.Fatal(err)
	}
	v := store.GetVariable(Path("per-unit1/by"))
	if v == nil || !slices.Equal(tensors.MustCopyFlatData[float32](v.MustValue()), []float32{1, 1, 1, 1, 1, 1}) {
		t.Errorf("the function's variable: %v", v)
	}
	if store.GetVariable(Path("dense1/weights")).MustValue() == nil {
		t.Error("the dense layer has no weights")
	}
}
