package pytorch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
)

// A file of weights can be anything: it must not panic, and what is accepted fits the network.
func FuzzRead(f *testing.F) {
	net := nn.Named("tiny", nn.Conv(2, 2), nn.BatchNorm, nn.Flatten, nn.Dense(1))
	summary, err := nn.Summarize(net, 3, 2, 1)
	if err != nil {
		f.Fatal(err)
	}
	weights := map[string]safetensors.Tensor{}
	var order []string
	for i, v := range summary.Variables {
		name := string(rune('a' + i))
		weights[name] = safetensors.Float32(make([]float32, v.Size()), layout(v, []int{2, 1, 2}).shape...)
		order = append(order, name)
	}
	weights["f8"] = safetensors.Tensor{DType: "F8_E4M3", Dims: []int{1}, Bytes: []byte{60}}
	others := slices.Clone(order)
	slices.Reverse(others)
	read := 0
	for _, order := range [][]string{order, others, order[1:], nil, {"f8"}, append([]string{"x.num_batches_tracked"}, order...)} {
		path := filepath.Join(f.TempDir(), "seed.safetensors")
		if err := safetensors.Write(path, weights, map[string]string{"order": strings.Join(order, "\n")}); err != nil {
			f.Fatal(err)
		}
		if _, err := Read(path, net, 3, 2, 1); err == nil {
			read++
		}
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
		f.Add([]byte(strings.Replace(string(content), `"writer":"convbook"`, `"writer":"somebody"`, 1))) // has another sum
		f.Add([]byte(strings.NewReplacer(`"writer":"convbook"`, `"writer":"somebody"`, `"sha256"`, `"sha257"`).Replace(string(content))))
	}
	if read != 2 {
		f.Errorf("%d of the files fit the network, not 2", read)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		weights, err := Read(path, net, 3, 2, 1)
		if err != nil {
			if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line that names the file", err)
			}
			return
		}
		for _, v := range summary.Variables {
			if got := weights[v.Name]; !slices.Equal(got.Dims, v.Dims) || len(got.Values) != v.Size() {
				t.Errorf("%s has %d values of dimensions %v", v.Name, len(got.Values), got.Dims)
			}
		}
	})
}
