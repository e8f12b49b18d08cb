package figure

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg/draw"
)

// Spread draws above each label a dot for each of its values and a level line at their mean: what repeated measurements
// of several things have in common, and how far they scatter. Unlike Bars, it does not begin at 0.
func Spread(c Chart, labels []string, values [][]float64) Figure {
	if len(labels) == 0 || len(labels) != len(values) {
		return fail("chart %q has %d labels and the values of %d", c.Title, len(labels), len(values))
	}
	p, err := c.plot()
	if err != nil {
		return Failed(err)
	}
	alt := fmt.Sprintf("Chart of means and values: %s, %s", c.Title, c.Y)
	for i, some := range values {
		if len(some) == 0 {
			return fail("chart %q: %q has no values", c.Title, labels[i])
		}
		var dots plotter.XYs
		mean := 0.0
		for _, v := range some {
			dots = append(dots, plotter.XY{X: float64(i), Y: v})
			mean += v / float64(len(some))
		}
		level, err := plotter.NewLine(plotter.XYs{{X: float64(i) - 0.25, Y: mean}, {X: float64(i) + 0.25, Y: mean}})
		if err != nil {
			return fail("chart %q: %q: %w", c.Title, labels[i], err)
		}
		level.LineStyle = draw.LineStyle{Color: palette[0], Width: points(3)}
		scatter, err := plotter.NewScatter(dots)
		if err != nil {
			return fail("chart %q: %q: %w", c.Title, labels[i], err)
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: palette[1], Radius: points(3), Shape: draw.CircleGlyph{}}
		p.Add(level, scatter)
		alt += fmt.Sprintf("; %s mean %.2f from %.2f to %.2f",
			strings.ReplaceAll(labels[i], "\n", " "), mean, slices.Min(some), slices.Max(some))
	}
	size, below := c.below(labels)
	p.NominalX(below...)
	p.X.Tick.Label = style(size, false, ink, text.XCenter, text.YTop)
	p.X.Min, p.X.Max = -0.5, float64(len(labels))-0.5
	room := spread(p.Y) / 10
	p.Y.Min, p.Y.Max = p.Y.Min-room, p.Y.Max+room
	return c.draw(p, alt)
}
