package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/imagenet"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/pytorch"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

// opened is a network with its weights.
type opened struct {
	train.Model       // its input is empty if nobody knows it
	image       []int // dimensions of one image
	own         bool  // whether the weights came as the book keeps them
}

// open reads the weights that the command names.
func (c request) open() (o opened, err error) {
	if c.network == "" {
		return c.openNamed()
	}
	classes := cmp.Or(c.classes, 10)
	if _, o.image, err = zoo.Named(c.network, classes, c.width); err != nil {
		return o, err
	}
	if c.width > 0 && !zoo.TakesWidth(c.network) {
		return o, fmt.Errorf("%s has no -width: leave it out, or name SmallResNet, CNN or FC2Layer", c.network)
	}
	if o.image[0] >= 224 { // an image of ImageNet
		classes = cmp.Or(c.classes, 1000)
	}
	if o.Net, _, err = zoo.Named(c.network, classes, c.width); err != nil {
		return o, err
	}
	if c.classes > 0 {
		summary, err := nn.Summarize(o.Net, o.image...)
		if err != nil {
			return o, err
		}
		if has := summary.Output[0]; has != c.classes {
			return o, fmt.Errorf("%s has %d classes, and -classes says %d: leave it out", c.network, has, c.classes)
		}
	}
	tensors, _, err := safetensors.Read(c.from)
	if _, wrong := train.Find(c.from); errors.Is(err, fs.ErrNotExist) && wrong == nil {
		return o, fmt.Errorf("%s is a run, which says itself of which network it is: leave out -network", c.from)
	}
	switch o.own = err == nil && isOwn(tensors); {
	case o.own:
		if o.Weights, err = own(tensors, o); err != nil {
			err = fmt.Errorf("%s: %w", c.from, err)
		}
	case o.image[0] == 224 && classes == 1000:
		o.Model, err = imagenet.Read(c.from, o.Net)
	default:
		o.Weights, err = pytorch.Read(c.from, o.Net, o.image...)
	}
	return o, err
}

// openNamed reads what says itself of which network it is: a run, or a file that one was exported to.
func (c request) openNamed() (o opened, err error) {
	if c.classes > 0 || c.width > 0 {
		return o, errors.New("-classes and -width are about a network that -network names: name it, too")
	}
	o.own = true
	if o.Model, err = classify.Find(c.from); err != nil {
		if _, _, wrong := safetensors.Read(c.from); wrong == nil {
			err = fmt.Errorf("%w: name the network with -network, such as ResNet-18", err)
		}
		return o, err
	}
	o.image = []int{o.Input.Height, o.Input.Width, o.Input.Channels}
	return o, nil
}

// isOwn reports whether tensors are called as a run's model.safetensors has them.
func isOwn(tensors map[string]safetensors.Tensor) bool {
	for name := range tensors {
		return strings.HasPrefix(name, nn.Path(""))
	}
	return false
}

// own are the weights of a run's model.safetensors.
func own(tensors map[string]safetensors.Tensor, o opened) (map[string]array.Array, error) {
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
	summary, err := nn.Summarize(o.Net, o.image...)
	if err != nil {
		return nil, err
	}
	_, err = summary.Store(weights) // checks names and dimensions
	return weights, err
}

// write writes the weights as the other side has them, and says what that is.
func (o opened) write(file string, summary *nn.Summary) (kind string, err error) {
	switch {
	case o.own:
		return "as PyTorch has them", pytorch.Write(file, o.Weights, o.Net, o.image...)
	case len(o.Input.Classes) > 0:
		c, err := classify.Of(o.Model)
		if err != nil {
			return "", err
		}
		return "with the network, for cmd/classify and cmd/serve", c.Export(file)
	}
	tensors := map[string]safetensors.Tensor{}
	for _, v := range summary.Variables {
		tensors[nn.Path(v.Name)] = safetensors.Float32(o.Weights[v.Name].Values, v.Dims...)
	}
	return "as a run's model.safetensors has them", safetensors.Write(file, tensors, nil)
}
