package figure

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Bubble is a point of a chart with a name and a size.
type Bubble struct {
	Name string
	X, Y float64
	Size float64 // what the bubble's area is in proportion to
}

// Bubbles draws points as discs over common axes, each with its name and the size in the given unit beside it.
func Bubbles(c Chart, unit string, bubbles ...Bubble) Figure {
	if len(bubbles) == 0 {
		return fail("chart %q has no bubbles", c.Title)
	}
	p, err := c.plot()
	if err != nil {
		return Failed(err)
	}
	alt := fmt.Sprintf("Bubble chart: %s, %s over %s", c.Title, c.Y, c.X)
	xy, names := make(plotter.XYs, len(bubbles)), make([]string, len(bubbles))
	for i, b := range bubbles {
		if !(b.Size > 0) || math.IsInf(b.Size, 1) {
			return fail("chart %q: bubble %s has the size %v", c.Title, b.Name, b.Size)
		}
		xy[i] = plotter.XY{X: b.X, Y: b.Y}
		names[i] = fmt.Sprintf("%s, %s %s", b.Name, brief(b.Size), unit)
		alt += fmt.Sprintf("; %s at %s and %s", names[i], brief(b.X), brief(b.Y))
	}
	discs, err := plotter.NewScatter(xy)
	if err != nil {
		return fail("chart %q: %w", c.Title, err)
	}
	radii := radii(bubbles)
	discs.GlyphStyleFunc = func(i int) draw.GlyphStyle {
		shade := palette[i%len(palette)]
		shade.R, shade.G, shade.B, shade.A = shade.R/4*3, shade.G/4*3, shade.B/4*3, 0xc0 // lets others shine through
		return draw.GlyphStyle{Color: shade, Radius: radii[i], Shape: draw.CircleGlyph{}}
	}
	p.Add(discs)
	width, height := spread(p.X), spread(p.Y)
	p.X.Min, p.X.Max = p.X.Min-0.06*width, p.X.Max+0.3*width // room for the discs and the last name
	p.Y.Min, p.Y.Max = p.Y.Min-0.15*height, p.Y.Max+0.15*height
	for i, y := range c.heights(p, xy) {
		label, err := plotter.NewLabels(plotter.XYLabels{XYs: xy[i : i+1], Labels: names[i : i+1]})
		if err != nil {
			return fail("chart %q: %w", c.Title, err)
		}
		label.TextStyle[0] = style(textSize-1, false, ink, text.XLeft, text.YCenter)
		label.Offset = vg.Point{X: radii[i] + points(3), Y: y}
		p.Add(label)
	}
	return c.draw(p, alt)
}

// radii are the radii of the discs: the largest is 18 screen pixels.
func radii(bubbles []Bubble) (all []vg.Length) {
	largest := slices.MaxFunc(bubbles, func(a, b Bubble) int { return cmp.Compare(a.Size, b.Size) }).Size
	for _, b := range bubbles {
		all = append(all, points(18*math.Sqrt(b.Size/largest)))
	}
	return all
}

// spread is how far the values of an axis go; 1 if they are all the same.
func spread(axis plot.Axis) float64 {
	if axis.Max > axis.Min {
		return axis.Max - axis.Min
	}
	return 1
}

// heights says how far above its point each name stands: below it where it would lie on another name, from the top
// down.
func (c Chart) heights(p *plot.Plot, xy plotter.XYs) []vg.Length {
	order := make([]int, len(xy))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(xy[b].Y, xy[a].Y) })
	scale := 0.8 * float64(c.height()) * density / (p.Y.Max - p.Y.Min) // pixels for 1, about
	lowest := math.Inf(1)
	offsets := make([]vg.Length, len(xy))
	for _, i := range order {
		at := min(xy[i].Y*scale, lowest-float64(lineHeight(textSize-1)))
		lowest = at
		offsets[i] = vg.Length(at - xy[i].Y*scale)
	}
	return offsets
}
