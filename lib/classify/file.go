package classify

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train"
)

// extension is that of the files' names.
const extension = ".safetensors"

// The metadata of a file beside its weights. They are safetensors, so other programs can read them, too.
const (
	formatKey  = "convbook" // the version of what follows
	nameKey    = "name"     // the network's
	networkKey = "network"  // its description, as JSON
	inputKey   = "input"    // how a picture reaches it, as JSON
)

// format is raised when files are written that earlier versions cannot read.
const format = "1"

// Export writes the network with all that is needed to use it into a file, for [Open] on any machine that has this
// package. It is in the safetensors format: the weights by their names, and the rest as JSON in the metadata.
func (c *Classifier) Export(path string) error {
	about := c.summary.Description()
	if _, err := about.Network(c.summary.Network); err != nil {
		return fmt.Errorf("%s cannot be exported: %w", c.summary.Network, err)
	}
	network, err := json.Marshal(about)
	if err != nil {
		return err
	}
	input, err := json.Marshal(c.model.Input)
	if err != nil {
		return err
	}
	weights := map[string]safetensors.Tensor{}
	for name, w := range c.model.Weights {
		weights[name] = safetensors.Float32(w.Values, w.Dims...)
	}
	return safetensors.Write(path, weights, map[string]string{
		formatKey: format, nameKey: c.summary.Network, networkKey: string(network), inputKey: string(input),
	})
}

// readFile reads what Export wrote.
func readFile(path string) (train.Model, error) {
	tensors, metadata, err := safetensors.Read(path)
	if err != nil {
		return train.Model{}, err // names the file
	}
	m, err := modelOf(tensors, metadata)
	if err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// modelOf is the network in a file.
func modelOf(tensors map[string]safetensors.Tensor, metadata map[string]string) (m train.Model, err error) {
	switch version, ok := metadata[formatKey]; {
	case !ok:
		return m, errors.New("it holds weights without a network: export a run to get a file with both")
	case version != format:
		return m, fmt.Errorf("it is in format %q, and this version of the book reads %s: use the version that wrote it",
			version, format)
	}
	var about nn.Description
	if err := json.Unmarshal([]byte(metadata[networkKey]), &about); err != nil {
		return m, fmt.Errorf("its network: %w", err)
	}
	if err := json.Unmarshal([]byte(metadata[inputKey]), &m.Input); err != nil {
		return m, fmt.Errorf("its input: %w", err)
	}
	if err := fits(about, m.Input); err != nil {
		return m, err
	}
	if m.Net, err = about.Network(metadata[nameKey]); err != nil {
		return m, err
	}
	m.Weights = map[string]array.Array{}
	for name, t := range tensors {
		values, err := t.Float32s()
		if err != nil {
			return m, fmt.Errorf("%s: %w", name, err)
		}
		m.Weights[name] = array.New(values, t.Dims...)
	}
	return m, nil
}

// fits makes sure that the network is described for pictures as the input has them, before anything is built for them.
func fits(about nn.Description, input dataset.Input) error {
	if err := input.Check(); err != nil {
		return err
	}
	if takes := []int{input.Height, input.Width, input.Channels}; !slices.Equal(about.Input, takes) {
		return fmt.Errorf("its network is for pictures of %v, its input for %v", about.Input, takes)
	}
	return nil
}
