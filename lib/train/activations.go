package train

import (
	"fmt"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
)

// Activation is what a layer gives for one image.
type Activation struct {
	Layer  nn.LayerInfo
	Values array.Array // [height, width, channels] of feature maps
}

// Activations applies the trained network to image i of a split and returns what each layer gives. For many images, use
// a [Probe].
func (r *Run) Activations(split *dataset.Split, i int) ([]Activation, error) {
	if split == nil {
		return nil, errNoSplit
	}
	if i < 0 || i >= split.Len() {
		return nil, fmt.Errorf("there is no image %d: the split has %d", i, split.Len())
	}
	p, err := r.Probe()
	if err != nil {
		return nil, err
	}
	return p.Activations(split.Part(i, i+1).Pixels)
}
