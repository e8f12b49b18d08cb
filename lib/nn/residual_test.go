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
		v.MustSetValue(tensors.FromFlatDataAndDimensions(flat, v.Shape().Dimensions...))
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

// One channel, all weights by hand: 2x + 1 beside x, and 3x as another way round.
func TestResidualByHand(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1, 2, 3, 4}, 1, 2, 2, 1)
	values := map[string]float32{"residual1/conv1/weights": 2, "residual1/conv1/bias": 1}
	got := applied(t, Sequential(Residual(Conv(1, 1))), false, values, x, output)
	if want := []float32{4, 7, 10, 13}; !slices.Equal(got[0], want) {
		t.Errorf("%v, want %v", got[0], want)
	}
	values["residual1/shortcut/conv1/weights"] = 3
	got = applied(t, Sequential(Residual(Conv(1, 1)).Shortcut(Conv(1, 1).NoBias())), false, values, x, output)
	if want := []float32{6, 11, 16, 21}; !slices.Equal(got[0], want) {
		t.Errorf("with a shortcut: %v, want %v", got[0], want)
	}
}

func TestBranchesByHand(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1, 2, 3, 4}, 1, 2, 2, 1)
	values := map[string]float32{"branches1/branch1/conv1/weights": 10, "branches1/branch2/conv1/weights": -1}
	net := Sequential(Branches(Conv(1, 1).NoBias(), Sequential(Conv(1, 1).NoBias(), ReLU), MaxPool(3).Stride(1).Padding(1)))
	got := applied(t, net, false, values, x, output)
	if want := []float32{10, 0, 4, 20, 0, 4, 30, 0, 4, 40, 0, 4}; !slices.Equal(got[0], want) {
		t.Errorf("%v, want %v", got[0], want)
	}
}

// A block's lines in the summary: its layers, and what joins them, which sees what the farthest of them sees.
func TestSummaryOfBlocks(t *testing.T) {
	summary, err := Summarize(Named("blocks",
		Residual(Conv(3, 3).Padding(1), ReLU, Conv(3, 3).Padding(1)), Branches(Conv(2, 1), Conv(4, 5).Padding(2)), Conv(1, 3)), 8, 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, l := range summary.Layers {
		paths = append(paths, l.Path)
	}
	if want := []string{"residual1/conv1", "residual1/relu1", "residual1/conv2", "residual1/add",
		"branches1/branch1/conv1", "branches1/branch2/conv1", "branches1/concat", "conv1"}; !slices.Equal(paths, want) {
		t.Errorf("layers %v, want %v", paths, want)
	}
	for i, want := range map[int]LayerInfo{
		3: {Output: []int{8, 8, 3}, Field: 5},
		6: {Output: []int{8, 8, 6}, Field: 8}, // 9 pixels, but the image has 8
		7: {Output: []int{6, 6, 1}, Field: 8},
	} {
		if l := summary.Layers[i]; !slices.Equal(l.Output, want.Output) || l.Field != want.Field {
			t.Errorf("%s: %v, sees %d, want %v and %d", l.Path, l.Output, l.Field, want.Output, want.Field)
		}
	}
}

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

// The short summary of a network with every kind of block, by hand.
func TestBlocks(t *testing.T) {
	unit := func(filters int) Layer { return Named("unit", Conv(filters, 1).NoBias(), BatchNorm, ReLU) }
	same := Residual(Conv(4, 3).Padding(1), ReLU, Conv(4, 3).Padding(1))
	summary, err := Summarize(Named("net",
		Conv(4, 3).Padding(1), BatchNorm, ReLU, MaxPool(2),
		same, ReLU, same, ReLU,
		Residual(Conv(2, 1), Conv(6, 1)).Shortcut(Conv(6, 1).NoBias()),
		Named("inception", Branches(unit(1), Sequential(unit(2), unit(3)), MaxPool(3).Stride(1).Padding(1))),
		unit(5), GlobalAvgPool, Dense(10)), 8, 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		path, details           string
		output                  []int
		parameters, macs, field int
	}{
		{"conv1", "3×3, 4 filters, padding 1", []int{8, 8, 4}, 4*(27+1) + 8, 64 * 4 * 27, 3},
		{"max-pool1", "2×2", []int{4, 4, 4}, 0, 0, 4},
		{"residual1–2", "4, 4 filters", []int{4, 4, 4}, 2 * 2 * 4 * (36 + 1), 2 * 16 * 2 * 4 * 36, 8}, // 4 windows of 3 at steps of 2
		{"residual3", "2, 6 + 6 filters", []int{4, 4, 6}, 2*(4+1) + 6*(2+1) + 6*4, 16 * (2*4 + 6*2 + 6*4), 8},
		{"inception1", "1 | 2, 3 filters", []int{4, 4, 10}, 6 + 2*6 + 3*2 + 2*(1+2+3), 16 * (6 + 2*6 + 3*2), 8},
		{"unit1", "1×1, 5 filters, no bias", []int{4, 4, 5}, 50 + 10, 16 * 50, 8},
		{"global-avg-pool1", "", []int{5}, 0, 0, 8},
		{"dense1", "10 units", []int{10}, 60, 50, 8},
	}
	short := summary.Blocks()
	if len(short.Layers) != len(want) {
		t.Fatalf("%d lines, want %d:\n%v", len(short.Layers), len(want), short)
	}
	for i, l := range short.Layers {
		w := want[i]
		if l.Path != w.path || l.Details() != w.details || !slices.Equal(l.Output, w.output) ||
			l.Parameters != w.parameters || l.MACs != w.macs || l.Field != w.field {
			t.Errorf("%s %s: %v, %d parameters, %d MACs, sees %d; want %v", l.Path, l.Details(), l.Output, l.Parameters, l.MACs, l.Field, w)
		}
	}
	if short.Parameters() != summary.Parameters() || short.MACs() != summary.MACs() {
		t.Errorf("%d parameters and %d MACs, of %d and %d", short.Parameters(), short.MACs(), summary.Parameters(), summary.MACs())
	}
}
