// Package diagram draws a network from its description.
package diagram

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/internal/text"
	"example.org/convbook/lib/nn"
)

// Of draws the network from left to right: a box for each layer that multiplies or pools, as high as its feature maps
// are large and as wide as they are many, both on a logarithmic scale. Blocks that follow each other and are alike are
// drawn once. A layer's output is written below it, and a shortcut's layers stand on its way around the others. Auxiliary
// classifiers, which only training uses, are left out. A block inside of a block's lane is not told from other layers.
func Of(net *nn.Summary) figure.Figure {
	if net == nil {
		return figure.Failed(errors.New("there is no network to draw: get its summary with nn.Summarize"))
	}
	var drawn []figure.Group
	for _, layers := range groups(net.Layers) {
		g := draw(layers)
		if len(g.Lanes) == 0 { // nothing but layers that are not drawn, such as ReLU
			continue
		}
		if last := len(drawn) - 1; last >= 0 && alike(drawn[last], g) {
			drawn[last].Times = max(drawn[last].Times, 1) + 1
			continue
		}
		drawn = append(drawn, g)
	}
	parameters := text.Thousands(fmt.Sprint(net.Parameters()))
	return figure.Flow(fmt.Sprintf("%s on %s: %s parameters", net.Network, times(net.Input), parameters), 880, drawn...)
}

// groups are the layers, those of a block with several ways together.
func groups(layers []nn.LayerInfo) (all [][]nn.LayerInfo) {
	block := "" // that the layer before is in
	for _, layer := range layers {
		if layer.Lane == "auxiliary" {
			continue
		}
		if layer.Block == "" || layer.Block != block {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], layer)
		block = layer.Block
	}
	return all
}

// draw makes boxes of a layer, or of the layers of a block, in a lane for each way through it.
func draw(layers []nn.LayerInfo) figure.Group {
	g := figure.Group{Note: times(layers[len(layers)-1].Output)}
	lanes := map[string]int{}
	for _, layer := range layers {
		kind, label, ok := describe(layer)
		if layer.Lane == "shortcut" || layer.Kind == "add" {
			g.Skip = true
			if ok {
				g.Around = append(g.Around, box(kind, label, layer.Output, true))
			}
			continue
		}
		if _, ok := lanes[layer.Lane]; !ok {
			lanes[layer.Lane] = len(lanes)
		}
		if !ok {
			continue
		}
		at := lanes[layer.Lane]
		for len(g.Lanes) <= at {
			g.Lanes = append(g.Lanes, nil)
		}
		g.Lanes[at] = append(g.Lanes[at], box(kind, label, layer.Output, layer.Block != ""))
	}
	return g
}

// describe says what to write of a layer, and whether it is drawn.
func describe(layer nn.LayerInfo) (kind, label string, ok bool) {
	usual := 1 // the stride
	switch layer.Kind {
	case "conv":
		kind = "convolution"
	case "max-pool", "avg-pool", "global-avg-pool":
		kind, usual = "pooling", layer.Kernel
	case "dense":
		return "dense", "", true
	default:
		return "", "", false
	}
	if layer.Kernel > 0 {
		label = times([]int{layer.Kernel, layer.Kernel})
	}
	if layer.Stride != usual {
		label += fmt.Sprintf(" /%d", layer.Stride)
	}
	return kind, label, true
}

// box has a size by what the layer gives: height by the map's side, width by the channels.
func box(kind, label string, output []int, inBlock bool) figure.Box {
	side, channels := 1, output[len(output)-1]
	if len(output) == 3 {
		side = output[0]
	}
	b := figure.Box{Label: label, Kind: kind}
	b.Width, b.Height = 4+int(2.2*math.Log2(float64(channels))), 12+int(9*math.Log2(float64(side)))
	if inBlock { // the label stands inside
		b.Width, b.Height = 34, 16
	}
	return b
}

// alike reports whether two groups look the same.
func alike(a, b figure.Group) bool {
	return a.Skip == b.Skip && slices.Equal(a.Around, b.Around) && a.Note == b.Note && slices.EqualFunc(a.Lanes, b.Lanes, slices.Equal)
}

// times writes dimensions as 28×28×6.
func times(dims []int) string {
	var parts []string
	for _, dim := range dims {
		parts = append(parts, fmt.Sprint(dim))
	}
	return strings.Join(parts, "×")
}
