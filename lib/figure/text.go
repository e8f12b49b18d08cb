package figure

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

var fonts = font.NewCache(liberation.Collection())

func style(size float64, bold bool, ink color.Color, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{Color: ink, Font: sans(size, bold), XAlign: x, YAlign: y, Handler: text.Plain{Fonts: fonts}}
}

// width is how many of the picture's pixels the text takes.
func width(s string, style text.Style) int { return int(style.Width(s).Points()) + 1 }

// lineHeight is the height of a line of text in the picture's pixels.
func lineHeight(size float64) int { return int(1.35 * size * density) }

// write puts lines of text on the sheet, x being the middle of the lines and y the top of the first.
func (s sheet) write(lines []string, middle, top int, size float64, bold bool, ink color.Color) {
	for i, line := range lines {
		y := s.Bounds().Dy() - top - i*lineHeight(size) // gonum counts from the bottom
		s.canvas.FillText(style(size, bold, ink, text.XCenter, text.YTop), vg.Point{X: vg.Length(middle), Y: vg.Length(y)}, line)
	}
}

// writeUp writes a line upwards, x being its left edge and y its middle.
func (s sheet) writeUp(line string, x, middle int) {
	st := style(textSize, false, ink, text.XCenter, text.YTop)
	st.Rotation = math.Pi / 2
	s.canvas.FillText(st, vg.Point{X: vg.Length(x), Y: vg.Length(s.Bounds().Dy() - middle)}, line)
}

// fill paints a square, leaving a thin line around it.
func (s sheet) fill(x, y, side int, c color.Color) {
	square := image.Rect(x, y, x+side-density, y+side-density)
	draw.Draw(s.RGBA, square, image.NewUniform(c), image.Point{}, draw.Src)
}

// wrap breaks the text at spaces into lines of at most the given width, in the picture's pixels.
func wrap(s string, size float64, bold bool, most int) []string {
	st := style(size, bold, ink, text.XCenter, text.YTop)
	var lines []string
	for _, paragraph := range strings.Split(s, "\n") {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			longer := strings.TrimSpace(line + " " + word)
			if line != "" && width(longer, st) > most {
				lines = append(lines, line)
				longer = word
			}
			line = longer
		}
		lines = append(lines, line)
	}
	return lines
}
