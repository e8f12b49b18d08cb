// Package diagram draws a network from its description.
package diagram

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/nn"
)

// Of draws the traced network from left to right: a box for each layer that has weights or pools, as high as its feature
// maps are large and as wide as they are many, both on a logarithmic scale. Blocks that follow each other and are alike
// are drawn once. Below stands what a layer gives.
func Of(net *nn.Trace) figure.Figure {
	var groups []figure.Group
	var outputs []string // of each group
	last := ""           // the block that the group before belongs to
	for _, layer := range net.Layers {
		block, lane := blockOf(layer.Path)
		if block == "" || block != last {
			groups, outputs = append(groups, figure.Group{}), append(outputs, "")
		}
		g := &groups[len(groups)-1]
		last = block
		outputs[len(outputs)-1] = times(layer.Output)
		if lane == "shortcut" || strings.HasSuffix(layer.Path, "/add") {
			g.Skip = true
			continue
		}
		kind, label, ok := describe(layer)
		if !ok {
			continue
		}
		n := 0 // which lane
		fmt.Sscanf(lane, "branch%d", &n)
		for len(g.Lanes) < max(n, 1) {
			g.Lanes = append(g.Lanes, nil)
		}
		at := max(n, 1) - 1
		g.Lanes[at] = append(g.Lanes[at], box(kind, label, layer.Output, block != ""))
	}
	var drawn []figure.Group
	for i, g := range groups {
		if len(g.Lanes) == 0 { // a layer that is not drawn, such as ReLU
			continue
		}
		g.Note = outputs[i]
		if before := len(drawn) - 1; before >= 0 && alike(drawn[before], g) {
			drawn[before].Times = max(drawn[before].Times, 1) + 1
			continue
		}
		drawn = append(drawn, g)
	}
	parameters := fmt.Sprintf("%.1f million", float64(net.Parameters())/1e6)
	if net.Parameters() < 1e6 {
		parameters = fmt.Sprint(net.Parameters())
	}
	return figure.Flow(fmt.Sprintf("%s on %s: %s parameters", net.Network, times(net.Input), parameters), 880, drawn...)
}

// blockOf is the block of several ways that a layer is in, if any, and its way in it.
func blockOf(path string) (block, lane string) {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "residual") || strings.HasPrefix(part, "branches") {
			if i+1 < len(parts) {
				lane = parts[i+1]
			}
			return strings.Join(parts[:i+1], "/"), lane
		}
	}
	return "", ""
}

var (
	window = regexp.MustCompile(`^\d+×\d+`)
	stride = regexp.MustCompile(`stride (\d+)`)
)

// describe says what to write of a layer, and whether it is drawn.
func describe(layer nn.LayerInfo) (kind, label string, ok bool) {
	kind, details, _ := strings.Cut(layer.Layer, " ")
	label = window.FindString(details)
	if s := stride.FindStringSubmatch(details); s != nil && (kind == "conv" || s[1] != label[:strings.Index(label, "×")]) {
		label += " /" + s[1]
	}
	switch kind {
	case "conv":
		return "convolution", label, true
	case "dense":
		return "dense", "", true
	case "max-pool", "avg-pool", "global-avg-pool":
		return "pooling", label, true
	}
	return "", "", false
}

// box has a size by what the layer gives: height by the map's side, width by the channels.
func box(kind, label string, output []int, inBlock bool) figure.Box {
	side, channels := 1, output[len(output)-1]
	if len(output) == 3 {
		side = output[0]
	}
	b := figure.Box{Label: label, Kind: kind, Width: 4 + int(2.2*math.Log2(float64(channels))), Height: 12 + int(9*math.Log2(float64(side)))}
	if inBlock { // the label stands inside
		b.Width, b.Height = 34, 16
	}
	return b
}

// alike reports whether two groups look the same.
func alike(a, b figure.Group) bool {
	return a.Skip == b.Skip && a.Note == b.Note && slices.EqualFunc(a.Lanes, b.Lanes, func(x, y []figure.Box) bool { return slices.Equal(x, y) })
}

func times(dims []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(dims), "[]"), " ", "×")
}
