package nn

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn/internal/check"
)

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
		{Info: Info{Kind: "dense", Units: 10}, Path: "dense1", Output: []int{10}, Parameters: 4010, MACs: 4000, Field: 32,
			gets: row{image: []int{5, 5, 16}}},
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
		"has 2 groups for 3 channels and 4 filters":                                       {Conv(4, 1).Groups(2), []int{6, 6, 3}},
		"has size 3 and padding 2":                                                        {MaxPool(3).Padding(2), []int{6, 6, 1}},
		"only a max-pool can":                                                             {AvgPool(3).Ceil(), []int{6, 6, 1}},
		"F, layer none1, on images of 6×6×1: has no function":                             {Named("F", Func("none", nil)), []int{6, 6, 1}},
		"F, layer lost1, on images of 6×6×1: gives nil for its input":                     {Named("F", Func("lost", func(*graph.Node) *graph.Node { return nil })), []int{6, 6, 1}},
		"F, layer sum1, on images of 6×6×1: gives a single number for all images":         {Named("F", Func("sum", func(x *graph.Node) *graph.Node { return graph.ReduceAllSum(x) })), []int{6, 6, 1}},
		"F, on images of 6×6×1: two of its layers would be called conv11":                 {Named("F", append([]Layer{Named("conv1", ReLU)}, slices.Repeat([]Layer{Conv(1, 1)}, 11)...)...), []int{6, 6, 1}},
		"E, layer residual1, on images of 6×6×1: its layer 2 is nil":                      {Named("E", Residual(ReLU, nil)), []int{6, 6, 1}},
		`F, on images of 6×6×1: its layer 1 has the name "\xff", which is not UTF-8`:      {Named("F", Named("\xff", ReLU)), []int{6, 6, 1}},
		`on images of 6×6×1: its name "\xff" is not UTF-8`:                                {Named("\xff", ReLU), []int{6, 6, 1}},
		`F, on images of 6×6×1: its layer 2 has the name "a/b": take one without a slash`: {Named("F", ReLU, Named("a/b", ReLU)), []int{6, 6, 1}},
		"drops 1 of its values":                                                           {Dropout(1), []int{6}},
		"has 0 units":                                                                     {Sequential(Flatten, Dense(0)), []int{6, 6, 1}},
		"cannot be applied to an image of dimensions []":                                  {ReLU, nil},
		"cannot be applied to an image of dimensions [0 6 1]":                             {ReLU, []int{0, 6, 1}},
		"cannot be applied to an image of dimensions [-6 -6 1]":                           {ReLU, []int{-6, -6, 1}},
		"relu cannot be applied to an image of dimensions [28 28]: want height, width, channels, each at least 1; a gray image has 1 channel": {
			ReLU, []int{28, 28}},
		"cannot be applied to an image of dimensions [1 28 28 1]":  {ReLU, []int{1, 28, 28, 1}},
		"the network is nil: give a layer, such as nn.Dense(10)":   {nil, []int{28, 28, 1}},
		"N, on images of 6×6×1: its layer 1 is nil: leave it out":  {Named("N", nil), []int{6, 6, 1}},
		"layer branches1, on images of 6×6×1: its layer 1 is nil":  {Sequential(Branches(nil)), []int{6, 6, 1}},
		"layer auxiliary1, on images of 6×6×1: its layer 1 is nil": {Sequential(Auxiliary(1, nil)), []int{6, 6, 1}},
		"layer mine1, on images of 6×6×1: of my own":               {Func("mine", func(*graph.Node) *graph.Node { panic("of my own\nand more") }), []int{6, 6, 1}},
	} {
		_, err := Summarize(c.net, c.image...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

// A block's lines in the summary: its layers with the ways that they are on, and what joins them, which sees what the
// farthest of them sees.
func TestSummaryOfBlocks(t *testing.T) {
	summary, err := Summarize(Named("blocks",
		Residual(Conv(3, 3).Padding(1), ReLU, Conv(3, 3).Padding(1)).Shortcut(ReLU),
		Named("all of it", Branches(Conv(2, 1), Residual(Conv(3, 5).Padding(2)))),
		Auxiliary(0.3, Flatten, Dense(2)), Conv(1, 3)), 8, 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		path, block, lane string
		output            []int
		field             int
	}{
		{"residual1/conv1", "residual1", "", []int{8, 8, 3}, 3},
		{"residual1/relu1", "residual1", "", []int{8, 8, 3}, 3},
		{"residual1/conv2", "residual1", "", []int{8, 8, 3}, 5},
		{"residual1/shortcut/relu1", "residual1", "shortcut", []int{8, 8, 3}, 1},
		{"residual1/add", "residual1", "", []int{8, 8, 3}, 5},
		{"all of it1/branches1/branch1/conv1", "all of it1/branches1", "branch1", []int{8, 8, 2}, 5},
		{"all of it1/branches1/branch2/residual1/conv1", "all of it1/branches1", "branch2", []int{8, 8, 3}, 8}, // 9 pixels, but the image has 8
		{"all of it1/branches1/branch2/residual1/add", "all of it1/branches1", "branch2", []int{8, 8, 3}, 8},
		{"all of it1/branches1/concat", "all of it1/branches1", "", []int{8, 8, 5}, 8},
		{"auxiliary1/flatten1", "auxiliary1", "auxiliary", []int{320}, 8},
		{"auxiliary1/dense1", "auxiliary1", "auxiliary", []int{2}, 8},
		{"conv1", "", "", []int{6, 6, 1}, 8},
	}
	if len(summary.Layers) != len(want) {
		t.Fatalf("%d layers, want %d:\n%v", len(summary.Layers), len(want), summary)
	}
	for i, w := range want {
		l := summary.Layers[i]
		if l.Path != w.path || l.Block != w.block || l.Lane != w.lane || !slices.Equal(l.Output, w.output) || l.Field != w.field {
			t.Errorf("%s in %q, on %q: %v, sees %d; want %v", l.Path, l.Block, l.Lane, l.Output, l.Field, w)
		}
	}
}

// Names of several words stay whole: of a network, of a block in it and so of the block's variables, of a function.
func TestNamesOfSeveralWords(t *testing.T) {
	same := Func("as it is", func(x *graph.Node) *graph.Node { return x })
	summary, err := Summarize(Named("VGG of six rounds", Named("a round", Conv(2, 3)), same), 8, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	if summary.Network != "VGG of six rounds" || summary.Layers[0].Path != "a round1/conv1" || summary.Layers[1].Path != "as it is1" ||
		summary.Variables[0].Name != "a round1/conv1/weights" {
		t.Errorf("%s has the layers %s and %s, and the variable %s",
			summary.Network, summary.Layers[0].Path, summary.Layers[1].Path, summary.Variables[0].Name)
	}
}

// Networks are values. Of two that a loop appends to the same layers, the first would be the second if they shared these.
func TestNetworksDoNotShareLayers(t *testing.T) {
	for kind, make := range map[string]func(layers []Layer) Layer{
		"Sequential": func(layers []Layer) Layer { return Sequential(layers...) },
		"Named":      func(layers []Layer) Layer { return Named("N", layers...) },
		"Residual":   func(layers []Layer) Layer { return Residual(layers...).Shortcut(Conv(2, 1)) },
		"Shortcut":   func(layers []Layer) Layer { return Residual(Conv(2, 1)).Shortcut(layers...) },
		"Branches":   func(layers []Layer) Layer { return Branches(layers...) },
		"Auxiliary":  func(layers []Layer) Layer { return Auxiliary(0.3, append(layers, Flatten, Dense(2))...) },
	} {
		layers := append(slices.Grow([]Layer(nil), 8), Conv(2, 1))
		net := Sequential(make(layers), Flatten, Dense(2))
		before := fmt.Sprint(mustSummarize(t, net))
		layers[0] = Conv(2, 3).Padding(1)
		if after := fmt.Sprint(mustSummarize(t, net)); after != before {
			t.Errorf("%s of another list is another network:\n%s\nit was\n%s", kind, after, before)
		}
	}
}

func mustSummarize(t *testing.T, net Layer) *Summary {
	t.Helper()
	summary, err := Summarize(net, 4, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	return summary
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
		if math.Abs(float64(relu[i]-max(0, conv[i]))) > 1e-6 { // one of them may be computed in another order
			t.Fatalf("relu of %v is %v", conv[i], relu[i])
		}
	}
	if len(layers) != 3 || layers[0].Path != "conv1" || layers[2].Path != "flatten1" {
		t.Errorf("layers: %+v", layers)
	}
}

// gated is a layer of a reader's own that is made of others: what it gives comes from none of them alone.
type gated struct{ gate Layer }

func (g gated) Info() Info { return Info{Kind: "gated"} }

func (g gated) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	gate := g.gate.Apply(scope, x)
	if gate.Rank() == 2 {
		gate = graph.Reshape(gate, -1, 1, 1, x.Shape().Dim(-1))
	}
	return graph.Mul(x, gate)
}

// No value sees more than there is of an image, on either side, or of inputs in a row.
func TestFieldsOfOtherImages(t *testing.T) {
	for want, image := range map[string][]int{"8×32": {8, 32, 1}, "784": {784}} {
		summary, err := Summarize(Sequential(Flatten, Dense(10)), image...)
		if err != nil {
			t.Fatal(err)
		}
		_, rows := summary.Table()
		if got := rows[2][5]; got != want {
			t.Errorf("a dense layer on images of %v sees %s, want %s", image, got, want)
		}
	}
}

// A value sees what the layers see that it is made of, through code that joins them, too.
func TestFieldsBehindLayersOfLayers(t *testing.T) {
	for _, c := range []struct {
		gate Layer
		want []int // of the layers in it, and of a convolution behind
	}{
		{Sequential(Conv(4, 3).Padding(1), Sigmoid), []int{5, 5, 7}},
		{Sequential(GlobalAvgPool, Dense(4), Sigmoid), []int{32, 32, 32, 32}},
	} {
		summary, err := Summarize(Sequential(Conv(4, 3), gated{c.gate}, Conv(4, 3)), 32, 32, 1)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, l := range summary.Layers[1:] {
			got = append(got, l.Field)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("the layers see %v, want %v", got, c.want)
		}
	}
}

// What code of a reader's own makes of its layers' results is what the block gives, and, at the end, the network.
func TestOutputsOfLayersOfLayers(t *testing.T) {
	net := Sequential(Conv(4, 3), gated{Sequential(GlobalAvgPool, Dense(4), Sigmoid)})
	summary, err := Summarize(net, 32, 32, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := summary.Blocks().Layers[1].Output, []int{30, 30, 4}; !slices.Equal(got, want) {
		t.Errorf("the block gives %v, want %v", got, want)
	}
	store := model.NewStore()
	x := images(store, "", false, []int{32, 32, 1})
	defer x.Graph().Finalize()
	layers, outputs := Activations(store.RootScope(), net, x)
	if n := len(layers); n != len(outputs) || !slices.Equal(outputs[n-1].Shape().Dimensions, []int{2, 30, 30, 4}) {
		t.Errorf("%d layers, the last of them %+v, gives %v", n, layers[n-1], outputs[len(outputs)-1])
	}
}

// The last layer is known, through blocks, unless code of a reader's own has the last word.
func TestLastLayer(t *testing.T) {
	same := Func("same", func(x *graph.Node) *graph.Node { return x })
	for _, c := range []struct {
		net  Layer
		want string // empty where it is not sure
	}{
		{Sequential(Flatten, Dense(3)), "dense"},
		{Dense(3), "dense"},
		{Named("N", Flatten, Named("head", Dense(3), LogSoftmax)), "log-softmax"},
		{Sequential(Flatten, Dense(3), same), ""},
		{Sequential(Conv(4, 3), gated{Sequential(GlobalAvgPool, Dense(4))}), ""},
		{gated{Sequential(Conv(2, 1), Sigmoid)}, ""},
		{Sequential(Residual(Conv(2, 1))), ""},
		{Sequential(Flatten, Dense(3), Sequential()), ""},
	} {
		image := []int{4, 4, 2}
		if c.want == "dense" && Name(c.net) == "dense" {
			image = []int{5}
		}
		summary, err := Summarize(c.net, image...)
		if err != nil {
			t.Fatal(err)
		}
		if last, sure := summary.Last(); last.Kind != c.want || sure != (c.want != "") {
			t.Errorf("%s ends in %q, sure: %v; want %q", Name(c.net), last.Kind, sure, c.want)
		}
	}
}
