package nn

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Networks stay below these. A description that was tampered with may ask for any number, and a layer is built in loops.
const (
	widest = 512  // side of a window
	most   = 4096 // groups, or branches
)

// Network is the network that is described, under this name.
//
// Only layers of this package can be described whole: a function or a reader's own type is code, and an error says so.
// What is returned has the same description again; one that no layers have, as of another version of this package, is
// an error.
func (d Description) Network(name string) (Layer, error) {
	around := layerDescription{Info: Info{Kind: "sequential", Name: name}, Layers: d.Layers}
	net, err := around.layer()
	if err != nil {
		return nil, err
	}
	summary, err := Summarize(net, d.Input...)
	if err != nil {
		return nil, err
	}
	want, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if got, err := json.Marshal(summary.Description()); err != nil || !bytes.Equal(got, want) {
		return nil, fmt.Errorf("%s is described as this version of the book does not build it: "+
			"use the version that trained it", name)
	}
	return net, nil
}

// layer is the layer that is described.
func (d layerDescription) layer() (Layer, error) {
	if d.Kind == "function" || d.Operations != "" {
		return nil, fmt.Errorf("the layer %s is code of the program that declared the network: "+
			"only that program can build it", d.label())
	}
	if d.Kernel > widest || max(d.Groups, d.Branches) > most {
		return nil, fmt.Errorf("no layer is as large as %s", d.Info)
	}
	ways := map[string][]Layer{} // by the lane
	for _, part := range d.Layers {
		layer, err := part.layer()
		if err != nil {
			return nil, err
		}
		ways[part.Lane] = append(ways[part.Lane], layer)
	}
	switch d.Kind {
	case "sequential":
		return Named(d.Name, ways[""]...), nil
	case "residual":
		return Residual(ways[""]...).Shortcut(ways["shortcut"]...), nil
	case "auxiliary":
		return Auxiliary(d.Weight, ways["auxiliary"]...), nil
	case "branches":
		var branches []Layer
		for i := range d.Branches {
			branches = append(branches, Sequential(ways[fmt.Sprint("branch", i+1)]...))
		}
		return Branches(branches...), nil
	}
	return d.simple()
}

// simple is a layer without others in it.
func (d layerDescription) simple() (Layer, error) {
	switch d.Kind {
	case "conv":
		return ConvLayer{d.Info}, nil
	case "max-pool", "avg-pool":
		return PoolLayer{d.Info}, nil
	case "batch-norm":
		return BatchNormLayer{d.Epsilon, d.NoScale}, nil
	case "dense":
		return Dense(d.Units), nil
	case "dropout":
		return Dropout(d.Rate), nil
	case "times":
		return Times(d.Factor), nil
	}
	for _, layer := range []Layer{ReLU, GELU, Sigmoid, LogSoftmax, LRN, Flatten, GlobalAvgPool} {
		if layer.Info() == d.Info {
			return layer, nil
		}
	}
	return nil, fmt.Errorf("this version of the book has no layer %s", d.Info)
}
