package figure

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// Surface is heights over a plane: Z[i][j] is the height at X[j] and Y[i]. X and Y go up.
type Surface struct {
	X, Y []float64
	Z    [][]float64
}

// NewSurface is the surface of a function over a rectangle, at n × n places.
func NewSurface(x0, x1, y0, y1 float64, n int, f func(x, y float64) float64) Surface {
	var s Surface
	if f == nil {
		return s // without places, which Contours refuses
	}
	for i := range n {
		part := float64(i) / float64(n-1)
		s.X, s.Y = append(s.X, x0+part*(x1-x0)), append(s.Y, y0+part*(y1-y0))
	}
	for _, y := range s.Y {
		var row []float64
		for _, x := range s.X {
			row = append(row, f(x, y))
		}
		s.Z = append(s.Z, row)
	}
	return s
}

// Contours draws a surface as a map does, by lines of equal height, the lower the darker, and series as paths over it:
// a large dot where a path starts, a small one at each further point. Between one line and the next there is always the
// same share of the plane. A path that leaves the map ends at its edge.
func Contours(c Chart, s Surface, paths ...Series) Figure {
	if err := s.check(); err != nil {
		return fail("chart %q: %w", c.Title, err)
	}
	p, err := c.plot()
	if err != nil {
		return Failed(err)
	}
	heights := slices.Sorted(slices.Values(slices.Concat(s.Z...)))
	p.Add(s.contour(heights))
	alt := fmt.Sprintf("Contour map: %s, %s over %s; heights from %.4g to %.4g",
		c.Title, c.Y, c.X, heights[0], heights[len(heights)-1])
	var inside []Series
	for i, path := range paths {
		kept, err := c.addPath(p, s, path, i)
		if err != nil {
			return Failed(err)
		}
		inside = append(inside, kept)
		last := len(path.X) - 1
		alt += fmt.Sprintf("; %s from (%.4g, %.4g) to (%.4g, %.4g)",
			path.Name, path.X[0], path.Y[0], path.X[last], path.Y[last])
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = s.X[0], s.X[len(s.X)-1], s.Y[0], s.Y[len(s.Y)-1]
	placeLegend(p, inside)
	return c.draw(p, alt)
}

// check says what is wrong with a surface.
func (s Surface) check() error {
	rows, columns := len(s.Y), len(s.X)
	uneven := slices.ContainsFunc(s.Z, func(row []float64) bool { return len(row) != columns })
	if rows < 2 || columns < 2 || len(s.Z) != rows || uneven {
		return fmt.Errorf("a surface of %d × %d places needs as many heights, and 2 × 2 at least", columns, rows)
	}
	if !rises(s.X) || !rises(s.Y) {
		return errors.New("the places of a surface must go up")
	}
	for _, height := range slices.Concat(s.Z...) {
		if math.IsNaN(height) || math.IsInf(height, 0) {
			return errors.New("a height of the surface is not a number")
		}
	}
	return nil
}

// contour is the lines of equal height; the heights of the surface come in order.
func (s Surface) contour(heights []float64) *plotter.Contour {
	const lines = 15
	var levels []float64
	var styles []draw.LineStyle
	for i := range lines {
		levels = append(levels, heights[(2*i+1)*len(heights)/(2*lines)])
		gray := uint8(0x70 + i*0x70/lines)
		styles = append(styles, draw.LineStyle{Color: color.RGBA{gray, gray, gray + 0x18, 0xff}, Width: points(0.8)})
	}
	contour := plotter.NewContour(grid{s}, levels, nil)
	contour.LineStyles = styles
	return contour
}

// addPath adds path i to the plot and returns what of it is on the map.
func (c Chart) addPath(p *plot.Plot, s Surface, path Series, i int) (kept Series, err error) {
	if len(path.X) == 0 || len(path.X) != len(path.Y) {
		return kept, fmt.Errorf("path %q has %d x and %d y values", path.Name, len(path.X), len(path.Y))
	}
	kept = s.within(path)
	if len(kept.X) == 0 {
		return kept, fmt.Errorf("path %q starts outside of the map", path.Name)
	}
	xy, err := kept.points()
	if err != nil {
		return kept, err
	}
	line, dots, err := plotter.NewLinePoints(xy)
	if err != nil {
		return kept, fmt.Errorf("path %q: %w", path.Name, err)
	}
	line.Color = palette[i%len(palette)]
	line.Width = points(1.4)
	dots.GlyphStyleFunc = func(j int) draw.GlyphStyle {
		radius := 1.8
		if j == 0 {
			radius = 4
		}
		return draw.GlyphStyle{Color: line.Color, Radius: points(radius), Shape: draw.CircleGlyph{}}
	}
	p.Add(line, dots)
	c.addLegend(p, path.Name, line)
	return kept, nil
}

func rises(values []float64) bool {
	for i := range values[1:] {
		if !(values[i+1] > values[i]) {
			return false
		}
	}
	return true
}

// within is the path as far as it stays on the map.
func (s Surface) within(path Series) Series {
	low, high := [2]float64{s.X[0], s.Y[0]}, [2]float64{s.X[len(s.X)-1], s.Y[len(s.Y)-1]}
	kept := Series{Name: path.Name}
	var before [2]float64
	for i := range path.X {
		at := [2]float64{path.X[i], path.Y[i]}
		part := 1.0 // of the way from the point before that is on the map
		for axis := range at {
			switch {
			case i == 0 && !(at[axis] >= low[axis] && at[axis] <= high[axis]):
				return kept
			case at[axis] < low[axis]:
				part = min(part, (low[axis]-before[axis])/(at[axis]-before[axis]))
			case at[axis] > high[axis]:
				part = min(part, (high[axis]-before[axis])/(at[axis]-before[axis]))
			case math.IsNaN(at[axis]):
				return kept
			}
		}
		if part < 1 {
			at = [2]float64{before[0] + part*(at[0]-before[0]), before[1] + part*(at[1]-before[1])}
		}
		kept.X, kept.Y = append(kept.X, at[0]), append(kept.Y, at[1])
		if part < 1 {
			return kept
		}
		before = at
	}
	return kept
}

// grid is a surface as gonum takes it.
type grid struct{ s Surface }

func (g grid) Dims() (columns, rows int) { return len(g.s.X), len(g.s.Y) }
func (g grid) Z(column, row int) float64 { return g.s.Z[row][column] }
func (g grid) X(column int) float64      { return g.s.X[column] }
func (g grid) Y(row int) float64         { return g.s.Y[row] }
