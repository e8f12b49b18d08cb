package figure

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/plotter"

	"example.org/convbook/lib/internal/text"
)

// Series is numbers with a name: a line of a chart, the bars of one colour, or a path over a map.
type Series struct {
	Name   string
	X, Y   []float64
	Pale   bool // as a line: thin and light, in the colour of the next series, which stands out from it
	Dashed bool // as a line, so one that lies below it can be seen
}

// NewSeries is a series of values against 0, 1, 2, …
func NewSeries[T float32 | float64](name string, y []T) Series {
	s := Series{Name: name}
	for i, v := range y {
		s.Add(float64(i), float64(v))
	}
	return s
}

// Add adds a point to the series.
func (s *Series) Add(x, y float64) { s.X, s.Y = append(s.X, x), append(s.Y, y) }

// From is the series against first, first + 1, first + 2, …
func (s Series) From(first float64) Series {
	moved := Series{Name: s.Name, Pale: s.Pale, Dashed: s.Dashed}
	for i, y := range s.Y {
		moved.Add(first+float64(i), y)
	}
	return moved
}

// Smooth is the series with each value replaced by the mean of it and the ones before it, n together at most.
func (s Series) Smooth(n int) Series {
	smooth := Series{Name: s.Name, X: s.X, Pale: s.Pale, Dashed: s.Dashed}
	n = max(n, 1)
	for i := range s.Y {
		sum, from := 0.0, max(0, i+1-n)
		for _, y := range s.Y[from : i+1] { // a sum that goes along would keep the rounding of a huge value for ever
			sum += y
		}
		smooth.Y = append(smooth.Y, sum/float64(i+1-from))
	}
	return smooth
}

// points is the series as gonum takes it.
func (s Series) points() (plotter.XYs, error) {
	if len(s.X) == 0 || len(s.X) != len(s.Y) {
		return nil, fmt.Errorf("series %q has %d x and %d y values", s.Name, len(s.X), len(s.Y))
	}
	all := make(plotter.XYs, len(s.X))
	for i := range all {
		all[i] = plotter.XY{X: s.X[i], Y: s.Y[i]}
	}
	if err := plotter.CheckFloats(append(append([]float64{}, s.X...), s.Y...)...); err != nil {
		return nil, fmt.Errorf("series %q: %w", s.Name, err)
	}
	if most := slices.Max(append([]float64{0}, s.Y...)); most-min(0, slices.Min(s.Y)) > math.MaxFloat64/4 {
		return nil, fmt.Errorf("series %q: its numbers are too large to draw", s.Name)
	}
	return all, nil
}

// brief is a number with three digits, or with all of those before its point: more tell a reader of a chart nothing.
func brief(v float64) string {
	if size := math.Abs(v); size >= 999.5 && size < 1e15 { // with three digits, 999.5 is 1e+03
		return text.Thousands(strconv.FormatFloat(v, 'f', 0, 64))
	}
	return fmt.Sprintf("%.3g", v)
}
