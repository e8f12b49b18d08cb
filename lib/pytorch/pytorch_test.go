package pytorch

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/zoo"
)

//go:embed testdata/networks.json
var networks []byte

// fixture is a network in PyTorch: its weights' names and shapes, and what it gives for one image. See fixtures.py.
type fixture struct {
	Network        string
	Size, Channels int
	Scores         []float64
	Weights        [][2]any
}

// net is the same network in the zoo, and the dimensions of its images.
func (f fixture) net() (nn.Layer, []int, error) {
	if f.Network == "GoogLeNet-auxiliary" {
		return zoo.GoogLeNet(10, true), []int{f.Size, f.Size, f.Channels}, nil
	}
	return zoo.Named(f.Network, 10, 0)
}

// fixtures are those that fixtures.py wrote.
func fixtures(t *testing.T) []fixture {
	var file struct{ Networks []fixture }
	if err := json.Unmarshal(networks, &file); err != nil {
		t.Fatal(err)
	}
	return file.Networks
}

// numbers are n from 0 to below 1, a hash of their place and the stream: fixtures.py's.
func numbers(n, stream int) []float32 {
	values := make([]float32, n)
	first := uint32(uint64(stream) * 0x9E3779B9)
	for i := range values {
		x := uint32(i) + first
		x = (x ^ x>>16) * 0x21F0AAAD
		x = (x ^ x>>15) * 0x735A2D97
		x ^= x >> 15
		values[i] = float32(x>>8) / (1 << 24)
	}
	return values
}

// weights are those that fixtures.py gave the network.
func (f fixture) weights() map[string]safetensors.Tensor {
	all := map[string]safetensors.Tensor{}
	for i, w := range f.Weights {
		name := w[0].(string)
		var dims []int
		for _, dim := range w[1].([]any) {
			dims = append(dims, int(dim.(float64)))
		}
		n := 1
		for _, dim := range dims {
			n *= dim
		}
		values := numbers(n, i+1)
		bound := float32(math.Sqrt(6 / float64(len(values)/dims[0])))
		for k, u := range values {
			switch {
			case len(dims) > 1:
				values[k] = (2*u - 1) * bound
			case strings.HasSuffix(name, "running_var"), strings.HasSuffix(name, "weight"):
				values[k] = u + 0.5
			default:
				values[k] = (2*u - 1) * 0.1
			}
		}
		all[name] = safetensors.Float32(values, dims...)
	}
	return all
}

// Every network of the zoo has PyTorch's names for its weights, whoever wrote it: torchvision, or the notes.
func TestNamesArePyTorchs(t *testing.T) {
	for _, f := range fixtures(t) {
		net, image, err := f.net()
		if err != nil {
			t.Fatal(err)
		}
		summary, err := nn.Summarize(net, image...)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, w := range f.Weights {
			want = append(want, w[0].(string))
		}
		got := namesOf(summary)
		if strings.Contains(f.Network, "auxiliary") { // which PyTorch has behind all others
			slices.Sort(got)
			slices.Sort(want)
		}
		if len(got) != len(want) {
			t.Fatalf("%s has %d names, want %d", f.Network, len(got), len(want))
		}
		for i, name := range got {
			if name != want[i] {
				t.Errorf("%s: a name is %s, want %s", f.Network, name, want[i])
				break
			}
		}
	}
}

// Every network of the zoo, with the same weights and the same image, gives PyTorch's scores.
func TestTheZooComputesWhatPyTorchDoes(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.Network, func(t *testing.T) {
			if testing.Short() && f.Size > 100 {
				t.Skip("builds networks of ImageNet's size: not with -short")
			}
			net, dims, err := f.net()
			if err != nil {
				t.Fatal(err)
			}
			summary, err := nn.Summarize(net, dims...)
			if err != nil {
				t.Fatal(err)
			}
			converted, err := convert(f.weights(), "", summary)
			if err != nil {
				t.Fatal(err)
			}
			image := numbers(f.Size*f.Size*f.Channels, 0)
			for i, u := range image {
				image[i] = 2*u - 1
			}
			got, err := nn.Compute(net, converted, array.New(image, 1, f.Size, f.Size, f.Channels))
			if err != nil {
				t.Fatal(err)
			}
			if !near(got.Values, f.Scores) {
				t.Errorf("%v, PyTorch gives %v", got.Values, f.Scores)
			}
		})
	}
}

// near compares to 1e-4 of the largest score.
func near(got []float32, want []float64) bool {
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	return slices.EqualFunc(got, want, func(g float32, w float64) bool { return math.Abs(float64(g)-w) <= 1e-4*largest })
}

// A network of a convolution and two dense layers, with its weights in PyTorch's order of an image's and a filter's
// values, and in this book's, by hand.
var (
	tiny      = nn.Named("tiny", nn.Conv(2, 2), nn.Flatten, nn.Dense(1), nn.Dense(2))
	tinyState = map[string]safetensors.Tensor{
		"0.weight": safetensors.Float32([]float32{1, 2, 3, 4, 5, 6, 7, 8}, 2, 1, 2, 2),
		"0.bias":   safetensors.Float32([]float32{9, 10}, 2),
		"2.weight": safetensors.Float32([]float32{11, 12, 13, 14}, 1, 4), // both rows of filter 0's map, then of filter 1's
		"2.bias":   safetensors.Float32([]float32{15}, 1),
		"3.weight": safetensors.Float32([]float32{16, 17}, 2, 1),
		"3.bias":   safetensors.Float32([]float32{18, 19}, 2),
	}
	tinyWeights = map[string]array.Array{
		"conv1/weights": array.New([]float32{1, 5, 2, 6, 3, 7, 4, 8}, 2, 2, 1, 2), "conv1/bias": array.New([]float32{9, 10}, 2),
		"dense1/weights": array.New([]float32{11, 13, 12, 14}, 4, 1), "dense1/bias": array.New([]float32{15}, 1),
		"dense2/weights": array.New([]float32{16, 17}, 1, 2), "dense2/bias": array.New([]float32{18, 19}, 2),
	}
)

// readTiny reads a file with these tensors. With rename they are called otherwise.
func readTiny(t *testing.T, state map[string]safetensors.Tensor, rename func(string) string,
	order string) (map[string]array.Array, error) {
	t.Helper()
	renamed := map[string]safetensors.Tensor{}
	for name, tensor := range state {
		renamed[rename(name)] = tensor
	}
	file := filepath.Join(t.TempDir(), "tiny.safetensors")
	if err := safetensors.Write(file, renamed, map[string]string{"order": order}); err != nil {
		t.Fatal(err)
	}
	return Read(file, tiny, 3, 2, 1)
}

func checkTiny(t *testing.T, got map[string]array.Array) {
	t.Helper()
	if len(got) != len(tinyWeights) {
		t.Errorf("%d weights, want %d", len(got), len(tinyWeights))
	}
	for name, want := range tinyWeights {
		if !slices.Equal(got[name].Values, want.Values) {
			t.Errorf("%s: %v, want %v", name, got[name].Values, want.Values)
		}
	}
}

func same(name string) string { return name }

// DataParallel puts module. before all names, torch.compile _orig_mod., or either of them before those of a part.
func TestReadByName(t *testing.T) {
	for _, rename := range []func(string) string{
		same,
		func(name string) string { return "module." + name },
		func(name string) string { return "_orig_mod." + name },
		func(name string) string { return "_orig_mod.module." + name },
		func(name string) string { return strings.Replace(name, "0.", "0._orig_mod.", 1) },
	} {
		state := maps.Clone(tinyState)
		state["1.num_batches_tracked"] = safetensors.Tensor{DType: "I64", Bytes: make([]byte, 8)}
		got, err := readTiny(t, state, rename, "")
		if err != nil {
			t.Fatal(err)
		}
		checkTiny(t, got)
	}
}

func TestReadByOrder(t *testing.T) {
	names := strings.NewReplacer("0.", "c.", "2.", "a.", "3.", "b.")
	const order = "c.weight\nc.bias\na.weight\na.bias\nb.weight\nb.bias"
	for _, prefix := range []string{"", "module."} {
		got, err := readTiny(t, tinyState, func(name string) string { return prefix + names.Replace(name) },
			prefix+strings.ReplaceAll(order, "\n", "\n"+prefix))
		if err != nil {
			t.Fatal(err)
		}
		checkTiny(t, got)
	}
	for want, order := range map[string]string{
		"write it with their order":                                          "",
		"5 weights for a network that has 6, tiny":                           strings.TrimSuffix(order, "\nb.bias"),
		"its order names a.bias twice":                                       strings.Replace(order, "b.bias", "a.bias", 1),
		"there is no x in it":                                                strings.Replace(order, "b.bias", "x", 1),
		"c.bias is [2], but conv1/weights of tiny needs [2 1 2 2] there":     "c.bias\nc.weight\na.weight\na.bias\nb.weight\nb.bias",
		"a.weight is [1 4], but conv1/weights of tiny needs [2 1 2 2] there": "a.weight\nc.bias\nc.weight\na.bias\nb.weight\nb.bias",
	} {
		_, err := readTiny(t, tinyState, names.Replace, order)
		checkError(t, err, want)
	}
}

func checkError(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, want := range append(want, ".safetensors") {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

// Half-precision and double weights are the same numbers: those of tiny fit into all.
func TestReadOtherTypes(t *testing.T) {
	for dtype, bytes := range map[string]func(value float32) []byte{
		"BF16": func(v float32) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(math.Float32bits(v)>>16)) },
		"F16": func(v float32) []byte { // of small whole numbers: exponent and the upper bits of the fraction
			bits := math.Float32bits(v)
			return binary.LittleEndian.AppendUint16(nil, uint16((bits>>23-112)<<10|bits>>13&0x3ff))
		},
		"F64": func(v float32) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(float64(v))) },
	} {
		state := map[string]safetensors.Tensor{}
		for name, tensor := range tinyState {
			values, err := tensor.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			tensor.DType, tensor.Bytes = dtype, nil
			for _, v := range values {
				tensor.Bytes = append(tensor.Bytes, bytes(v)...)
			}
			state[name] = tensor
		}
		got, err := readTiny(t, state, same, "")
		if err != nil {
			t.Fatalf("%s: %v", dtype, err)
		}
		checkTiny(t, got)
	}
}

func TestReadWhatDoesNotFit(t *testing.T) {
	with := func(change func(state map[string]safetensors.Tensor)) error {
		state := maps.Clone(tinyState)
		change(state)
		_, err := readTiny(t, state, same, "")
		return err
	}
	set := func(name string, tensor safetensors.Tensor) func(map[string]safetensors.Tensor) {
		return func(state map[string]safetensors.Tensor) { state[name] = tensor }
	}
	nan, infinity := float32(math.NaN()), float32(math.Inf(1))
	for want, err := range map[string]error{
		"these are not the weights of tiny: it lacks 2.weight, 2.bias; it has a.bias, b.bias, c.bias and 1 more besides": with(
			func(state map[string]safetensors.Tensor) {
				delete(state, "2.weight")
				delete(state, "2.bias")
				for _, name := range []string{"a.bias", "b.bias", "c.bias", "d.bias"} {
					state[name] = safetensors.Float32([]float32{1}, 1)
				}
			}),
		"0.weight is [2 1 1 4] instead of [2 1 2 2]": with(set("0.weight",
			safetensors.Float32(make([]float32, 8), 2, 1, 1, 4))),
		"0.bias: 1 of its 2 values are not finite, such as NaN":      with(set("0.bias", safetensors.Float32([]float32{9, nan}, 2))),
		"3.bias: 2 of its 2 values are not finite, such as +Inf":     with(set("3.bias", safetensors.Float32([]float32{infinity, nan}, 2))),
		"0.bias: a tensor of type I16 is not read as F32":            with(set("0.bias", safetensors.Tensor{DType: "I16", Dims: []int{2}, Bytes: make([]byte, 4)})),
		"it has two tensors for 0.bias: write the state dict of one": with(set("module.0.bias", tinyState["0.bias"])),
		"it has aux3.conv.weight besides":                            with(set("aux3.conv.weight", tinyState["0.weight"])),
	} {
		checkError(t, err, want)
	}
	if err := with(set("aux1.conv.conv.weight", tinyState["0.weight"])); err != nil {
		t.Errorf("an auxiliary classifier that the network does not have: %v", err)
	}
}

// What torch.save writes begins like a zip archive, and did once like a pickle of its protocol 2.
func TestPickles(t *testing.T) {
	for _, start := range []string{"PK\x03\x04\x00\x00\x08\x08", "\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."} {
		file := filepath.Join(t.TempDir(), "net.pth")
		if err := os.WriteFile(file, []byte(start), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(file, tiny, 3, 2, 1)
		checkError(t, err, file, "weights_only=True", "save_file", "net.safetensors")
	}
	_, err := Read(filepath.Join(t.TempDir(), "none.safetensors"), tiny, 3, 2, 1)
	checkError(t, err, "no such file")
}

// What Write writes has PyTorch's names and order of values, and Read has what Write was given.
func TestWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tiny.safetensors")
	if err := Write(file, tinyWeights, tiny, 3, 2, 1); err != nil {
		t.Fatal(err)
	}
	state, metadata, err := safetensors.Read(file)
	if err != nil || metadata["format"] != "pt" || !reflect.DeepEqual(state, tinyState) {
		t.Errorf("%v, %v, %v, want %v", state, metadata, err, tinyState)
	}
	got, err := Read(file, tiny, 3, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	checkTiny(t, got)

	less := maps.Clone(tinyWeights)
	delete(less, "dense1/bias")
	checkError(t, Write(file, less, tiny, 3, 2, 1), "tiny needs 1 values for dense1/bias, and there are 0")
	turned := maps.Clone(tinyWeights)
	w := turned["dense1/weights"]
	turned["dense1/weights"] = array.New(w.Values, 2, 2)
	checkError(t, Write(file, turned, tiny, 3, 2, 1), "tiny needs [4 1] for dense1/weights, and it has the dimensions [2 2]")
	if again, _, err := safetensors.Read(file); err != nil || !reflect.DeepEqual(again, tinyState) {
		t.Errorf("an error left %v, %v", again, err)
	}
}

// PyTorch's batch norm has a scale always, which is 1 where the book's has none: load_state_dict wants it, and a file of
// PyTorch's has it.
func TestBatchNormsWithoutScale(t *testing.T) {
	net := nn.Named("plain", nn.Conv(2, 1).NoBias(), nn.BatchNorm.NoScale(), nn.GELU, nn.Flatten, nn.Dense(1), nn.Times(0.5))
	two := func(a, b float32) array.Array { return array.New([]float32{a, b}, 1, 1, 1, 2) }
	weights := map[string]array.Array{
		"conv1/weights": two(1, 2), "batch-norm1/shift": two(3, 4), "batch-norm1/mean": two(5, 6),
		"batch-norm1/variance": two(7, 8), "dense1/weights": array.New([]float32{9, 10}, 2, 1),
		"dense1/bias": array.New([]float32{11}, 1, 1),
	}
	state := map[string]safetensors.Tensor{
		"0.weight": safetensors.Float32([]float32{1, 2}, 2, 1, 1, 1), "1.weight": safetensors.Float32([]float32{1, 1}, 2),
		"1.bias": safetensors.Float32([]float32{3, 4}, 2), "1.running_mean": safetensors.Float32([]float32{5, 6}, 2),
		"1.running_var": safetensors.Float32([]float32{7, 8}, 2),
		"4.weight":      safetensors.Float32([]float32{9, 10}, 1, 2), "4.bias": safetensors.Float32([]float32{11}, 1),
	}
	file := filepath.Join(t.TempDir(), "plain.safetensors")
	if err := Write(file, weights, net, 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	if written, _, err := safetensors.Read(file); err != nil || !reflect.DeepEqual(written, state) {
		t.Errorf("%v, %v, want %v", written, err, state)
	}
	if got, err := Read(file, net, 1, 1, 1); err != nil || !reflect.DeepEqual(got, weights) {
		t.Errorf("%v, %v, want %v", got, err, weights)
	}
	state["1.weight"] = safetensors.Float32([]float32{1, 2}, 2)
	if err := safetensors.Write(file, state, nil); err != nil {
		t.Fatal(err)
	}
	_, err := Read(file, net, 1, 1, 1)
	checkError(t, err, "1.weight is not 1, but that batch norm of plain has no scale")
}

// PyTorch flattens channel by channel, the book pixel by pixel. So the weights of each dense layer that gets a flattened
// image are reordered, wherever it stands, and those of no other.
func TestFlattenedImages(t *testing.T) {
	relu, conv, dense := nn.ReLU, nn.Conv(4, 2), func() nn.Layer { return nn.Dense(3) }
	of := func(height, width, channels int) []int { return []int{height, width, channels} }
	for name, c := range map[string]struct {
		net  nn.Layer
		want map[string][]int // of each dense layer, its image
	}{
		"first":     {nn.Sequential(nn.Flatten, dense(), relu, dense()), map[string][]int{"dense1": of(3, 4, 2), "dense2": nil}},
		"twice":     {nn.Sequential(conv, nn.Flatten, relu, nn.Flatten, nn.Dropout(0.5), dense()), map[string][]int{"dense1": of(2, 3, 4)}},
		"pooled":    {nn.Sequential(conv, nn.GlobalAvgPool, nn.Flatten, dense()), map[string][]int{"dense1": nil}},
		"auxiliary": {nn.Sequential(conv, nn.Auxiliary(0.3, nn.Flatten, dense()), nn.Flatten, dense()), map[string][]int{"auxiliary1/dense1": of(2, 3, 4), "dense1": of(2, 3, 4)}},
		"branches": {nn.Sequential(conv, nn.Flatten, nn.Branches(dense(), nn.Sequential(relu, dense())), dense()),
			map[string][]int{"branches1/branch1/dense1": of(2, 3, 4), "branches1/branch2/dense1": of(2, 3, 4), "dense1": nil}},
		"residual": {nn.Sequential(nn.Flatten, nn.Residual(dense(), nn.Dense(24)).Shortcut(nn.Dense(24)), dense()),
			map[string][]int{"residual1/dense1": of(3, 4, 2), "residual1/dense2": nil, "residual1/shortcut/dense1": of(3, 4, 2), "dense1": nil}},
		"own": {nn.Sequential(nn.Flatten, own{nn.Sequential(relu), false}, dense()), map[string][]int{"dense1": of(3, 4, 2)}},
	} {
		summary, err := nn.Summarize(c.net, 3, 4, 2)
		if err != nil {
			t.Fatal(name, err)
		}
		weights := map[string]array.Array{}
		for _, v := range summary.Variables {
			values := make([]float32, v.Size())
			for i := range values {
				values[i] = float32(i)
			}
			weights[v.Name] = array.New(values, v.Dims...)
		}
		file := filepath.Join(t.TempDir(), "net.safetensors")
		if err := Write(file, weights, c.net, 3, 4, 2); err != nil {
			t.Fatal(name, err)
		}
		state, _, err := safetensors.Read(file)
		if err != nil {
			t.Fatal(name, err)
		}
		names := namesOf(summary)
		seen := 0
		for i, v := range summary.Variables {
			image, ok := c.want[path.Dir(v.Name)]
			if !ok || path.Base(v.Name) != "weights" {
				continue
			}
			seen++
			checkOrder(t, name+", "+v.Name, state[names[i]], weights[v.Name], image)
		}
		if seen != len(c.want) {
			t.Errorf("%s has %d dense layers, want %d", name, seen, len(c.want))
		}
		if back, err := Read(file, c.net, 3, 4, 2); err != nil || !reflect.DeepEqual(back, weights) {
			t.Errorf("%s comes back as %v, %v", name, back, err)
		}
	}
}

// own is a layer of a reader's own, made of another one. It doubles what that gives, or adds it to what comes in.
type own struct {
	nn.Layer
	adds bool
}

func (o own) Info() nn.Info { return nn.Info{Kind: "own"} }

func (o own) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	y := o.Layer.Apply(scope, x)
	if o.adds {
		return graph.Add(x, y)
	}
	return graph.MulScalar(y, 2)
}

// checkOrder compares PyTorch's weights [units, inputs] with the book's, which are its inputs × units.
func checkOrder(t *testing.T, name string, theirs safetensors.Tensor, ours array.Array, image []int) {
	t.Helper()
	values, err := theirs.Float32s()
	if err != nil {
		t.Fatal(name, err)
	}
	inputs, units := ours.Dims[0], ours.Dims[1]
	for k := range inputs {
		at := k
		if image != nil { // channel c of pixel (y, x) is PyTorch's input (c × height + y) × width + x
			c, x, y := k%image[2], k/image[2]%image[1], k/image[2]/image[1]
			at = (c*image[0]+y)*image[1] + x
		}
		for u := range units {
			if got, want := values[u*inputs+at], ours.At(k, u); got != want {
				t.Fatalf("%s: the weight of unit %d for input %d is %v, want %v", name, u, at, got, want)
			}
		}
	}
}

func TestFlattenedImagesThatAreMixed(t *testing.T) {
	for _, net := range []nn.Layer{
		nn.Named("sum", nn.Flatten, nn.Residual(nn.Dense(24)), nn.Dense(1)),
		nn.Named("side", nn.Branches(nn.Flatten, nn.Flatten), nn.ReLU, nn.Dense(1)),
		nn.Named("behind", nn.Flatten, nn.Branches(nn.ReLU, nn.Dense(2)), nn.Dense(1)),
		nn.Named("own sum", nn.Flatten, own{nn.Sequential(nn.LogSoftmax, nn.Dense(24)), true}, nn.Dense(1)),
		nn.Named("half", nn.Flatten, nn.Func("half", func(x *graph.Node) *graph.Node {
			return graph.Slice(x, graph.AxisRange(), graph.AxisRange(0, 12))
		}), nn.Dense(1)),
	} {
		checkError(t, Write(filepath.Join(t.TempDir(), "net.safetensors"), nil, net, 3, 4, 2),
			nn.Name(net)+": dense1 gets the numbers of a flattened image together with others: PyTorch has them in another order")
	}
}

// Every small network of the zoo comes back as it was, and its file is what fixtures.py says of PyTorch's.
func TestWriteTheZoo(t *testing.T) {
	for _, f := range fixtures(t) {
		if f.Size > 100 {
			continue
		}
		net, image, err := f.net()
		if err != nil {
			t.Fatal(err)
		}
		summary, err := nn.Summarize(net, image...)
		if err != nil {
			t.Fatal(err)
		}
		state := f.weights()
		weights, err := convert(state, "", summary)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "net.safetensors")
		if err := Write(file, weights, net, image...); err != nil {
			t.Fatal(err)
		}
		written, _, err := safetensors.Read(file)
		if err != nil || !reflect.DeepEqual(written, state) {
			t.Errorf("%s comes back as something else, %v", f.Network, err)
		}
	}
}

// Names of layers in a reader's own blocks are the book's with dots, which no PyTorch code has by itself.
func TestNamesOfOwnNetworks(t *testing.T) {
	for want, net := range map[string]nn.Layer{
		"0.weight 0.bias 3.weight 3.bias": nn.Named("mine", nn.Conv(2, 3), nn.ReLU, nn.Flatten, nn.Dense(2)),
		"block1.conv1.weight block1.conv1.bias dense1.weight dense1.bias": nn.Named("mine",
			nn.Named("block", nn.Conv(2, 3)), nn.Flatten, nn.Dense(2)),
		"features.0.weight features.0.bias classifier.weight classifier.bias": nn.Named("VGG of one round",
			nn.Conv(2, 3), nn.Flatten, nn.Dense(2)),
	} {
		summary, err := nn.Summarize(net, 5, 5, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(namesOf(summary), " "); got != want {
			t.Errorf("the names are %s, want %s", got, want)
		}
	}
}
