package dataset

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/picture"
)

// Input is how a picture reaches a network and what the network's outputs stand for, in fields that marshal to JSON. It
// is all of a data set that another picture needs.
type Input struct {
	picture.Frame           // to which pictures are brought
	Mean          []float64 `json:"mean,omitempty"` // of all channels, or of each
	Std           []float64 `json:"std,omitempty"`
	Permutation   []int     `json:"permutation,omitempty"` // the network's pixel i is the picture's pixel permutation[i]
	Classes       []string  `json:"classes"`
}

// Input is how the data set's pictures reach a network.
func (d Images) Input() Input {
	return Input{
		Frame: picture.Frame{Height: d.Height, Width: d.Width, Channels: d.Channels, Shorter: d.shorter},
		Mean:  d.mean, Std: d.std, Permutation: d.permutation, Classes: d.Classes,
	}
}

// Check finds an input that no picture can be brought to.
func (in Input) Check() error {
	if err := in.Frame.Check(); err != nil {
		return err
	}
	if len(in.Std) != len(in.Mean) {
		return fmt.Errorf("pictures cannot be normalised by %d means and %d standard deviations",
			len(in.Mean), len(in.Std))
	}
	return in.images().Check()
}

// Preprocess turns a batch of pictures as bytes into what the network sees, as [Images.Preprocess] does.
func (in Input) Preprocess(x *graph.Node) *graph.Node { return in.images().Preprocess(x) }

// images describes a data set with this input and without a picture.
func (in Input) images() Images {
	none := func() (*Split, error) { return &Split{}, nil }
	classes := in.Classes[:min(len(in.Classes), maxClasses)] // a network may have more than a data set's labels tell apart
	return Images{
		Name: "the network's input", Classes: classes, Height: in.Height, Width: in.Width, Channels: in.Channels,
		train: none, test: none, shorter: in.Shorter, mean: in.Mean, std: in.Std, permutation: in.Permutation,
	}
}
