package figure

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// Bars draws a bar for each label, as high as the series' Y, with its value above it. Several series stand side by side
// above each label, and a legend names them.
func Bars(c Chart, labels []string, series ...Series) Figure {
	if len(labels) == 0 || len(series) == 0 {
		return fail("chart %q has %d labels and %d series of bars", c.Title, len(labels), len(series))
	}
	p, err := c.plot()
	if err != nil {
		return Failed(err)
	}
	row := newBarRow(c, len(labels), series)
	alt := fmt.Sprintf("Bar chart: %s, %s", c.Title, c.Y)
	for i, s := range series {
		if len(s.Y) != len(labels) {
			return fail("chart %q: series %q has %d values for %d labels", c.Title, s.Name, len(s.Y), len(labels))
		}
		if err := row.add(p, s, i); err != nil {
			return fail("chart %q: series %q: %w", c.Title, s.Name, err)
		}
		var words []string
		for k, v := range s.Y {
			words = append(words, strings.ReplaceAll(labels[k], "\n", " ")+" "+fmt.Sprintf(row.format, v))
		}
		if len(series) > 1 {
			alt += "; " + s.Name + ": " + strings.Join(words, ", ")
		} else {
			alt += "; " + strings.Join(words, "; ")
		}
	}
	size, below := c.below(labels)
	p.NominalX(below...)
	p.X.Tick.Label = style(size, false, ink, text.XCenter, text.YTop)
	p.X.Min, p.X.Max = -0.5, float64(len(labels))-0.5
	row.rise(p)
	return c.draw(p, alt)
}

// below is the labels as they stand side by side below the bars: as large as their longest word allows, with a space
// between them.
func (c Chart) below(labels []string) (size float64, lines []string) {
	const space = 10 // screen pixels
	room := max(1, (c.width()-besideData)/len(labels)-space)
	words := strings.Fields(strings.Join(labels, " "))
	for size = textSize - 1; size > 8 && widest(words, small(size)) > room*density; {
		size--
	}
	for _, label := range labels {
		lines = append(lines, c.fit(label, size, false, room))
	}
	return size, lines
}

// barRow is how the bars of a chart stand, and how far they reach.
type barRow struct {
	Chart
	series    int
	wide      vg.Length // of a bar
	size      float64   // of the numbers above the bars
	standing  bool      // these numbers are written upwards, because the bars are too thin for them
	format    string    // of these numbers
	low, high float64
}

func newBarRow(c Chart, labels int, series []Series) *barRow {
	row := &barRow{Chart: c, series: len(series), size: textSize, format: "%.2f"}
	share := 0.5
	if len(series) > 1 {
		share, row.size, row.format = 0.7, textSize-1, "%.3g"
	}
	largest := 0.0
	for _, s := range series {
		for _, v := range s.Y {
			largest = max(largest, math.Abs(v))
		}
	}
	switch {
	case largest >= 1000: // with an exponent, or decimals that nobody reads
		row.format = "%.0f"
	case largest < 0.1: // all would be 0.00
		row.format = "%.2g"
	}
	row.wide = points(share * float64(c.width()) / float64(labels*len(series)))
	return row
}

// add adds series i to the plot, with its numbers.
func (row *barRow) add(p *plot.Plot, s Series, i int) error {
	bars, err := plotter.NewBarChart(plotter.Values(s.Y), row.wide)
	if err != nil {
		return err
	}
	bars.Color = palette[i%len(palette)]
	bars.LineStyle.Width = 0
	bars.Offset = row.wide * vg.Length(float64(i)-float64(row.series-1)/2)
	p.Add(bars)
	if row.series > 1 {
		row.addLegend(p, s.Name, bars)
	}
	xy, above := make(plotter.XYs, len(s.Y)), make([]string, len(s.Y))
	for k, v := range s.Y {
		xy[k], above[k] = plotter.XY{X: float64(k), Y: v}, fmt.Sprintf(row.format, v)
	}
	row.low, row.high = min(row.low, slices.Min(s.Y)), max(row.high, slices.Max(s.Y))
	numbers, err := plotter.NewLabels(plotter.XYLabels{XYs: xy, Labels: above})
	if err != nil {
		return err
	}
	st := style(row.size, false, ink, text.XCenter, text.YBottom)
	if vg.Length(widest(above, st)) > row.wide+row.room() {
		row.standing = true
		st.Rotation, st.XAlign, st.YAlign = math.Pi/2, text.XLeft, text.YCenter
	}
	for k := range numbers.TextStyle {
		numbers.TextStyle[k] = st
	}
	numbers.Offset = vg.Point{X: bars.Offset, Y: points(2)}
	p.Add(numbers)
	return nil
}

// room is what a number may be wider than its bar; where bars touch, it must be narrower.
func (row *barRow) room() vg.Length {
	if row.series > 1 {
		return -points(3)
	}
	return row.wide * 6 / 10
}

// rise makes the chart high enough for the numbers above the bars, and for the legend.
func (row *barRow) rise(p *plot.Plot) {
	more := 0.08
	if row.series > 1 {
		more = 0.1 + 0.08*float64(row.series)
	}
	if row.standing {
		more += 0.1
	}
	p.Y.Min, p.Y.Max = row.low, row.high+more*(row.high-row.low)
}
