// Command pytorch is the book's half of roundtrip.py. In a folder it reads the files of a network's weights that PyTorch
// wrote and writes each of them again, and a file of weights that it draws itself; of both it notes the scores for the
// image of lib/pytorch/fixtures.py.
//
//	pytorch NETWORK FOLDER
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/pytorch"
	"example.org/convbook/lib/zoo"
)

const classes = 10

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("usage: pytorch NETWORK FOLDER")
	}
	name, folder := arguments[0], arguments[1]
	plain, auxiliary := strings.CutSuffix(name, "-auxiliary")
	net, dims, err := zoo.Named(plain, classes, 0)
	if err != nil {
		return err
	}
	if auxiliary {
		net = zoo.GoogLeNet(classes, true)
	}
	scores := map[string][]float32{}
	for _, form := range []string{"plain", "wrapped", "half", "bfloat16"} {
		weights, err := pytorch.Read(filepath.Join(folder, form+".safetensors"), net, dims...)
		if err != nil {
			return err
		}
		if form == "plain" {
			if scores[form], err = scoresOf(net, weights, dims); err != nil {
				return err
			}
		}
		if err := pytorch.Write(filepath.Join(folder, form+"-again.safetensors"), weights, net, dims...); err != nil {
			return err
		}
	}
	own, err := drawn(net, dims)
	if err != nil {
		return err
	}
	if scores["own"], err = scoresOf(net, own, dims); err != nil {
		return err
	}
	if err := pytorch.Write(filepath.Join(folder, "own.safetensors"), own, net, dims...); err != nil {
		return err
	}
	text, err := json.Marshal(scores)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "scores.json"), text, 0o644)
}

// drawn are initial weights, as a training draws them, but with all that sums are made of √6 times as large, as He et
// al. have it: so scores do not become the last layer's biases.
func drawn(net nn.Layer, dims []int) (map[string]array.Array, error) {
	summary, err := nn.Summarize(net, dims...)
	if err != nil {
		return nil, err
	}
	backend, err := device.Open()
	if err != nil {
		return nil, err
	}
	store := model.NewStore()
	if err := summary.Initialize(store, backend, 1); err != nil {
		return nil, err
	}
	weights := map[string]array.Array{}
	for _, v := range summary.Variables {
		value, err := store.GetVariable(nn.Path(v.Name)).Value()
		if err != nil {
			return nil, err
		}
		values, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return nil, err
		}
		if path.Base(v.Name) == "weights" {
			for i := range values {
				values[i] *= float32(math.Sqrt(6))
			}
		}
		weights[v.Name] = array.New(values, v.Dims...)
	}
	return weights, nil
}

// scoresOf are what the network gives for the image: numbers in ±1, a hash of their place.
func scoresOf(net nn.Layer, weights map[string]array.Array, dims []int) ([]float32, error) {
	image := make([]float32, dims[0]*dims[1]*dims[2])
	for i := range image {
		x := uint32(i)
		x = (x ^ x>>16) * 0x21F0AAAD
		x = (x ^ x>>15) * 0x735A2D97
		x ^= x >> 15
		image[i] = 2*float32(x>>8)/(1<<24) - 1
	}
	scores, err := nn.Compute(net, weights, array.New(image, slices.Concat([]int{1}, dims)...))
	return scores.Values, err
}
