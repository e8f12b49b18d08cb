package nn

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/device"
)

// Array is numbers in rows of rows: the last index runs fastest. A batch of images has the dimensions batch, height,
// width, channels.
type Array struct {
	Dims   []int
	Values []float32
}

// Weights are the values of a network's variables, by the variables' names, such as conv1/weights.
type Weights map[string][]float32

// Compute applies a network with these weights to a batch and returns what it gives, as in a test. A single layer is a
// network, too: its weights are called conv1/weights, conv1/bias, dense1/weights and so on.
//
// Every variable of the network needs its values. What does not fit is an error of one line.
func Compute(net Layer, weights Weights, batch Array) (Array, error) {
	if len(batch.Dims) < 2 || size(batch.Dims) < 1 || size(batch.Dims) != len(batch.Values) {
		return Array{}, fmt.Errorf("a batch of dimensions %v cannot have %d values: want batch, height, width, channels, and their product",
			batch.Dims, len(batch.Values))
	}
	trace, err := Summary(net, batch.Dims[1:]...)
	if err != nil {
		return Array{}, err
	}
	store := model.NewStore()
	unknown := maps.Clone(weights)
	for _, v := range trace.Variables {
		values, ok := weights[v.Name]
		if !ok {
			return Array{}, fmt.Errorf("%s needs values for %s, of dimensions %v", trace.Network, v.Name, v.Dims)
		}
		if len(values) != v.Size() {
			return Array{}, fmt.Errorf("%s of %s has the dimensions %v: that is %d values, not %d",
				v.Name, trace.Network, v.Dims, v.Size(), len(values))
		}
		store.VariableWithValue(Path(v.Name), tensors.FromFlatDataAndDimensions(values, v.Dims...)).SetTrainable(v.Trainable)
		delete(unknown, v.Name)
	}
	if len(unknown) > 0 {
		return Array{}, fmt.Errorf("%s has no %s", trace.Network, strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
	backend, err := device.Open()
	if err != nil {
		return Array{}, err
	}
	exec, err := model.NewExec(backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		return Apply(scope, net, x)
	})
	if err != nil {
		return Array{}, err
	}
	defer exec.Finalize()
	output, err := exec.Call1(tensors.FromFlatDataAndDimensions(batch.Values, batch.Dims...))
	if err != nil {
		return Array{}, err
	}
	values, err := tensors.CopyFlatData[float32](output)
	return Array{slices.Clone(output.Shape().Dimensions), values}, err
}
