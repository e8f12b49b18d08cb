package nn

import (
	"cmp"
	"fmt"
	"strings"
)

// Info is what a layer says of itself. What does not apply to a layer of its kind is zero.
type Info struct {
	Kind     string  `json:"kind"`               // such as conv or max-pool; function for those of Func and ModelFunc
	Name     string  `json:"name,omitempty"`     // of a network, a block that was given one, or a function
	Filters  int     `json:"filters,omitempty"`  // of a convolution: the channels that it gives
	Units    int     `json:"units,omitempty"`    // of a dense layer
	Kernel   int     `json:"kernel,omitempty"`   // the side of a window
	Stride   int     `json:"stride,omitempty"`   // between windows
	Padding  int     `json:"padding,omitempty"`  // around the image, on every side
	Groups   int     `json:"groups,omitempty"`   // of filters, each of which sees its share of the channels
	Channels int     `json:"channels,omitempty"` // whose squares a local response normalisation adds up
	Branches int     `json:"branches,omitempty"` // of an Inception module
	NoBias   bool    `json:"no_bias,omitempty"`
	Ceil     bool    `json:"ceil,omitempty"`    // whether a last window may reach past the image
	Epsilon  float64 `json:"epsilon,omitempty"` // that a batch norm adds to the variance
	NoScale  bool    `json:"no_scale,omitempty"`
	Factor   float64 `json:"factor,omitempty"` // by which every value is multiplied
	Rate     float64 `json:"rate,omitempty"`   // of values that a dropout drops
	Weight   float64 `json:"weight,omitempty"` // of an auxiliary classifier's loss beside the network's own
}

// label names the layer in paths, and so its variables: its name, or its kind where it has none.
func (i Info) label() string { return cmp.Or(i.Name, i.Kind) }

// Details are the layer's settings for people, such as 5×5, 6 filters, stride 2. What is usual is left out. Factors have four
// digits.
func (i Info) Details() string {
	usual := 1 // the stride
	if i.Filters == 0 {
		usual = i.Kernel // of a pooling
	}
	var parts []string
	say := func(when bool, format string, value any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	say(i.Kernel > 0, "%d×%[1]d", i.Kernel)
	say(i.Filters > 0, "%d filters", i.Filters)
	say(i.Units > 0, "%d units", i.Units)
	say(i.Channels > 0, "%d channels", i.Channels)
	say(i.Kernel > 0 && i.Stride != usual, "stride %d", i.Stride)
	say(i.Padding > 0, "padding %d", i.Padding)
	say(i.Groups > 1, "%d groups", i.Groups)
	say(i.NoBias, "%s", "no bias")
	say(i.Ceil, "%s", "rounded up")
	say(i.Epsilon != 0 && i.Epsilon != usualEpsilon, "epsilon %v", i.Epsilon)
	say(i.NoScale, "%s", "no scale")
	say(i.Factor != 0, "%.4g", i.Factor)
	say(i.Rate != 0, "%.4g", i.Rate)
	say(i.Weight != 0, "weight %.4g", i.Weight)
	return strings.Join(parts, ", ")
}

// String is the layer in a few words, such as conv 5×5, 6 filters.
func (i Info) String() string { return strings.TrimSpace(i.label() + " " + i.Details()) }

// Name is a network's name, or the kind of a layer that has no name. Of nil it is "nil".
func Name(layer Layer) string {
	if layer == nil {
		return "nil"
	}
	return layer.Info().label()
}
