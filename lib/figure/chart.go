package figure

import (
	"fmt"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg/draw"
)

// Chart is the words around a chart.
type Chart struct {
	Title  string
	X, Y   string  // the axes' names, with units
	Width  int     // in screen pixels; 600 if 0
	Height int     // in screen pixels; 320 if 0
	XEnd   float64 // of lines: how far the x-axis goes at least
	YEnd   float64 // likewise the y-axis, from 0; charts that are compared have the same
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

// Screen pixels that the names and numbers of the axes take away from the data, about.
const (
	besideData = 70
	belowData  = 80 // with the title
)

// plot is an empty gonum plot in the book's style.
func (c Chart) plot() (*plot.Plot, error) {
	if c.X == "" || c.Y == "" {
		return nil, fmt.Errorf("chart %q has no name for each axis: set X and Y", c.Title)
	}
	if err := checkSize(c.width()*density, c.height()*density); err != nil {
		return nil, fmt.Errorf("chart %q: %w", c.Title, err)
	}
	title := wrap(c.Title, textSize+1, true, (c.width()-2*margin/density)*density)
	if len(title)*lineHeight(textSize+1) > c.height()*density/2 {
		return nil, fmt.Errorf("chart %.40q… has a title of %d lines, which leaves no room for it: shorten it", c.Title, len(title))
	}
	p := plot.New()
	p.TextHandler = style(textSize, false, ink, text.XCenter, text.YTop).Handler
	p.Title.Text = strings.Join(title, "\n")
	p.Title.TextStyle = style(textSize+1, true, ink, text.XCenter, text.YTop)
	p.Title.Padding = points(6)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle = style(textSize, false, ink, text.XCenter, text.YBottom)
		axis.Label.Padding = points(4)
		axis.LineStyle = draw.LineStyle{Color: ink, Width: points(1)}
		axis.Tick.LineStyle = axis.LineStyle
		axis.Tick.Length = points(4)
		axis.Padding = points(4)
	}
	p.X.Label.Text = c.fit(c.X, textSize, false, c.width()-besideData)
	p.Y.Label.Text = c.fit(c.Y, textSize, false, c.height()-belowData)
	p.X.Tick.Label = style(textSize-1, false, ink, text.XCenter, text.YTop)
	p.Y.Tick.Label = style(textSize-1, false, ink, text.XRight, text.YCenter)
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(c.ticksBelow), plot.TickerFunc(ticks)
	grid := plotter.NewGrid()
	grid.Horizontal = draw.LineStyle{Color: color.RGBA{0xe4, 0xe4, 0xe4, 0xff}, Width: points(1)}
	grid.Vertical = draw.LineStyle{Color: color.Transparent}
	p.Add(grid)
	p.Legend.TextStyle = style(textSize, false, ink, text.XLeft, text.YBottom)
	p.Legend.YPosition = draw.PosCenter
	p.Legend.Top = true
	p.Legend.ThumbnailWidth = points(18)
	p.Legend.Padding = points(3)
	p.Legend.XOffs = -points(4)
	return p, nil
}

// fit breaks text into lines that are at most so many screen pixels wide.
func (c Chart) fit(s string, size float64, bold bool, most int) string {
	return strings.Join(wrap(s, size, bold, most*density), "\n")
}

func (c Chart) draw(p *plot.Plot, alt string) Figure {
	sheet := newSheet(c.width()*density, c.height()*density)
	p.Draw(draw.Crop(sheet.canvas, margin, -margin, margin, -margin))
	return Figure{Alt: alt, picture: sheet.RGBA}
}

// addLegend adds an entry to the legend, on a veil that keeps the lines of the grid from running through its text.
func (c Chart) addLegend(p *plot.Plot, name string, thumb plot.Thumbnailer) {
	name = c.fit(name, textSize, false, c.width()*6/10)
	p.Legend.Add(name, veil{&p.Legend, name}, thumb)
}

// veil is drawn behind an entry of the legend. What it covers of the data can still be seen.
type veil struct {
	legend *plot.Legend
	text   string
}

// Thumbnail implements [plot.Thumbnailer].
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
	first := math.Ceil(low / step)
	for i := range int(high/step-first+1.001) + 1 { // counted from the first: beside huge numbers, one more is no other
		v := (first+float64(i))*step + 0 // not -0
		if !(v <= high+step/1000) {
			break
		}
		label := strconv.FormatFloat(v, 'f', digits, 64)
		if size := max(-low, high); size >= 1e7 || size < 1e-4 {
			differ := int(math.Ceil(math.Log10(size/step))) + 1 // as many digits as tell one mark from the next
			label = strconv.FormatFloat(v, 'g', max(4, differ), 64)
		}
		marks = append(marks, plot.Tick{Value: v, Label: label})
	}
	return marks
}

// ticksBelow are ticks whose numbers stand side by side: where they would touch, only every second has one, or fewer.
func (c Chart) ticksBelow(low, high float64) []plot.Tick {
	marks := ticks(low, high)
	room := max(1, c.width()-besideData) * density
	taken := 0
	for _, mark := range marks {
		taken = max(taken, width(mark.Label, small(textSize-1))+gap)
	}
	every := max(1, (taken*len(marks)+room-1)/room)
	for i := range marks {
		if i%every != 0 {
			marks[i].Label = ""
		}
	}
	return marks
}
