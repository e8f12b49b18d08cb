// Package look draws the pictures of a run that the book looks at again and again, one line each:
//
//	cell.Show(look.Worst(run, 10))
//	cell.Show(look.Curves(look.TestAccuracy, look.ByEpoch, first, second))
//
// What cannot be drawn is a figure with its error inside, which cell.Show reports.
package look

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// Named is the run under another name than that of its network, for titles and legends:
//
//	look.Curves(look.TestLoss, look.ByStep, look.Named("Adam", first), look.Named("Muon", second))
func Named(name string, run *train.Run) *train.Run {
	if run == nil {
		return nil // for what draws it to say
	}
	named := *run
	named.Result.Network = name
	return &named
}

func name(run *train.Run) string { return run.Result.Network }

var errNoRun = errors.New("there is no run to draw: get one with Fit or Load")

func fail(format string, args ...any) figure.Figure {
	return figure.Failed(fmt.Errorf(format, args...))
}

// first is the title that was given, or else the usual one.
func first(given []string, usual string) string { return cmp.Or(append(given, usual)...) }

// tested is what a run gives for the test images, and the images.
func tested(run *train.Run) (p *train.Predictions, test *dataset.Split, err error) {
	if p, err = run.Test(); err != nil {
		return nil, nil, err
	}
	test, err = run.Task.Data.Test()
	return p, test, err
}

// gallery is test images with captions.
type gallery struct {
	test *dataset.Split
	figure.Pictures
}

func (g *gallery) add(i int, format string, args ...any) {
	g.Images = append(g.Images, g.test.Image(i))
	g.Captions = append(g.Captions, fmt.Sprintf(format, args...))
}

// Worst draws up to n mistakes, those with the largest losses, the worst first. The network gave the right class almost
// no probability; how sure it is of the wrong one stands below.
func Worst(run *train.Run, n int, title ...string) figure.Figure {
	p, test, err := tested(run)
	if err != nil {
		return figure.Failed(err)
	}
	if n < 1 {
		return fail("%d mistakes cannot be drawn: it must be at least 1", n)
	}
	g := gallery{test, figure.Pictures{Title: first(title, name(run)+"'s worst mistakes"), Columns: 5}}
	for _, i := range p.Worst(len(p.Labels)) {
		if class := p.Class(i); class != int(p.Labels[i]) && len(g.Images) < n {
			g.add(i, "%s, taken for %s\n(%.0f %% sure)", test.Label(i), p.Classes[class], 100*p.Probability(i, class))
		}
	}
	if len(g.Images) == 0 {
		return fail("there is no mistake to draw: %s is right about %d of %d test images",
			name(run), p.Correct(), len(p.Labels))
	}
	return figure.Grid(g.Pictures)
}

// Surest draws for each class the test image that the network is most sure of.
func Surest(run *train.Run, title ...string) figure.Figure {
	p, test, err := tested(run)
	if err != nil {
		return figure.Failed(err)
	}
	usual := "What " + name(run) + " is most sure of, for each class"
	g := gallery{test, figure.Pictures{Title: first(title, usual), Columns: 5}}
	for class, i := range p.Surest() {
		said := p.Classes[class]
		if class != int(p.Labels[i]) {
			said += " (is " + test.Label(i) + ")"
		}
		g.add(i, "%s\n%.0f %% sure", said, 100*p.Probability(i, class))
	}
	return figure.Grid(g.Pictures)
}

// Predictions draws the test images from i up to, but not including, j, with their class and what the network says.
func Predictions(run *train.Run, i, j int, title ...string) figure.Figure {
	p, test, err := tested(run)
	if err != nil {
		return figure.Failed(err)
	}
	if i < 0 || j <= i || j > test.Len() {
		return fail("there are no test images from %d to before %d: there are %d", i, j, test.Len())
	}
	usual := fmt.Sprintf("Test images %d to %d: true class → what %s says", i, j-1, name(run))
	g := gallery{test, figure.Pictures{Title: first(title, usual), Columns: 8}}
	for ; i < j; i++ {
		class := p.Class(i)
		g.add(i, "%s\n→ %s\n%.0f %% sure", test.Label(i), p.Classes[class], 100*p.Probability(i, class))
	}
	return figure.Grid(g.Pictures)
}

// Confusion draws how often test images of each class were given each class.
func Confusion(run *train.Run, title ...string) figure.Figure {
	p, err := run.Test()
	if err != nil {
		return figure.Failed(err)
	}
	return figure.Confusion(first(title, name(run)+" on "+run.Task.Data.Name), p.Confusion(), p.Classes)
}

// PerClass draws which share of each class's test images each run recognises.
func PerClass(runs ...*train.Run) figure.Figure {
	var classes []string
	var all []figure.Series
	for _, run := range runs {
		p, err := run.Test()
		if err != nil {
			return figure.Failed(err)
		}
		if classes != nil && !slices.Equal(classes, p.Classes) {
			return fail("%s and %s have different classes", name(runs[0]), name(run))
		}
		classes = p.Classes
		if none := slices.IndexFunc(p.PerClass(), math.IsNaN); none >= 0 {
			return fail("there is no test image of the class %s: test on more", classes[none])
		}
		all = append(all, figure.NewSeries(name(run), p.PerClass()))
	}
	title := "How much of each class is recognised"
	if len(runs) == 1 {
		title = "How much of each class " + name(runs[0]) + " recognises"
	}
	chart := figure.Chart{Title: title, X: "class", Y: "recognised test images, %", Width: 760}
	return figure.Bars(chart, classes, all...)
}

// mostColumns is how many filters stand side by side.
const mostColumns = 16

// Filters draws the weights of a convolution that sees an image: red positive and blue negative where the image is
// grey, in their own colours where it is not. The layer is named as in the network's summary, such as conv1.
func Filters(run *train.Run, layer string, title ...string) figure.Figure {
	weights, err := run.Weights(layer + "/weights")
	if err != nil {
		return figure.Failed(err)
	}
	if len(weights.Dims) != 4 {
		return fail("%s has weights %v: only a convolution has filters to draw", layer, weights.Dims)
	}
	draw, how := figure.RedBlue, "red positive, blue negative"
	if channels := weights.Dims[2]; channels > 1 {
		seen, err := seesImage(run, layer)
		if err != nil {
			return figure.Failed(err)
		}
		if !seen || channels != 3 {
			return fail("the filters of %s see %d maps: only those that see an image can be drawn", layer, channels)
		}
		draw, how = figure.RGB, "as colours"
	}
	var pictures []image.Image
	for f := range weights.Dims[3] {
		pictures = append(pictures, draw(weights.Channel(f)))
	}
	return figure.Grid(figure.Pictures{
		Title: first(title, "Filters of "+layer), Images: pictures, Columns: mostColumns,
		About: fmt.Sprintf("The %d learned filters of %s, %d×%d pixels, %s",
			len(pictures), layer, weights.Dims[0], weights.Dims[1], how),
	})
}

// seesImage reports whether no layer multiplies what a layer sees of the image.
func seesImage(run *train.Run, layer string) (bool, error) {
	data := run.Task.Data
	summary, err := nn.Summarize(run.Task.Net, data.Height, data.Width, data.Channels)
	if err != nil {
		return false, err
	}
	at := slices.IndexFunc(summary.Layers, func(l nn.LayerInfo) bool { return l.Path == layer })
	return at >= 0 && !slices.ContainsFunc(summary.Layers[:at], func(l nn.LayerInfo) bool {
		this := summary.Layers[at]
		beside := this.Block != "" && l.Block == this.Block && l.Lane != this.Lane
		return l.MACs > 0 && !beside
	}), nil
}
