package nn

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn/internal/check"
)

func TestActivations(t *testing.T) {
	x := []float32{-2, -0.5, 0, 1, 3}
	got, _ := check.Run(t, check.Device(t), func(in []*graph.Node) []*graph.Node {
		return []*graph.Node{ReLU.Apply(nil, in[0]), Sigmoid.Apply(nil, in[0]), LogSoftmax.Apply(nil, in[0])}
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
	}
}

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

func TestSummary(t *testing.T) {
	net := Named("Net",
		Conv(6, 5), ReLU, MaxPool(2),
		Named("block", Conv(16, 5), ReLU), Named("block", Conv(16, 3).Padding(1)), MaxPool(2),
		Flatten, Dense(10))
	summary, err := Summarize(net, 32, 32, 3)
	if err != nil {
		t.Fatal(err)
	}
	conv := func(filters, kernel, padding int) Info {
		return Info{Kind: "conv", Filters: filters, Kernel: kernel, Stride: 1, Padding: padding, Groups: 1}
	}
	relu, pool := Info{Kind: "relu"}, Info{Kind: "max-pool", Kernel: 2, Stride: 2}
	want := []LayerInfo{
		{Info: conv(6, 5, 0), Path: "conv1", Output: []int{28, 28, 6}, Parameters: 5*5*3*6 + 6, MACs: 28 * 28 * 6 * 5 * 5 * 3, Field: 5},
		{Info: relu, Path: "relu1", Output: []int{28, 28, 6}, Field: 5},
		{Info: pool, Path: "max-pool1", Output: []int{14, 14, 6}, Field: 6},
		{Info: conv(16, 5, 0), Path: "block1/conv1", Output: []int{10, 10, 16},
			Parameters: 5*5*6*16 + 16, MACs: 10 * 10 * 16 * 5 * 5 * 6, Field: 14},
		{Info: relu, Path: "block1/relu1", Output: []int{10, 10, 16}, Field: 14},
		{Info: conv(16, 3, 1), Path: "block2/conv1", Output: []int{10, 10, 16},
			Parameters: 3*3*16*16 + 16, MACs: 10 * 10 * 16 * 3 * 3 * 16, Field: 18},
		{Info: pool, Path: "max-pool2", Output: []int{5, 5, 16}, Field: 20},
		{Info: Info{Kind: "flatten"}, Path: "flatten1", Output: []int{400}, Field: 20},
		{Info: Info{Kind: "dense", Units: 10}, Path: "dense1", Output: []int{10}, Parameters: 4010, MACs: 4000, Field: 32},
	}
	if !reflect.DeepEqual(summary.Layers, want) {
		t.Errorf("layers:\n%+v\nwant\n%+v", summary.Layers, want)
	}
	if !slices.Equal(summary.Output, []int{10}) || summary.Network != "Net" {
		t.Errorf("%s gives %v", summary.Network, summary.Output)
	}
	var names []string
	for _, v := range summary.Variables {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, " "); got != "conv1/weights conv1/bias block1/conv1/weights block1/conv1/bias block2/conv1/weights block2/conv1/bias dense1/weights dense1/bias" {
		t.Errorf("variables: %s", got)
	}
	table := summary.String()
	for _, want := range []string{"32×32×3", "block1/conv1", "3×3, 16 filters, padding 1", "10×10×16", "352,800", "20×20"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

func TestSummaryNamesTheLayerThatDoesNotFit(t *testing.T) {
	for want, c := range map[string]struct {
		net   Layer
		image []int
	}{
		"A, layer conv2, on images of 6×6×1: slides a window of 5×5 over a 2×2 feature map": {Named("A", Conv(1, 5), Conv(1, 5)), []int{6, 6, 1}},
		"B, layer dense1, on images of 6×6×1: takes [batch, inputs]":                        {Named("B", ReLU, Dense(3)), []int{6, 6, 1}},
		"layer block1/max-pool1": {Named("C", Named("block", MaxPool(7))), []int{6, 6, 1}},
		"D, layer conv1, on images of 9: takes [batch, height, width, channels]": {Named("D", Conv(1, 1)), []int{9}},
		"has size 3, stride 0 and padding 0":                                     {Conv(1, 3).Stride(0), []int{6, 6, 1}},
		"has size 0, stride 1":                                                   {Conv(1, 0), []int{6, 6, 1}},
		"padding -1":                                                             {Conv(1, 3).Padding(-1), []int{6, 6, 1}},
		"has 0 filters":                                                          {Conv(0, 3), []int{6, 6, 1}},
		"layer residual1, on images of 6×6×1: cannot add [6 6 2] to [6 6 1]":         {Sequential(Residual(Conv(2, 1))), []int{6, 6, 1}},
		"layer branches1, on images of 6×6×1: cannot put [4 4 1] of branch 2 beside": {Sequential(Branches(Conv(1, 1), Conv(1, 3))), []int{6, 6, 1}},
		"has no branch": {Branches(), []int{6, 6, 1}},
		"has 2 groups for 3 channels and 4 filters":           {Conv(4, 1).Groups(2), []int{6, 6, 3}},
		"has size 3 and padding 2":                            {MaxPool(3).Padding(2), []int{6, 6, 1}},
		"only a max-pool can":                                 {AvgPool(3).Ceil(), []int{6, 6, 1}},
		"drops 1 of its values":                               {Dropout(1), []int{6}},
		"has 0 units":                                         {Sequential(Flatten, Dense(0)), []int{6, 6, 1}},
		"cannot be applied to an image of dimensions []":      {ReLU, nil},
		"cannot be applied to an image of dimensions [0 6 1]": {ReLU, []int{0, 6, 1}},
		"layer mine1, on images of 6×6×1: of my own":          {Func("mine", func(*graph.Node) *graph.Node { panic("of my own\nand more") }), []int{6, 6, 1}},
	} {
		_, err := Summarize(c.net, c.image...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

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

func TestActivationsOfLayers(t *testing.T) {
	net := Sequential(Conv(2, 3), ReLU, Flatten)
	summary, err := Summarize(net, 4, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	store := model.NewStore()
	if err := summary.Initialize(store, check.Device(t), 3); err != nil {
		t.Fatal(err)
	}
	var layers []LayerInfo
	outputs, err := model.CallOnceN(check.Device(t), store, func(scope *model.Scope, x *graph.Node) (outputs []*graph.Node) {
		layers, outputs = Activations(scope, net, x)
		return outputs
	}, check.Random(1, 1, 4, 4, 1))
	if err != nil {
		t.Fatal(err)
	}
	conv, relu := tensors.MustCopyFlatData[float32](outputs[0]), tensors.MustCopyFlatData[float32](outputs[1])
	for i := range conv {
		if relu[i] != max(0, conv[i]) {
			t.Fatalf("relu of %v is %v", conv[i], relu[i])
		}
	}
	if len(layers) != 3 || layers[0].Path != "conv1" || layers[2].Path != "flatten1" {
		t.Errorf("layers: %+v", layers)
	}
}
