package look

import (
	"fmt"
	"image"
	"slices"
	"strings"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/train"
)

// mostMaps is how many maps of a layer are drawn.
const mostMaps = 8

// Maps draws test image i and below it what the network makes of it: the first feature maps of some layers, black where
// they are smallest, white where they are largest. The layers are named as in the network's summary, by their path
// (conv1) or their kind (max-pool): all convolutions and poolings if none is named.
func Maps(run *train.Run, i int, layers ...string) figure.Figure {
	if run == nil {
		return figure.Failed(errNoRun)
	}
	test, err := run.Task.Data.Test()
	if err != nil {
		return figure.Failed(err)
	}
	activations, err := run.Activations(test, i)
	if err != nil {
		return figure.Failed(err)
	}
	if len(layers) == 0 {
		layers = []string{"conv", "max-pool", "avg-pool"}
	}
	title := fmt.Sprintf("Test image %d: %s", i, test.Label(i))
	rows := []figure.Figure{figure.Grid(figure.Pictures{Title: title, Images: test.Images(i, i+1), Width: 150})}
	var others []string // that could be drawn
	for _, a := range activations {
		dims := a.Values.Dims
		if len(dims) != 3 || dims[0]*dims[1] == 1 {
			continue
		}
		if !slices.Contains(layers, a.Layer.Path) && !slices.Contains(layers, a.Layer.Kind) {
			others = append(others, a.Layer.Path)
			continue
		}
		rows = append(rows, maps(a))
	}
	if len(rows) == 1 {
		return fail("%s has no feature maps of %s: it has those of %s",
			name(run), strings.Join(layers, ", "), strings.Join(others, ", "))
	}
	return figure.Column(rows...)
}

// maps draws the first maps of a layer in a row.
func maps(a train.Activation) figure.Figure {
	dims := a.Values.Dims
	title := fmt.Sprintf("%s, %d × %d", a.Layer.Path, dims[0], dims[1])
	if dims[2] > mostMaps {
		title += fmt.Sprintf(", %d of %d maps", mostMaps, dims[2])
	}
	var pictures []image.Image
	for c := range min(mostMaps, dims[2]) {
		pictures = append(pictures, figure.Gray(a.Values.Channel(c)))
	}
	return figure.Grid(figure.Pictures{Title: title, Images: pictures})
}
