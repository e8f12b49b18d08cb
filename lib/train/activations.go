package train

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
)

// Activation is what a layer gives for one image.
type Activation struct {
	Layer  string // its name in the summary, such as conv1
	Dims   []int  // height, width, channels of feature maps
	Values []float32
}

// Activations applies the trained network to image i of a split and returns what each layer gives.
func (r *Run) Activations(split *dataset.Split, i int) ([]Activation, error) {
	if i < 0 || i >= split.Len() {
		return nil, fmt.Errorf("there is no image %d: the split has %d", i, split.Len())
	}
	backend, err := device.Open()
	if err != nil {
		return nil, err
	}
	store, err := r.store()
	if err != nil {
		return nil, err
	}
	size := r.data.Height * r.data.Width * r.data.Channels
	shape := shapes.Make(dtypes.Uint8, 1, r.data.Height, r.data.Width, r.data.Channels)
	image, err := tensors.FromRaw(backend, 0, shape, split.Pixels[i*size:(i+1)*size])
	if err != nil {
		return nil, oneLine(err)
	}
	var layers []nn.LayerInfo
	p, err := newProgram(backend, store, "activations of "+r.trace.Network, false, false, []shapes.Shape{shape},
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) (outputs []*graph.Node) {
			layers, outputs = nn.Activations(store.RootScope(), r.net, r.data.Preprocess(in[0]))
			return outputs
		})
	if err != nil {
		return nil, err
	}
	outputs, err := p.run(context.Background(), false, image)
	if err != nil {
		return nil, err
	}
	var activations []Activation
	for i, output := range outputs {
		values, err := tensors.CopyFlatData[float32](output)
		if err != nil {
			return nil, oneLine(err)
		}
		activations = append(activations, Activation{layers[i].Path, layers[i].Output, values})
	}
	return activations, nil
}

// store holds the trained network's variables.
func (r *Run) store() (*model.Store, error) {
	saved, err := r.readTensors(modelFile)
	if err != nil {
		return nil, err
	}
	store := model.NewStore()
	for _, v := range r.trace.Variables {
		t, ok := saved[nn.Path(v.Name)]
		if !ok || !slices.Equal(t.Dims, v.Dims) {
			return nil, fmt.Errorf("%s is of another network: there is no %s of dimensions %v in it", r.path(modelFile), v.Name, v.Dims)
		}
		values, err := t.Float32s()
		if err != nil {
			return nil, err
		}
		store.VariableWithValue(nn.Path(v.Name), tensors.FromFlatDataAndDimensions(values, v.Dims...)).SetTrainable(v.Trainable)
	}
	return store, nil
}
