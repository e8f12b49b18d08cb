package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/imagenet"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/pytorch"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

// model is a network with its weights.
type model struct {
	net     nn.Layer
	image   []int // dimensions of one image
	weights map[string]array.Array
	own     bool // whether they came as the book keeps them
}

// large is the side from which on an image is one of ImageNet's.
const large = 224

// open reads the weights that the command names.
func (c command) open() (m model, err error) {
	file := c.from
	if c.network != "" {
		m.net, m.image, err = c.zoo()
	} else {
		file, m.net, m.image, err = c.run()
	}
	if err != nil {
		return m, err
	}
	tensors, _, err := safetensors.Read(file)
	if m.own = err == nil && isOwn(tensors); !m.own {
		m.weights, err = pytorch.Read(file, m.net, m.image...)
		if errors.Is(err, fs.ErrNotExist) && m.image[0] >= large && cmp.Or(c.classes, 1000) == 1000 {
			_, err = imagenet.Read(file, m.net) // which says where the weights come from
		}
		return m, err
	}
	if m.weights, err = own(tensors, m); err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return m, err
}

// zoo is the network that -network names, and the dimensions of its images.
func (c command) zoo() (nn.Layer, []int, error) {
	_, image, err := zoo.Named(c.network, 1, 0)
	if err != nil {
		return nil, nil, err
	}
	classes := 10
	if image[0] >= large {
		classes = 1000
	}
	return zoo.Named(c.network, cmp.Or(c.classes, classes), c.width)
}

// run is the file with the weights of the stored run that -from names, its network and the dimensions of its images.
func (c command) run() (file string, net nn.Layer, image []int, err error) {
	run, err := train.Find(c.from)
	switch info, noFile := os.Stat(c.from); {
	case err != nil && noFile == nil && !info.IsDir():
		err = fmt.Errorf("%s does not say of which network it is: name one with -network, such as ResNet-18", c.from)
	case err != nil:
	case c.classes > 0 || c.width > 0:
		err = errors.New("-classes and -width are about a network that -network names: a run says itself what it is of")
	case run.State != "finished" && run.State != "replaced":
		err = fmt.Errorf("the run %s was not trained to its end: it is %s", run.ID, run.Status())
	}
	if err != nil {
		return "", nil, nil, err
	}
	if net, image, err = networkOf(run); err != nil {
		err = fmt.Errorf("the run %s: %w", run.ID, err)
	}
	return filepath.Join(run.Dir, "model.safetensors"), net, image, err
}

// networkOf is the network of a stored run.
func networkOf(run train.Stored) (nn.Layer, []int, error) {
	content, err := os.ReadFile(filepath.Join(run.Dir, "config.json"))
	if err != nil {
		return nil, nil, err
	}
	var about struct {
		Name    string
		Network nn.Description
	}
	if err := json.Unmarshal(content, &about); err != nil {
		return nil, nil, err
	}
	net, err := about.Network.Network(about.Name)
	return net, about.Network.Input, err
}

// isOwn reports whether tensors are called as a run's model.safetensors has them.
func isOwn(tensors map[string]safetensors.Tensor) bool {
	for name := range tensors {
		return strings.HasPrefix(name, nn.Path(""))
	}
	return false
}

// own are the weights of a run's model.safetensors.
func own(tensors map[string]safetensors.Tensor, m model) (map[string]array.Array, error) {
	weights := map[string]array.Array{}
	for path, t := range tensors {
		name := strings.TrimPrefix(path, nn.Path(""))
		values, err := t.Float32s()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, value := range values {
			if value-value != 0 {
				return nil, fmt.Errorf("%s has numbers that are not finite, such as %v: its training diverged", name, value)
			}
		}
		weights[name] = array.New(values, t.Dims...)
	}
	summary, err := nn.Summarize(m.net, m.image...)
	if err != nil {
		return nil, err
	}
	_, err = summary.Store(weights) // checks names and dimensions
	return weights, err
}

// writeOwn writes weights as a run's model.safetensors has them.
func writeOwn(file string, weights map[string]array.Array, summary *nn.Summary) error {
	tensors := map[string]safetensors.Tensor{}
	for _, v := range summary.Variables {
		tensors[nn.Path(v.Name)] = safetensors.Float32(weights[v.Name].Values, v.Dims...)
	}
	return safetensors.Write(file, tensors, nil)
}
