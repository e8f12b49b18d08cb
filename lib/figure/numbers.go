package figure

import (
	"fmt"
	"image"
	"image/color"
	"math"
)

// Table is an array of numbers to be read one by one.
type Table struct {
	Title  string
	Values []float32       // row by row
	Width  int             // numbers in a row
	Frame  image.Rectangle // cells to draw a frame around, as columns and rows; none if empty
}

// Numbers draws each number in a cell of its own: the redder, the farther above 0, the bluer, the farther below.
func Numbers(t Table) Figure {
	if t.Width < 1 || len(t.Values) == 0 || len(t.Values)%t.Width != 0 {
		return fail("table %q has %d values: they do not make rows of %d", t.Title, len(t.Values), t.Width)
	}
	height := len(t.Values) / t.Width
	if !t.Frame.In(image.Rect(0, 0, t.Width, height)) {
		return fail("table %q of %d × %d has no cells %v", t.Title, t.Width, height, t.Frame)
	}
	numbers := make([]string, len(t.Values))
	widest, most := 0, 0.0
	font := style(textSize, false, ink, 0, 0)
	for i, v := range t.Values {
		numbers[i] = fmt.Sprintf("%.3g", v+0) // + 0: not -0
		widest = max(widest, width(numbers[i], font))
		most = max(most, math.Abs(float64(v)))
	}
	cell := max(30*density, widest+gap)
	const narrowest = 150 * density // room for a title
	whole := max(t.Width*cell, narrowest) + 2*margin
	title := wrap(t.Title, textSize, true, whole-2*margin)
	head := margin + len(title)*lineHeight(textSize) + gap/2
	left := (whole - t.Width*cell) / 2
	sheet := newSheet(whole, head+height*cell+margin)
	sheet.write(title, whole/2, margin, textSize, true, ink)
	for i, number := range numbers {
		x, y := left+i%t.Width*cell, head+i/t.Width*cell
		sheet.rectangle(image.Rect(x, y, x+cell, y+cell), wire)
		sheet.fill(x+density/2, y+density/2, cell, tint(float64(t.Values[i]), most))
		sheet.write([]string{number}, x+cell/2, y+(cell-lineHeight(textSize))/2, textSize, false, ink)
	}
	if !t.Frame.Empty() {
		f := t.Frame
		sheet.frame(image.Rect(left+f.Min.X*cell, head+f.Min.Y*cell, left+f.Max.X*cell, head+f.Max.Y*cell))
	}
	return Figure{
		Alt:     fmt.Sprintf("Table of %d × %d numbers: %s", height, t.Width, t.Title),
		picture: sheet.RGBA,
	}
}

// tint is a light colour for a number: red above 0, blue below, the stronger, the nearer it is to the most.
func tint(v, most float64) color.RGBA {
	if most == 0 {
		most = 1
	}
	fade := uint8(math.Round(255 - 110*math.Abs(v)/most))
	if v < 0 {
		return color.RGBA{fade, fade, 0xff, 0xff}
	}
	return color.RGBA{0xff, fade, fade, 0xff}
}

// frame draws the inner edge of a rectangle, in a colour and a line of white inside, to be seen on any picture.
func (s sheet) frame(r image.Rectangle) {
	edge := func(r image.Rectangle, thick int, c color.RGBA) {
		for _, side := range []image.Rectangle{
			{r.Min, image.Pt(r.Max.X, r.Min.Y+thick)}, {image.Pt(r.Min.X, r.Max.Y-thick), r.Max},
			{r.Min, image.Pt(r.Min.X+thick, r.Max.Y)}, {image.Pt(r.Max.X-thick, r.Min.Y), r.Max},
		} {
			s.rectangle(side.Intersect(r), c)
		}
	}
	edge(r, 3*density, color.RGBA{0xff, 0xff, 0xff, 0xff})
	edge(r, 2*density, framing)
}

// framing is the colour of frames.
var framing = palette[1]
