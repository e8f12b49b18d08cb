package train

import (
	"context"
	"fmt"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
)

// Activation is what a layer gives for one image.
type Activation struct {
	Layer  nn.LayerInfo
	Values array.Array // [height, width, channels] of feature maps
}

// Activations applies the trained network to image i of a split and returns what each layer gives.
func (r *Run) Activations(split *dataset.Split, i int) ([]Activation, error) {
	if i < 0 || i >= split.Len() {
		return nil, fmt.Errorf("there is no image %d: the split has %d", i, split.Len())
	}
	e, err := r.plan.trained()
	if err != nil {
		return nil, err
	}
	image, err := e.upload(split.Part(i, i+1))
	if err != nil {
		return nil, err
	}
	var layers []nn.LayerInfo
	p, err := e.program("activations of", mode{}, []shapes.Shape{image.pixels.Shape()},
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) (outputs []*graph.Node) {
			layers, outputs = nn.Activations(e.vars.RootScope(), e.Net, e.Data.Preprocess(in[0]))
			return outputs
		})
	if err != nil {
		return nil, err
	}
	outputs, err := p.run(context.Background(), false, image.pixels)
	if err != nil {
		return nil, err
	}
	var activations []Activation
	for i, output := range outputs {
		values, err := tensors.CopyFlatData[float32](output)
		if err != nil {
			return nil, oneLine(err)
		}
		activations = append(activations, Activation{layers[i], array.New(values, layers[i].Output...)})
	}
	return activations, nil
}
