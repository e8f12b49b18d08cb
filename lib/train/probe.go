package train

import (
	"context"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn"
)

// Probe looks into a trained network, at one image after another. It compiles its program once.
type Probe struct {
	engine  *engine
	layers  []nn.LayerInfo
	program *program
	image   shapes.Shape
}

// Probe compiles the program that gives what each layer makes of an image.
func (r *Run) Probe() (*Probe, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	e, err := r.plan.trained()
	if err != nil {
		return nil, err
	}
	p := &Probe{engine: e, image: shapes.Make(dtypes.Uint8, 1, e.Data.Height, e.Data.Width, e.Data.Channels)}
	p.program, err = e.program("activations of", mode{}, []shapes.Shape{p.image},
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) (outputs []*graph.Node) {
			p.layers, outputs = nn.Activations(e.vars.RootScope(), e.Net, e.Data.Preprocess(in[0]))
			return outputs
		})
	return p, err
}

// Activations applies the network to an image, whose bytes are height × width × channels as in a [dataset.Split], and
// returns what each layer gives. The last is what the network gives.
func (p *Probe) Activations(pixels []byte) ([]Activation, error) {
	if n := p.image.Size(); len(pixels) != n {
		return nil, fmt.Errorf("an image of %s has %d bytes, not %d", p.engine.Data.Name, n, len(pixels))
	}
	image, err := tensors.FromRaw(p.engine.backend, 0, p.image, pixels)
	if err != nil {
		return nil, oneLine(err)
	}
	outputs, err := p.program.run(context.Background(), keeps, image)
	if err != nil {
		return nil, err
	}
	var activations []Activation
	for i, output := range outputs {
		values, err := tensors.CopyFlatData[float32](output)
		if err != nil {
			return nil, oneLine(err)
		}
		activations = append(activations, Activation{p.layers[i], array.New(values, p.layers[i].Output...)})
	}
	return activations, nil
}
