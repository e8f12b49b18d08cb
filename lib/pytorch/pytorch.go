// Package pytorch reads the weights of networks that PyTorch trained.
//
// In Python, the weights are written with their order, which the format itself does not keep:
//
//	from safetensors.torch import save_file
//	state = net.state_dict()
//	save_file(state, "net.safetensors", {"order": "\n".join(state)})
//
// Names do not matter here: the n-th layer with weights gets the n-th ones of the file. Shapes do, and one that does
// not fit is an error that names both. PyTorch keeps images as channels × height × width and filters first; this
// package puts both into the order of package nn.
package pytorch

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
)

// Read returns the weights of the file for the network, for [nn.Compute].
func Read(file string, net *nn.Summary) (map[string]array.Array, error) {
	weights, metadata, err := safetensors.Read(file)
	if err != nil {
		return nil, err
	}
	order := metadata["order"]
	if order == "" {
		return nil, fmt.Errorf("%s does not say in which order its weights come: "+
			`write it with save_file(state, path, {"order": "\n".join(state)})`, file)
	}
	converted, err := convert(weights, strings.Split(order, "\n"), net)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return converted, nil
}

// convert gives each of the network's variables the next of the weights.
func convert(weights map[string]safetensors.Tensor, order []string, net *nn.Summary) (map[string]array.Array, error) {
	order = slices.DeleteFunc(slices.Clone(order), func(name string) bool {
		return strings.HasSuffix(name, "num_batches_tracked") // a counter of PyTorch's batch norm
	})
	if len(order) != len(net.Variables) {
		return nil, fmt.Errorf("%d weights for a network that has %d, %s", len(order), len(net.Variables), net.Network)
	}
	flattened := flattenedInto(net)
	converted := map[string]array.Array{}
	for i, v := range net.Variables {
		t, ok := weights[order[i]]
		if !ok {
			return nil, fmt.Errorf("there is no %s in it", order[i])
		}
		values, err := t.Float32s()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", order[i], err)
		}
		shape, dims, axes := layout(v, flattened[path.Dir(v.Name)])
		if !slices.Equal(t.Dims, shape) {
			return nil, fmt.Errorf("%s is %v, but %s of %s needs %v there", order[i], t.Dims, v.Name, net.Network, shape)
		}
		converted[v.Name] = array.New(transposed(values, dims, axes), v.Dims...)
	}
	return converted, nil
}

// flattenedInto finds the dense layers that get a flattened image, with its height, width and channels.
func flattenedInto(net *nn.Summary) map[string][]int {
	images := map[string][]int{}
	var before, image []int // what came before, and the image that was flattened last
	for _, layer := range net.Layers {
		switch layer.Kind {
		case "flatten":
			image = before
		case "dense":
			if image != nil {
				images[layer.Path] = image
			}
			image = nil
		}
		before = layer.Output
	}
	return images
}

// layout is the shape that PyTorch gives a variable, the dimensions that are in it, and the axes of those in the
// variable's own order.
func layout(v nn.Variable, image []int) (shape, dims, axes []int) {
	switch {
	case path.Base(v.Name) != "weights": // one value for each channel or unit
		return []int{v.Size()}, []int{v.Size()}, []int{0}
	case len(v.Dims) == 4: // [filters, channels, kernel, kernel]
		dims = []int{v.Dims[3], v.Dims[2], v.Dims[0], v.Dims[1]}
		return dims, dims, []int{2, 3, 1, 0}
	case len(image) == 3: // [units, inputs], the inputs being channels × height × width
		return []int{v.Dims[1], v.Dims[0]}, []int{v.Dims[1], image[2], image[0], image[1]}, []int{2, 3, 1, 0}
	default:
		dims = []int{v.Dims[1], v.Dims[0]}
		return dims, dims, []int{1, 0}
	}
}

// transposed reorders an array: its axes[i] becomes the i-th.
func transposed(values []float32, dims, axes []int) []float32 {
	steps := make([]int, len(dims)) // between neighbours along each axis
	for step, i := 1, len(dims)-1; i >= 0; i-- {
		steps[i] = step
		step *= dims[i]
	}
	out := make([]float32, 0, len(values))
	var walk func(axis, at int)
	walk = func(axis, at int) {
		n, step := dims[axes[axis]], steps[axes[axis]]
		if axis == len(axes)-1 {
			for i := range n {
				out = append(out, values[at+i*step])
			}
			return
		}
		for i := range n {
			walk(axis+1, at+i*step)
		}
	}
	walk(0, 0)
	return out
}
