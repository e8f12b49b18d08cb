package nn

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/internal/text"
)

// Compute applies a network with these weights to a batch and returns what it gives, as in a test. The weights have the
// names of the summary's variables. A single layer is a network, too, with weights such as conv1/weights, conv1/bias or
// dense1/weights.
//
// Every variable of the network needs its values. What does not fit is an error of one line.
func Compute(net Layer, weights map[string]array.Array, batch array.Array) (array.Array, error) {
	if len(batch.Dims) < 2 || size(batch.Dims) < 1 || size(batch.Dims) != len(batch.Values) {
		return array.Array{}, fmt.Errorf("a batch of dimensions %v cannot have %d values: "+
			"want batch, height, width, channels, and their product", batch.Dims, len(batch.Values))
	}
	summary, err := Summarize(net, batch.Dims[1:]...)
	if err != nil {
		return array.Array{}, err
	}
	store, err := summary.Store(weights)
	if err != nil {
		return array.Array{}, err
	}
	backend, err := device.Open()
	if err != nil {
		return array.Array{}, err
	}
	output, err := model.CallOnce(backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		return Apply(scope, net, x)
	}, tensors.FromFlatDataAndDimensions(batch.Values, batch.Dims...))
	if err != nil {
		return array.Array{}, errors.New(text.FirstLine(err))
	}
	values, err := tensors.CopyFlatData[float32](output)
	if err != nil {
		return array.Array{}, errors.New(text.FirstLine(err))
	}
	return array.New(values, slices.Clone(output.Shape().Dimensions)...), nil
}

// Store is a store with these weights as the network's variables. Dimensions of 1 may be left out: of six filters, the
// biases are six numbers.
func (s *Summary) Store(weights map[string]array.Array) (*model.Store, error) {
	store := model.NewStore()
	unknown := maps.Clone(weights)
	for _, v := range s.Variables {
		w, ok := weights[v.Name]
		if !ok {
			return nil, fmt.Errorf("%s needs values for %s, of dimensions %v", s.Network, v.Name, v.Dims)
		}
		if !slices.Equal(withoutOnes(w.Dims), withoutOnes(v.Dims)) {
			return nil, fmt.Errorf("%s of %s has the dimensions %v, not %v", v.Name, s.Network, v.Dims, w.Dims)
		}
		if len(w.Values) != v.Size() {
			return nil, fmt.Errorf("%s of %s has the dimensions %v: that is %d values, not %d",
				v.Name, s.Network, v.Dims, v.Size(), len(w.Values))
		}
		value := tensors.FromFlatDataAndDimensions(w.Values, v.Dims...)
		store.VariableWithValue(Path(v.Name), value).SetTrainable(v.Trainable)
		delete(unknown, v.Name)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%s has no %s", s.Network, strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
	return store, nil
}

func withoutOnes(dims []int) []int {
	return slices.DeleteFunc(slices.Clone(dims), func(dim int) bool { return dim == 1 })
}
