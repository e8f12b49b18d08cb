package touch

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"image"
	"image/png"
	"slices"
	"strings"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/train"
)

//go:embed pad.js
var padScript string

// padControls is the pad and what clears it.
const padControls = `<div class="convbook-pad"><canvas width="280" height="280"></canvas><br>` +
	`<button type="button" class="convbook-clear">Clear</button>Draw a digit.</div>`

// Pad shows a pad to draw a digit on and what a trained network makes of the drawing while it is drawn: the picture
// that the network gets, in the form of MNIST's, how probable it takes each class to be, and its feature maps. As long
// as nothing is drawn, it sees the first test image.
func Pad(run *train.Run) error {
	if run == nil {
		return errors.New("there is no run to try the pad on: get one with Fit or Load")
	}
	data := run.Task.Data
	if data.Height != side || data.Width != side || data.Channels != 1 {
		return fmt.Errorf("the pad makes pictures of %d × %d × 1, and %s has %d × %d × %d: take a network for MNIST",
			side, side, data.Name, data.Height, data.Width, data.Channels)
	}
	test, err := data.Test()
	if err != nil {
		return err
	}
	probe, err := run.Probe()
	if err != nil {
		return err
	}
	p := pad{probe: probe, classes: data.Classes, usual: test.Part(0, 1).Pixels}
	if err := p.look(nil); err != nil {
		return err
	}
	return page{
		controls: padControls, script: padScript,
		set: func(state []byte) error {
			var strokes [][]float64
			if err := json.Unmarshal(state, &strokes); err != nil {
				return fmt.Errorf("the page sent %.100q for a drawing", state)
			}
			d, err := newDrawing(strokes)
			if err != nil {
				return err
			}
			return p.look(d)
		},
		answer: func() (string, error) { return p.html(), nil },
		end:    func() (string, figure.Figure) { return p.line(), p.figure() },
	}.serve()
}

// pad is what a network makes of a drawing.
type pad struct {
	probe   *train.Probe
	classes []string
	usual   []byte // the picture where there is no drawing

	title  string
	digit  []byte
	shares []float64          // the probability of each class
	layers []train.Activation // those with maps
}

// look shows the network a drawing.
func (p *pad) look(d drawing) error {
	p.title, p.digit = "Your drawing", p.usual
	if len(d) > 0 {
		p.digit = d.digit()
	} else {
		p.title = "The first test image"
	}
	all, err := p.probe.Activations(p.digit)
	if err != nil {
		return err
	}
	p.layers = nil
	for _, a := range all {
		if slices.Contains([]string{"conv", "max-pool", "avg-pool"}, a.Layer.Kind) && len(a.Values.Dims) == 3 {
			p.layers = append(p.layers, a)
		}
	}
	scores := all[len(all)-1].Values
	answer := train.Predictions{Outputs: array.New(scores.Values, 1, len(scores.Values))}
	p.shares = nil
	for class := range p.classes {
		p.shares = append(p.shares, answer.Probability(0, class))
	}
	return nil
}

// picture is what the network sees.
func (p *pad) picture() image.Image {
	return &image.Gray{Pix: p.digit, Stride: side, Rect: image.Rect(0, 0, side, side)}
}

// maps are the feature maps of a layer, with a name.
func maps(a train.Activation) (name string, maps []image.Image) {
	dims := a.Values.Dims
	for c := range dims[2] {
		maps = append(maps, figure.Gray(a.Values.Channel(c)))
	}
	return fmt.Sprintf("%s, %d × %d", a.Layer.Path, dims[0], dims[1]), maps
}

// html is the answer to a drawing, as a part of a page.
func (p *pad) html() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<div class="convbook-says"><div>%s,<br>as the network sees it<br>%s</div>`,
		p.title, small(p.picture(), 112))
	b.WriteString(`<div class="convbook-bars">`)
	for class, share := range p.shares {
		fmt.Fprintf(&b, `<b>%s</b><div><i style="width: %.1f%%"></i></div><span>%.0f %%</span>`,
			html.EscapeString(p.classes[class]), 100*share, 100*share)
	}
	b.WriteString("</div></div>")
	for _, a := range p.layers {
		name, pictures := maps(a)
		fmt.Fprintf(&b, `<div>%s</div><div class="convbook-maps">`, html.EscapeString(name))
		for _, picture := range pictures {
			b.WriteString(small(picture, 56))
		}
		b.WriteString("</div>")
	}
	return b.String()
}

// small is a picture of few pixels as a part of a page, which enlarges it.
func small(picture image.Image, width int) string {
	var b bytes.Buffer
	_ = png.Encode(&b, picture) // into memory
	return fmt.Sprintf(`<img src="%s" alt="" decoding="sync" style="width: %dpx; image-rendering: pixelated">`,
		dataURL(b.Bytes()), width)
}

// line is the answer in words.
func (p *pad) line() string {
	best := 0
	for class, share := range p.shares {
		if share > p.shares[best] {
			best = class
		}
	}
	return fmt.Sprintf("%s: %s, %.0f %% sure", p.title, p.classes[best], 100*p.shares[best])
}

// figure is what is left in the end.
func (p *pad) figure() figure.Figure {
	rows := []figure.Figure{figure.Row(
		figure.Grid(figure.Pictures{Title: p.title, Images: []image.Image{p.picture()}, Width: 200}),
		figure.Bars(figure.Chart{Title: "What the network says", X: "class", Y: "probability, %", Width: 460, Height: 220},
			p.classes, figure.NewSeries("probability", percent(p.shares))))}
	for _, a := range p.layers {
		name, pictures := maps(a)
		rows = append(rows, figure.Grid(figure.Pictures{Title: name, Images: pictures, Width: 660}))
	}
	return figure.Column(rows...)
}

func percent(shares []float64) (percent []float64) {
	for _, share := range shares {
		percent = append(percent, 100*share)
	}
	return percent
}
