package pytorch

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/zoo"
)

//go:embed testdata/networks.json
var networks []byte

// fixture is a network in PyTorch: its weights' names and shapes, and what it gives for one image. See fixtures.py.
type fixture struct {
	Network string
	Size    int
	Scores  []float64
	Weights [][2]any
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
func (f fixture) weights() (all map[string]safetensors.Tensor, order []string) {
	all = map[string]safetensors.Tensor{}
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
		order = append(order, name)
	}
	return all, order
}

// Every network of the zoo that PyTorch or a paper has, with the same weights and the same image, gives PyTorch's
// scores.
func TestTheZooComputesWhatPyTorchDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("builds fourteen networks of ImageNet's size: not with -short")
	}
	nets := map[string]nn.Layer{
		"AlexNet": zoo.AlexNet(10), "AlexNet-one-tower": zoo.AlexNetOneTower(10),
		"ZFNet": zoo.ZFNet(10), "ZFNet-larger": zoo.ZFNetLarger(10), "GoogLeNet": zoo.GoogLeNet(10, false),
	}
	for _, layers := range []int{11, 13, 16, 19} {
		nets[fmt.Sprintf("VGG-%d", layers)] = zoo.VGG(layers, 10)
	}
	for _, layers := range []int{18, 34, 50, 101, 152} {
		nets[fmt.Sprintf("ResNet-%d", layers)] = zoo.ResNet(layers, 10)
	}
	var file struct{ Networks []fixture }
	if err := json.Unmarshal(networks, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Networks) != len(nets) {
		t.Errorf("%d fixtures for %d networks", len(file.Networks), len(nets))
	}
	for _, f := range file.Networks {
		t.Run(f.Network, func(t *testing.T) {
			net := nets[f.Network]
			summary, err := nn.Summarize(net, f.Size, f.Size, 3)
			if err != nil {
				t.Fatal(err)
			}
			weights, order := f.weights()
			converted, err := convert(weights, order, summary)
			if err != nil {
				t.Fatal(err)
			}
			image := numbers(f.Size*f.Size*3, 0)
			for i, u := range image {
				image[i] = 2*u - 1
			}
			got, err := nn.Compute(net, converted, array.New(image, 1, f.Size, f.Size, 3))
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

// A file for a convolution and two dense layers, by hand: how PyTorch orders an image's and a filter's values.
func TestRead(t *testing.T) {
	net := nn.Named("tiny", nn.Conv(2, 2), nn.Flatten, nn.Dense(1), nn.Dense(2))
	summary, err := nn.Summarize(net, 3, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	weights := map[string]safetensors.Tensor{
		"c.weight": safetensors.Float32([]float32{1, 2, 3, 4, 5, 6, 7, 8}, 2, 1, 2, 2),
		"c.bias":   safetensors.Float32([]float32{9, 10}, 2),
		"a.weight": safetensors.Float32([]float32{11, 12, 13, 14}, 1, 4), // both rows of filter 0's map, then of filter 1's
		"a.bias":   safetensors.Float32([]float32{15}, 1),
		"b.weight": safetensors.Float32([]float32{16, 17}, 2, 1),
		"b.bias":   safetensors.Float32([]float32{18, 19}, 2),
	}
	const order = "c.weight\nc.bias\na.weight\na.bias\nb.weight\nb.bias"
	write := func(order string) string {
		file := filepath.Join(t.TempDir(), "tiny.safetensors")
		if err := safetensors.Write(file, weights, map[string]string{"order": order}); err != nil {
			t.Fatal(err)
		}
		return file
	}
	converted, err := Read(write(order), summary)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{
		"conv1/weights": {1, 5, 2, 6, 3, 7, 4, 8}, "conv1/bias": {9, 10},
		"dense1/weights": {11, 13, 12, 14}, "dense2/weights": {16, 17}, "dense2/bias": {18, 19},
	} {
		if got := converted[name]; !slices.Equal(got.Values, want) {
			t.Errorf("%s: %v, want %v", name, got.Values, want)
		}
	}

	for want, order := range map[string]string{
		"does not say in which order":                                        "",
		"5 weights for a network that has 6, tiny":                           strings.TrimSuffix(order, "\nb.bias"),
		"there is no x in it":                                                strings.Replace(order, "b.bias", "x", 1),
		"c.bias is [2], but conv1/weights of tiny needs [2 1 2 2] there":     "c.bias\nc.weight\na.weight\na.bias\nb.weight\nb.bias",
		"a.weight is [1 4], but conv1/weights of tiny needs [2 1 2 2] there": "a.weight\nc.bias\nc.weight\na.bias\nb.weight\nb.bias",
	} {
		if _, err := Read(write(order), summary); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
