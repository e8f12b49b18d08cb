package pytorch_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/pytorch"
	"example.org/convbook/lib/safetensors"
)

// Weights under names that this package does not know are read by their order.
func ExampleRead() {
	dir, err := os.MkdirTemp("", "pytorch")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	// What the lines of Python above write for a torch.nn.Linear(2, 1).
	file := filepath.Join(dir, "net.safetensors")
	err = safetensors.Write(file, map[string]safetensors.Tensor{
		"weight": safetensors.Float32([]float32{3, 4}, 1, 2), "bias": safetensors.Float32([]float32{5}, 1),
	}, map[string]string{"order": "weight\nbias"})
	if err != nil {
		fmt.Println(err)
		return
	}

	net := nn.Dense(1)
	weights, err := pytorch.Read(file, net, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	scores, err := nn.Compute(net, weights, array.New([]float32{10, 100}, 1, 2))
	fmt.Println(scores.Values, err)
	// Output: [435] <nil>
}

// What a network learned here, for load_state_dict in Python.
func ExampleWrite() {
	dir, err := os.MkdirTemp("", "pytorch")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "net.safetensors")
	net := nn.Named("mine", nn.Conv(1, 2), nn.ReLU, nn.Flatten, nn.Dense(1)) // nn.Sequential(nn.Conv2d(1, 1, 2), …)
	weights := map[string]array.Array{                                       // or a run's, by run.Model
		"conv1/weights": array.New([]float32{1, 2, 3, 4}, 2, 2, 1, 1), "conv1/bias": array.New([]float32{0}, 1),
		"dense1/weights": array.New([]float32{5, 6}, 2, 1), "dense1/bias": array.New([]float32{0}, 1),
	}
	if err := pytorch.Write(file, weights, net, 2, 3, 1); err != nil {
		fmt.Println(err)
		return
	}
	tensors, _, err := safetensors.Read(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		fmt.Println(name, tensors[name].Dims)
	}
	// Output:
	// 0.bias [1]
	// 0.weight [1 1 2 2]
	// 3.bias [1]
	// 3.weight [1 2]
}
