package classify

import (
	"path/filepath"
	"strings"
	"testing"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train"
)

// Whatever a file says of its network and its input, it is an error of one line or a classifier whose parts fit.
func FuzzModel(f *testing.F) {
	net := nn.Named("tiny", nn.Conv(2, 3).Stride(5), nn.BatchNorm, nn.ReLU, nn.Residual(nn.Conv(2, 1)),
		nn.Branches(nn.MaxPool(2), nn.AvgPool(2)), nn.Flatten, nn.Dropout(0.5), nn.Dense(10))
	summary, err := nn.Summarize(net, 28, 28, 1)
	if err != nil {
		f.Fatal(err)
	}
	weights := map[string]array.Array{}
	for _, v := range summary.Variables {
		weights[v.Name] = array.New(make([]float32, v.Size()), v.Dims...)
	}
	c, err := Of(train.Model{Net: net, Input: sample.MNIST().Normalize(0.5, 0.5).Input(), Weights: weights})
	if err != nil {
		f.Fatal(err)
	}
	good := filepath.Join(f.TempDir(), "good.safetensors")
	if err := c.Export(good); err != nil {
		f.Fatal(err)
	}
	tensors, about, err := safetensors.Read(good)
	if err != nil {
		f.Fatal(err)
	}
	network, input := about[networkKey], about[inputKey]
	f.Add(network, input)
	f.Add(network, strings.Replace(input, `"height":28`, `"height":4096`, 1))
	f.Add(network, strings.Replace(input, `"std":[0.5]`, `"std":[]`, 1))
	f.Add(strings.Replace(network, `"kernel":2`, `"kernel":512,"padding":256`, 1), input)
	f.Add(strings.Replace(network, `"filters":2`, `"filters":9223372036854775807`, 1), input)
	f.Add(strings.Replace(network, `"kind":"relu"`, `"kind":"sequential"`, 1), input)
	f.Add("null", "null")
	f.Fuzz(func(t *testing.T, network, input string) {
		about := map[string]string{formatKey: format, nameKey: "x", networkKey: network, inputKey: input}
		m, err := modelOf(tensors, about)
		var c *Classifier
		if err == nil {
			c, err = Of(m)
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q of several lines", err)
			}
			return
		}
		if n := len(c.model.Input.Classes); n < 1 || n != c.summary.Output[0] || c.pictureBytes() != 28*28 {
			t.Errorf("%v has %d classes", c, n)
		}
	})
}
