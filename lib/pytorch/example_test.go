package pytorch_test

import (
	"fmt"
	"os"
	"path/filepath"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/pytorch"
	"example.org/convbook/lib/safetensors"
)

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
