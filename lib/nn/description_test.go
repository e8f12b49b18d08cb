package nn

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/initializer"
)

// described is a network's description on images of 8 × 8 × 4, as JSON.
func described(t *testing.T, net Layer) string {
	t.Helper()
	summary, err := Summarize(net, 8, 8, 4)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(summary.Description(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// different are networks that are not the same, with every setting of every kind of layer.
func different() map[string]Layer {
	dense := func(units int, before ...Layer) Layer { return Sequential(append(before, Flatten, Dense(units))...) }
	norm := func(epsilon float64) Layer { return BatchNorm.Epsilon(epsilon) }
	return map[string]Layer{
		"conv": Conv(4, 3), "filters": Conv(8, 3), "kernel": Conv(4, 2), "stride": Conv(4, 3).Stride(2), "padding": Conv(4, 3).Padding(1),
		"groups": Conv(4, 3).Groups(2), "no bias": Conv(4, 3).NoBias(),
		"max": MaxPool(2), "max 3": MaxPool(3), "max stride": MaxPool(2).Stride(1), "max padding": MaxPool(2).Padding(1), "ceil": MaxPool(2).Ceil(),
		"avg": AvgPool(2), "avg 3": AvgPool(3), "avg stride": AvgPool(2).Stride(1), "avg padding": AvgPool(2).Padding(1), "global": GlobalAvgPool,
		"dense": dense(2), "units": dense(3), "dropout": dense(2, Dropout(0.1)), "rate": dense(2, Dropout(0.2)),
		"norm": BatchNorm, "no scale": BatchNorm.NoScale(), "epsilon": norm(1e-3), "lrn": LRN, "relu": ReLU, "gelu": GELU, "times": Times(0.5), "other times": Times(0.25), "sigmoid": Sigmoid, "flatten": Flatten, "log-softmax": LogSoftmax,
		"order": Sequential(ReLU, Conv(4, 3)), "other order": Sequential(Conv(4, 3), ReLU), "twice": Sequential(Conv(4, 3), Conv(4, 3)),
		"nested": Sequential(Sequential(Conv(4, 3))), "block": Sequential(Named("block", Conv(4, 3))), "other block": Sequential(Named("b", Conv(4, 3))),
		"residual": Residual(Conv(4, 1)), "longer": Residual(Conv(4, 1), ReLU), "shortcut": Residual(Conv(4, 1)).Shortcut(Conv(4, 1)),
		"in the shortcut": Residual(Conv(4, 1)).Shortcut(ReLU, Conv(4, 1)),
		"a branch":        Branches(Conv(4, 1)), "branches": Branches(Conv(4, 1), ReLU), "turned": Branches(ReLU, Conv(4, 1)),
		"split": Branches(Sequential(Conv(4, 1), ReLU)), "passed on": Branches(Conv(4, 1), Sequential()),
		"guess": dense(2, Auxiliary(0.3, Flatten, Dense(2))), "heavier guess": dense(2, Auxiliary(0.6, Flatten, Dense(2))),
		"other guess": dense(2, Auxiliary(0.3, Flatten, Dense(3))), "no guess": dense(2, Auxiliary(0.3)),
	}
}

// Every setting of every kind of layer counts, and the order of layers, and the names of blocks, by which weights are
// drawn.
func TestDescriptionsTellNetworksApart(t *testing.T) {
	seen := map[string]string{}
	for what, net := range different() {
		text := described(t, net)
		if other, ok := seen[text]; ok {
			t.Errorf("%q is described like %q:\n%s", what, other, text)
		}
		seen[text] = what
	}
}

// The same network, written in another way.
func TestDescriptionsOfTheSame(t *testing.T) {
	for what, nets := range map[string][2]Layer{
		"a name":       {Named("A", Conv(4, 3), ReLU), Named("another name", Conv(4, 3), ReLU)},
		"no name":      {Named("A", Conv(4, 3)), Conv(4, 3)},
		"usual conv":   {Conv(4, 3), Conv(4, 3).Stride(1).Padding(0).Groups(1)},
		"usual pool":   {MaxPool(2), MaxPool(2).Stride(2)},
		"usual norm":   {BatchNorm, BatchNorm.Epsilon(1e-5)},
		"one branch":   {Branches(Conv(4, 1), ReLU), Branches(Sequential(Conv(4, 1)), Named("b", ReLU))},
		"no shortcut":  {Residual(Conv(4, 1)), Residual(Conv(4, 1)).Shortcut()},
		"the same two": {Sequential(halve(0.5)), Sequential(halve(0.5))},
		"set twice":    {Conv(4, 3).Stride(2), Conv(4, 3).Stride(3).Stride(2)},
	} {
		if a, b := described(t, nets[0]), described(t, nets[1]); a != b {
			t.Errorf("%s: described as\n%s\nand as\n%s", what, a, b)
		}
	}
}

func halve(by float64) Layer {
	return Func("mine", func(x *graph.Node) *graph.Node { return graph.MulScalar(x, by) })
}

// mine is a layer of a reader's own.
type mine struct{ by float64 }

func (m mine) Info() Info { return Info{Kind: "mine"} }

func (m mine) Apply(_ *model.Scope, x *graph.Node) *graph.Node { return graph.MulScalar(x, m.by) }

// Code counts by what it adds to a graph: that of a cell that was edited, that of a type of a reader's own, and what
// shows in tests alone. Where it stands in the network does not.
func TestDescriptionsOfFunctions(t *testing.T) {
	inTests := func(by float64) Layer {
		return ModelFunc("mine", func(scope *model.Scope, x *graph.Node) *graph.Node {
			if scope.IsTraining(x.Graph()) {
				return x
			}
			return graph.MulScalar(x, by)
		})
	}
	seen := map[string]string{}
	for what, net := range map[string]Layer{
		"half": halve(0.5), "third": halve(1. / 3), "another name": Func("yours", func(x *graph.Node) *graph.Node { return graph.MulScalar(x, 0.5) }),
		"a type": mine{0.5}, "a type, other": mine{0.25}, "doubled in tests": inTests(2), "tripled in tests": inTests(3),
		"inside": Sequential(Residual(halve(0.5))), "other inside": Sequential(Residual(halve(0.25))),
	} {
		text := described(t, net)
		if other, ok := seen[text]; ok {
			t.Errorf("%q is described like %q:\n%s", what, other, text)
		}
		seen[text] = what
	}
	alone, _ := Summarize(halve(0.5), 8, 8, 4)
	behind, _ := Summarize(Sequential(Conv(4, 1), ReLU, halve(0.5)), 8, 8, 4)
	if a, b := alone.Description().Layers[0].Operations, behind.Description().Layers[2].Operations; a == "" || a != b {
		t.Errorf("operations %q, and %q behind another layer", a, b)
	}
}

// What a function's text does not show: values of a larger constant, the gradient that it sets, and how its variables
// start. Two of each differ, and one has the same description again.
func TestDescriptionsOfWhatIsInside(t *testing.T) {
	constant := func(last float32) Layer {
		return Func("mask", func(x *graph.Node) *graph.Node {
			values := make([]float32, 8*8*4)
			values[len(values)-1] = last
			return graph.Mul(x, graph.Reshape(graph.Const(x.Graph(), values), 1, 8, 8, 4))
		})
	}
	reversal := func(strength float64) Layer { // Ganin and Lempitsky, 2015: only its gradient does anything
		return Func("reversal", func(x *graph.Node) *graph.Node {
			return graph.IdentityWithCustomGradient(x, func(_, v *graph.Node) *graph.Node { return graph.MulScalar(v, -strength) })
		})
	}
	weights := func(initial model.VariableInitializer) Layer {
		return ModelFunc("weights", func(scope *model.Scope, x *graph.Node) *graph.Node {
			scope.VariableWithShape("others", shapes.Make(x.DType(), 4)) // starts as usual
			w := scope.WithInitializer(initial).VariableWithShape("weights", shapes.Make(x.DType(), 1, 1, 1, 4))
			return graph.Mul(x, w.NodeValue(x))
		})
	}
	normal := func(deviation float64) Layer {
		return weights(initializer.RandomNormalFn(model.NewStore().RootScope(), deviation))
	}
	table := func(last float32) Layer { // a variable whose values the code gives
		return ModelFunc("table", func(scope *model.Scope, x *graph.Node) *graph.Node {
			v := scope.VariableWithValue("values", [][][][]float32{{{{1, 1, 1, last}}}}).SetTrainable(false)
			return graph.Mul(x, v.NodeValue(x))
		})
	}
	scores := func(factor float64) Layer { // behind a function that leaves one number of each image
		return Sequential(Func("sum", func(x *graph.Node) *graph.Node { return graph.ReduceSum(x, 1, 2, 3) }), halve(factor))
	}
	result := func(doubled bool) Layer { // both are computed, and one of them is what it gives
		return Func("either", func(x *graph.Node) *graph.Node {
			if y := graph.MulScalar(x, 2); doubled {
				return y
			}
			return x
		})
	}
	for what, nets := range map[string][2]func() Layer{
		"results":      {func() Layer { return result(true) }, func() Layer { return result(false) }},
		"one number":   {func() Layer { return scores(1) }, func() Layer { return scores(2) }},
		"constants":    {func() Layer { return constant(1) }, func() Layer { return constant(2) }},
		"gradients":    {func() Layer { return reversal(0.1) }, func() Layer { return reversal(1) }},
		"initialisers": {func() Layer { return normal(0.1) }, func() Layer { return normal(1) }},
		"given values": {func() Layer { return table(1) }, func() Layer { return table(2) }},
		"zeros, ones":  {func() Layer { return weights(initializer.Zero) }, func() Layer { return weights(initializer.One) }},
	} {
		first, again, second := described(t, nets[0]()), described(t, nets[0]()), described(t, nets[1]())
		if first != again {
			t.Errorf("%s: the same is described as\n%s\nand as\n%s", what, first, again)
		}
		if first == second {
			t.Errorf("%s: two that differ are described alike:\n%s", what, first)
		}
	}
}

// The sums of functions without any of that, and of a type that is made of this package's layers, are what they were
// when runs were first known by them, as long as GoMLX writes operations as it does.
func TestDescriptionsOfFunctionsAreKept(t *testing.T) {
	for _, c := range []struct {
		layer Layer
		want  string
	}{
		{halve(0.5), "8c0a67a30e0311206ec69962d6dfb3248dffaac5835d3f1ec5ae10e1af02af39"},
		{ModelFunc("dense", func(scope *model.Scope, x *graph.Node) *graph.Node {
			w := scope.VariableWithShape("weights", shapes.Make(x.DType(), 1, 1, 1, 4))
			return BatchNorm.Apply(scope, ReLU.Apply(scope, graph.Mul(x, w.NodeValue(x))))
		}), "04392d75a9bd20e962869c01a9e8ee2488c976697db71499149fcf60868c4d99"},
	} {
		summary, err := Summarize(c.layer, 8, 8, 4)
		if err != nil {
			t.Fatal(err)
		}
		if got := summary.Description().Layers[0].Operations; got != c.want {
			t.Errorf("%s: its operations are %s, not %s", Name(c.layer), got, c.want)
		}
	}
}

// A network that is built from its description is the same one: of every kind of layer with every setting, and of the
// description in a file, which tells what it is apart from this code.
func TestNetworkOfADescription(t *testing.T) {
	kept, err := os.ReadFile("testdata/description.json")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"the kept one": strings.TrimSpace(string(kept))}
	for what, net := range different() {
		texts[what] = described(t, net)
	}
	for what, text := range texts {
		var d Description
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		net, err := d.Network("A name")
		if err != nil {
			t.Errorf("%q: %v", what, err)
			continue
		}
		if got := described(t, net); got != text || Name(net) != "A name" {
			t.Errorf("%q: built %s, described as\n%s\nand before as\n%s", what, Name(net), got, text)
		}
	}
}

// What a description does not hold, or what this version cannot build, is an error of one line.
func TestDescriptionsOfNoNetwork(t *testing.T) {
	layers := func(text string) string { return `{"input": [8, 8, 4], "layers": [` + text + `]}` }
	for text, want := range map[string]string{
		described(t, Sequential(Conv(4, 1), Residual(halve(0.5)))): "the layer mine is code of the program that declared the network",
		described(t, mine{0.5}):                                                                "the layer mine is code of the program",
		layers(`{"kind": "attention", "units": 3}`):                                            "has no layer attention 3 units",
		layers(`{"kind": "relu", "units": 3}`):                                                 "has no layer relu 3 units",
		layers(`{"kind": "dense", "units": 3}`):                                                "net, layer dense1, on images of 8×8×4: takes [batch, inputs]",
		layers(`{"kind": "branches", "branches": 1000000000}`):                                 "no layer is as large as branches",
		layers(`{"kind": "max-pool", "kernel": 900000000, "stride": 1, "padding": 450000000}`): "no layer is as large as max-pool 900000000×900000000",
		layers(`{"kind": "branches", "branches": -1}`):                                         "has no branch",
		layers(`{"kind": "dropout", "rate": 2}`):                                               "drops 2 of its values",
		layers(`{"kind": "relu", "layers": [{"kind": "relu"}]}`):                               "is described as this version of the book does not build it",
		layers(`{"kind": "conv", "filters": 4, "kernel": 1}`):                                  "size 1, stride 0",
		`{"layers": []}`: "cannot be applied to an image of dimensions []",
	} {
		var d Description
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Network("net"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

// A description is kept: what changes it makes every trained network of the reader's a stranger. So this file is
// changed only on purpose. It has one layer of each kind that is this package's own, and nothing of GoMLX in it.
func TestDescriptionIsKept(t *testing.T) {
	got := described(t, Named("net",
		Conv(4, 3).Padding(1).Groups(2).NoBias(), BatchNorm, ReLU, MaxPool(3).Stride(2).Ceil(), LRN,
		Residual(Conv(8, 1), BatchNorm.Epsilon(0.001)).Shortcut(Conv(8, 1).NoBias()),
		Named("inception", Branches(Conv(2, 1), Sequential(AvgPool(3).Stride(1).Padding(1), Conv(2, 1)))), Sigmoid,
		Auxiliary(0.3, Flatten, Dense(2)), GlobalAvgPool, Dropout(0.5), Dense(2), LogSoftmax))
	const file = "testdata/description.json"
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal([]byte(got+"\n"), want) {
		t.Errorf("not what is in %s:\n%s", file, got)
	}
	if strings.Contains(got, "operations") {
		t.Error("a layer of this package is known by its operations")
	}
}
