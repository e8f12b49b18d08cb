package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// Lines draws series as lines over common axes.
func Lines(c Chart, series ...Series) Figure {
	p, err := c.plot()
	if err != nil {
		return Failed(err)
	}
	for i, s := range series {
		if err := c.addLine(p, s, lineColor(series, i), dashes(series, i)); err != nil {
			return Failed(err)
		}
	}
	if c.XEnd != 0 {
		p.X.Max = max(p.X.Max, c.XEnd)
	}
	p.Y.Min, p.Y.Max = c.heightsShown(p.Y.Min, p.Y.Max)
	placeLegend(p, series)
	return c.draw(p, c.about(series))
}

// about says in words what lines show.
func (c Chart) about(series []Series) string {
	about := fmt.Sprintf("Line chart: %s, %s over %s", c.Title, c.Y, c.X)
	for _, s := range series {
		about += fmt.Sprintf("; %s from %.4g to %.4g", s.Name, s.Y[0], s.Y[len(s.Y)-1])
	}
	return about
}

// heightsShown is where the y-axis begins and ends: it begins at 0 if the data are not far from there.
func (c Chart) heightsShown(low, high float64) (from, to float64) {
	if low > 0 && (low < high/2 || c.YEnd > 0) {
		low = 0
	}
	if c.YEnd > 0 {
		high = max(high, c.YEnd)
	}
	return low, high
}

// strong counts the series before series i that are not pale.
func strong(series []Series, i int) (n int) {
	for _, s := range series[:i] {
		if !s.Pale {
			n++
		}
	}
	return n
}

// dashes are the lengths of the dashes and gaps of series i: none as long as the colours tell the series apart, unless it
// is to have some.
func dashes(series []Series, i int) []float64 {
	kind := strong(series, i) / len(palette)
	if series[i].Dashed {
		kind++
	}
	return [][]float64{nil, {7, 3}, {2, 3}}[min(kind, 2)]
}

// lineColor is the colour of series i.
func lineColor(series []Series, i int) color.NRGBA {
	c := color.NRGBA(palette[strong(series, i)%len(palette)])
	if series[i].Pale {
		c.A = 0x60
	}
	return c
}

const (
	strongLine = 1.6 // screen pixels
	paleLine   = 1.0
)

// addLine adds a series to the plot.
func (c Chart) addLine(p *plot.Plot, s Series, ink color.NRGBA, dashes []float64) error {
	xy, err := s.points()
	if err != nil {
		return fmt.Errorf("chart %q: %w", c.Title, err)
	}
	line, err := plotter.NewLine(xy)
	if err != nil {
		return fmt.Errorf("series %q: %w", s.Name, err)
	}
	line.Color = ink
	for _, length := range dashes {
		line.Dashes = append(line.Dashes, points(length))
	}
	line.Width = points(strongLine)
	if s.Pale {
		line.Width = points(paleLine)
	}
	p.Add(line)
	if len(xy) == 1 { // a line of one point shows nothing
		dot, err := plotter.NewScatter(xy)
		if err != nil {
			return fmt.Errorf("series %q: %w", s.Name, err)
		}
		dot.GlyphStyle = draw.GlyphStyle{Color: line.Color, Radius: points(3), Shape: draw.CircleGlyph{}}
		p.Add(dot)
	}
	c.addLegend(p, s.Name, line)
	return nil
}

// placeLegend puts the legend where it hides the fewest points of the lines.
func placeLegend(p *plot.Plot, series []Series) {
	p.Legend.Top, p.Legend.Left = emptiestCorner(p, series)
	if p.Legend.Left {
		p.Legend.XOffs = points(4)
	}
}

// emptiestCorner is the corner with the fewest points of the lines: the one at the top right if all are alike.
func emptiestCorner(p *plot.Plot, series []Series) (top, left bool) {
	fewest := math.MaxInt
	for _, corner := range [][2]bool{{true, false}, {false, false}, {true, true}, {false, true}} {
		hidden := 0
		for _, s := range series {
			for i := range s.X[1:] {
				for part := range 16 { // along the line from one point to the next
					x := (s.X[i] + (s.X[i+1]-s.X[i])*float64(part)/16 - p.X.Min) / (p.X.Max - p.X.Min)
					y := (s.Y[i] + (s.Y[i+1]-s.Y[i])*float64(part)/16 - p.Y.Min) / (p.Y.Max - p.Y.Min)
					level, side := y > 0.75 || y < 0.25, x < 0.35 || x > 0.65
					if level && side && (y > 0.75) == corner[0] && (x < 0.35) == corner[1] {
						hidden++
					}
				}
			}
		}
		if hidden < fewest {
			fewest, top, left = hidden, corner[0], corner[1]
		}
	}
	return top, left
}
