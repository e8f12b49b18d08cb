package figure

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Series is a line of a chart.
type Series struct {
	Name string
	X, Y []float64
}

// Of is a series of float32 values against 0, 1, 2, …
func Of(name string, values []float32) Series {
	s := Series{Name: name}
	for i, v := range values {
		s.X = append(s.X, float64(i))
		s.Y = append(s.Y, float64(v))
	}
	return s
}

// From is the series against first, first + 1, first + 2, …
func (s Series) From(first float64) Series {
	moved := Series{Name: s.Name, Y: s.Y}
	for i := range s.Y {
		moved.X = append(moved.X, first+float64(i))
	}
	return moved
}

// Smooth is the series with each value replaced by the mean of it and the ones before it, n together at most.
func (s Series) Smooth(n int) Series {
	smooth := Series{Name: s.Name, X: s.X}
	sum := 0.0
	for i, y := range s.Y {
		sum += y
		if i >= n {
			sum -= s.Y[i-n]
		}
		smooth.Y = append(smooth.Y, sum/float64(min(i+1, n)))
	}
	return smooth
}

// Chart is the words around a chart.
type Chart struct {
	Title  string
	X, Y   string // the axes' names, with units
	Width  int    // in screen pixels; 600 if 0
	Height int    // in screen pixels; 320 if 0
}

// Lines draws series as lines over common axes.
func Lines(c Chart, series ...Series) Figure {
	p, err := c.plot()
	if err != nil {
		return Figure{err: err}
	}
	alt := fmt.Sprintf("Line chart: %s, %s over %s", c.Title, c.Y, c.X)
	for i, s := range series {
		if len(s.X) == 0 || len(s.X) != len(s.Y) {
			return fail("series %q has %d x and %d y values", s.Name, len(s.X), len(s.Y))
		}
		points := make(plotter.XYs, len(s.X))
		for j := range points {
			points[j] = plotter.XY{X: s.X[j], Y: s.Y[j]}
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return fail("series %q: %w", s.Name, err)
		}
		line.Color = palette[i%len(palette)]
		line.Width = vg.Points(1.6 * density)
		p.Add(line)
		if len(points) == 1 { // a line of one point shows nothing
			dot, err := plotter.NewScatter(points)
			if err != nil {
				return fail("series %q: %w", s.Name, err)
			}
			dot.GlyphStyle = draw.GlyphStyle{Color: line.Color, Radius: vg.Points(3 * density), Shape: draw.CircleGlyph{}}
			p.Add(dot)
		}
		addLegend(p, s.Name, line)
		alt += fmt.Sprintf("; %s from %.4g to %.4g", s.Name, s.Y[0], s.Y[len(s.Y)-1])
	}
	if p.Y.Min > 0 && p.Y.Min < p.Y.Max/2 {
		p.Y.Min = 0
	}
	p.Legend.Top, p.Legend.Left = emptiestCorner(p, series)
	if p.Legend.Left {
		p.Legend.XOffs = vg.Points(4 * density)
	}
	return c.draw(p, alt)
}

// emptiestCorner is where the legend hides the fewest points of the lines: at the top right if all are alike.
func emptiestCorner(p *plot.Plot, series []Series) (top, left bool) {
	fewest := math.MaxInt
	for _, corner := range [][2]bool{{true, false}, {false, false}, {true, true}, {false, true}} {
		hidden := 0
		for _, s := range series {
			for i := range s.X[1:] {
				for part := range 16 { // along the line from one point to the next
					x := (s.X[i] + (s.X[i+1]-s.X[i])*float64(part)/16 - p.X.Min) / (p.X.Max - p.X.Min)
					y := (s.Y[i] + (s.Y[i+1]-s.Y[i])*float64(part)/16 - p.Y.Min) / (p.Y.Max - p.Y.Min)
					if (y > 0.75) == corner[0] && (y > 0.75 || y < 0.25) && (x < 0.35) == corner[1] && (x < 0.35 || x > 0.65) {
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

// Bars draws one bar for each label, with its value above it.
func Bars(c Chart, labels []string, values []float64) Figure {
	if len(labels) == 0 || len(labels) != len(values) {
		return fail("a bar chart has %d labels and %d values", len(labels), len(values))
	}
	p, err := c.plot()
	if err != nil {
		return Figure{err: err}
	}
	bars, err := plotter.NewBarChart(plotter.Values(values), vg.Points(0.5*float64(c.width())/float64(len(labels))*density))
	if err != nil {
		return fail("bar chart: %w", err)
	}
	bars.Color = palette[0]
	bars.LineStyle.Width = 0
	p.Add(bars)
	p.NominalX(labels...)
	p.X.Tick.Label.XAlign = text.XCenter
	alt := fmt.Sprintf("Bar chart: %s, %s", c.Title, c.Y)
	points := make(plotter.XYs, len(values))
	above := make([]string, len(values))
	for i, v := range values {
		points[i] = plotter.XY{X: float64(i), Y: v}
		above[i] = fmt.Sprintf("%.2f", v)
		alt += fmt.Sprintf("; %s %.2f", strings.ReplaceAll(labels[i], "\n", " "), v)
	}
	numbers, err := plotter.NewLabels(plotter.XYLabels{XYs: points, Labels: above})
	if err != nil {
		return fail("bar chart: %w", err)
	}
	for i := range numbers.TextStyle {
		numbers.TextStyle[i] = style(textSize, false, ink, text.XCenter, text.YBottom)
	}
	numbers.Offset.Y = vg.Points(2 * density)
	p.Add(numbers)
	p.X.Min, p.X.Max = -0.5, float64(len(values))-0.5
	p.Y.Min = min(0, slices.Min(values))
	p.Y.Max = max(0, slices.Max(values)) + 0.08*(max(0, slices.Max(values))-p.Y.Min) // room for the number above
	return c.draw(p, alt)
}

// BarGroups draws a group of bars for each label: one of each series, whose Y are its values, with the values above them.
func BarGroups(c Chart, labels []string, series ...Series) Figure {
	if len(labels) == 0 || len(series) == 0 {
		return fail("chart %q has %d labels and %d series of bars", c.Title, len(labels), len(series))
	}
	p, err := c.plot()
	if err != nil {
		return Figure{err: err}
	}
	alt := fmt.Sprintf("Bar chart: %s, %s", c.Title, c.Y)
	wide := vg.Points(0.7 * float64(c.width()) / float64(len(labels)*len(series)) * density)
	low, high := 0.0, 0.0
	for i, s := range series {
		if len(s.Y) != len(labels) {
			return fail("chart %q: series %q has %d values for %d labels", c.Title, s.Name, len(s.Y), len(labels))
		}
		bars, err := plotter.NewBarChart(plotter.Values(s.Y), wide)
		if err != nil {
			return fail("chart %q: %w", c.Title, err)
		}
		bars.Color = palette[i%len(palette)]
		bars.LineStyle.Width = 0
		bars.Offset = wide * vg.Length(float64(i)-float64(len(series)-1)/2)
		p.Add(bars)
		addLegend(p, s.Name, bars)
		alt += "; " + s.Name + ":"
		points, above := make(plotter.XYs, len(labels)), make([]string, len(labels))
		for k, v := range s.Y {
			points[k], above[k] = plotter.XY{X: float64(k), Y: v}, fmt.Sprintf("%.3g", v)
			low, high = min(low, v), max(high, v)
			if k > 0 {
				alt += ","
			}
			alt += fmt.Sprintf(" %s %.3g", strings.ReplaceAll(labels[k], "\n", " "), v)
		}
		numbers, err := plotter.NewLabels(plotter.XYLabels{XYs: points, Labels: above})
		if err != nil {
			return fail("chart %q: %w", c.Title, err)
		}
		for k := range numbers.TextStyle {
			numbers.TextStyle[k] = style(textSize-1, false, ink, text.XCenter, text.YBottom)
		}
		numbers.Offset = vg.Point{X: bars.Offset, Y: vg.Points(2 * density)}
		p.Add(numbers)
	}
	p.NominalX(labels...)
	p.X.Tick.Label.XAlign = text.XCenter
	p.X.Min, p.X.Max = -0.5, float64(len(labels))-0.5
	p.Y.Min, p.Y.Max = low, high+(0.1+0.08*float64(len(series)))*(high-low) // room for the numbers and the legend
	return c.draw(p, alt)
}

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
		return Figure{err: err}
	}
	alt := fmt.Sprintf("Bubble chart: %s, %s over %s", c.Title, c.Y, c.X)
	largest := 0.0
	points, names := make(plotter.XYs, len(bubbles)), make([]string, len(bubbles))
	for i, b := range bubbles {
		if !(b.Size > 0) {
			return fail("chart %q: bubble %s has the size %v", c.Title, b.Name, b.Size)
		}
		largest = max(largest, b.Size)
		points[i] = plotter.XY{X: b.X, Y: b.Y}
		names[i] = fmt.Sprintf("%s, %.4g %s", b.Name, b.Size, unit)
		alt += fmt.Sprintf("; %s at %.4g and %.4g", names[i], b.X, b.Y)
	}
	discs, err := plotter.NewScatter(points)
	if err != nil {
		return fail("chart %q: %w", c.Title, err)
	}
	radius := func(i int) vg.Length { return vg.Points(18 * density * math.Sqrt(bubbles[i].Size/largest)) }
	discs.GlyphStyleFunc = func(i int) draw.GlyphStyle {
		shade := palette[i%len(palette)]
		shade.R, shade.G, shade.B, shade.A = shade.R/4*3, shade.G/4*3, shade.B/4*3, 0xc0 // lets others shine through
		return draw.GlyphStyle{Color: shade, Radius: radius(i), Shape: draw.CircleGlyph{}}
	}
	p.Add(discs)
	width, height := max(p.X.Max-p.X.Min, 1e-9), max(p.Y.Max-p.Y.Min, 1e-9)
	p.X.Min, p.X.Max = p.X.Min-0.06*width, p.X.Max+0.3*width // room for the discs and the last name
	p.Y.Min, p.Y.Max = p.Y.Min-0.15*height, p.Y.Max+0.15*height

	// Names from the top down; one that would lie on a name above it goes lower.
	order := make([]int, len(bubbles))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(bubbles[b].Y, bubbles[a].Y) })
	scale := 0.8 * float64(c.height()) * density / (p.Y.Max - p.Y.Min) // pixels for 1, about
	lowest := math.Inf(1)
	for _, i := range order {
		label, err := plotter.NewLabels(plotter.XYLabels{XYs: points[i : i+1], Labels: names[i : i+1]})
		if err != nil {
			return fail("chart %q: %w", c.Title, err)
		}
		label.TextStyle[0] = style(textSize-1, false, ink, text.XLeft, text.YCenter)
		at := min(bubbles[i].Y*scale, lowest-float64(lineHeight(textSize-1)))
		lowest = at
		label.Offset = vg.Point{X: radius(i) + vg.Points(3*density), Y: vg.Length(at - bubbles[i].Y*scale)}
		p.Add(label)
	}
	return c.draw(p, alt)
}

// plot is an empty gonum plot in the book's style.
func (c Chart) plot() (*plot.Plot, error) {
	if c.X == "" && c.Y == "" {
		return nil, fmt.Errorf("chart %q has no axis names", c.Title)
	}
	p := plot.New()
	p.Title.Text = c.Title
	p.Title.TextStyle = style(textSize+1, true, ink, text.XCenter, text.YTop)
	p.Title.Padding = vg.Points(6 * density)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle = style(textSize, false, ink, text.XCenter, text.YBottom)
		axis.Label.Padding = vg.Points(4 * density)
		axis.LineStyle = draw.LineStyle{Color: ink, Width: vg.Points(density)}
		axis.Tick.LineStyle = axis.LineStyle
		axis.Tick.Length = vg.Points(4 * density)
		axis.Padding = vg.Points(4 * density)
	}
	p.X.Tick.Label = style(textSize-1, false, ink, text.XCenter, text.YTop)
	p.Y.Tick.Label = style(textSize-1, false, ink, text.XRight, text.YCenter)
	p.X.Label.Text, p.Y.Label.Text = c.X, c.Y
	p.TextHandler = text.Plain{Fonts: fonts}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(ticks), plot.TickerFunc(ticks)
	grid := plotter.NewGrid()
	light := draw.LineStyle{Color: color.RGBA{0xe4, 0xe4, 0xe4, 0xff}, Width: vg.Points(density)}
	grid.Horizontal, grid.Vertical = light, draw.LineStyle{Color: color.Transparent}
	p.Add(grid)
	p.Legend.TextStyle = style(textSize, false, ink, text.XLeft, text.YBottom)
	p.Legend.YPosition = draw.PosCenter
	p.Legend.Top = true
	p.Legend.ThumbnailWidth = vg.Points(18 * density)
	p.Legend.Padding = vg.Points(3 * density)
	p.Legend.XOffs = -vg.Points(4 * density)
	return p, nil
}

// addLegend adds an entry to the legend, on a veil that keeps the lines of the grid from running through its text.
func addLegend(p *plot.Plot, name string, thumb plot.Thumbnailer) {
	p.Legend.Add(name, veil{&p.Legend, name}, thumb)
}

// veil is drawn behind an entry of the legend. What it covers of the data can still be seen.
type veil struct {
	legend *plot.Legend
	text   string
}

// Thumbnail is plot.Thumbnailer's.
func (v veil) Thumbnail(c *draw.Canvas) {
	r := c.Rectangle
	width := v.legend.TextStyle.Rectangle(" " + v.text + " ").Max.X
	if v.legend.Left {
		r.Max.X += width
	} else {
		r.Min.X -= width
	}
	r.Min.Y -= v.legend.Padding / 2
	r.Max.Y += v.legend.Padding / 2
	c.SetColor(color.NRGBA{0xff, 0xff, 0xff, 0xd0})
	c.Fill(r.Path())
}

// ticks are five or so round numbers.
func ticks(low, high float64) (marks []plot.Tick) {
	if !(high > low) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, factor := range []float64{5, 2} {
		if (high-low)/(factor*step) >= 4 {
			step *= factor
			break
		}
	}
	digits := max(0, int(-math.Floor(math.Log10(step))))
	for i := math.Ceil(low / step); i*step <= high+step/1000; i++ {
		marks = append(marks, plot.Tick{Value: i * step, Label: strconv.FormatFloat(i*step+0, 'f', digits, 64)}) // + 0: not -0
	}
	return marks
}

func (c Chart) width() int {
	if c.Width == 0 {
		return 600
	}
	return c.Width
}

func (c Chart) height() int {
	if c.Height == 0 {
		return 320
	}
	return c.Height
}

func (c Chart) draw(p *plot.Plot, alt string) Figure {
	sheet := newSheet(c.width()*density, c.height()*density)
	p.Draw(draw.Crop(sheet.canvas, margin, -margin, margin, -margin))
	return Figure{Alt: alt, picture: sheet.RGBA}
}

// Confusion draws counts of right classes, by row, against given ones, by column: the darker, the larger the part of
// its row. The diagonal is what was right.
func Confusion(title string, counts [][]int, classes []string) Figure {
	n := len(classes)
	if n == 0 || len(counts) != n {
		return fail("a confusion matrix of %d classes has %d rows", n, len(counts))
	}
	label := style(textSize, false, ink, text.XCenter, text.YTop)
	widest := 0
	for _, class := range classes {
		widest = max(widest, width(class, label))
	}
	const size = textSize - 1
	cell := max(34*density, widest+gap)
	left := margin + lineHeight(textSize) + gap + widest + gap
	top := margin + lineHeight(textSize) + gap + lineHeight(textSize) + lineHeight(textSize) + gap/2
	sheet := newSheet(left+n*cell+margin, top+n*cell+margin)
	middle := left + n*cell/2
	sheet.write([]string{title}, sheet.Bounds().Dx()/2, margin, textSize, true, ink)
	sheet.write([]string{"given by the network"}, middle, margin+lineHeight(textSize)+gap, textSize, false, ink)
	right := 0
	total := 0
	for row := range counts {
		if len(counts[row]) != n {
			return fail("row %d of a confusion matrix of %d classes has %d columns", row, n, len(counts[row]))
		}
		sum := 0
		for _, count := range counts[row] {
			sum += count
		}
		right += counts[row][row]
		total += sum
		y := top + row*cell
		sheet.write([]string{classes[row]}, left-gap-widest/2, y+(cell-lineHeight(textSize))/2, textSize, false, ink)
		sheet.write([]string{classes[row]}, left+row*cell+cell/2, top-lineHeight(textSize)-gap/2, textSize, false, ink)
		for column, count := range counts[row] {
			part := 0.0
			if sum > 0 {
				part = float64(count) / float64(sum)
			}
			shade, on := shade(part, row == column)
			sheet.fill(left+column*cell, y, cell, shade)
			sheet.write([]string{fmt.Sprint(count)}, left+column*cell+cell/2, y+(cell-lineHeight(size))/2, size, false, on)
		}
	}
	sheet.writeUp("right class", margin, top+n*cell/2)
	return Figure{
		Alt:     fmt.Sprintf("Confusion matrix: %s; %d of %d right, on the diagonal", title, right, total),
		picture: sheet.RGBA,
	}
}

// shade is the colour of a cell that holds a part of its row, blue where right and orange where wrong, and that of
// text on it. Small parts are lifted so that one mistake in a thousand can be seen.
func shade(part float64, right bool) (cell, on color.RGBA) {
	strong := palette[1]
	if right {
		strong = palette[0]
	}
	weight := math.Sqrt(part)
	mix := func(c uint8) uint8 { return uint8(math.Round(255 + weight*(float64(c)-255))) }
	cell = color.RGBA{mix(strong.R), mix(strong.G), mix(strong.B), 0xff}
	if weight > 0.6 {
		return cell, color.RGBA{0xff, 0xff, 0xff, 0xff}
	}
	return cell, ink
}
