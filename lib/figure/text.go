package figure

import (
	"image/color"
	"math"
	"strings"

	stdfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

var fonts = font.NewCache(liberation.Collection())

// style is how text looks; its size is in screen pixels.
func style(size float64, bold bool, ink color.Color, x text.XAlignment, y text.YAlignment) text.Style {
	sans := font.Font{Typeface: "Liberation", Variant: "Sans", Size: points(size)}
	if bold {
		sans.Weight = stdfont.WeightBold
	}
	return text.Style{Color: ink, Font: sans, XAlign: x, YAlign: y, Handler: letters{text.Plain{Fonts: fonts}}}
}

// small is text from the left, without emphasis.
func small(size float64) text.Style { return style(size, false, ink, text.XLeft, text.YTop) }

// width is how many of the picture's pixels the text takes.
func width(s string, style text.Style) int { return int(style.Width(s).Points()) + 1 }

// widest is the width of the widest of some texts.
func widest(all []string, style text.Style) (most int) {
	for _, s := range all {
		most = max(most, width(s, style))
	}
	return most
}

// lineHeight is the height of a line of text in the picture's pixels.
func lineHeight(size float64) int { return int(1.35 * size * density) }

// write puts lines of text on the sheet, x being the middle of the lines and y the top of the first.
func (s sheet) write(lines []string, middle, top int, size float64, bold bool, ink color.Color) {
	for i, line := range lines {
		y := s.Bounds().Dy() - top - i*lineHeight(size) // gonum counts from the bottom
		at := vg.Point{X: vg.Length(middle), Y: vg.Length(y)}
		s.canvas.FillText(style(size, bold, ink, text.XCenter, text.YTop), at, line)
	}
}

// writeLeft writes a line of text from x on.
func (s sheet) writeLeft(line string, x, top int, size float64) {
	s.canvas.FillText(small(size), vg.Point{X: vg.Length(x), Y: vg.Length(s.Bounds().Dy() - top)}, line)
}

// writeUp writes a line upwards, x being its left edge and y its middle.
func (s sheet) writeUp(line string, x, middle int, size float64) {
	st := style(size, false, ink, text.XCenter, text.YTop)
	st.Rotation = math.Pi / 2
	s.canvas.FillText(st, vg.Point{X: vg.Length(x), Y: vg.Length(s.Bounds().Dy() - middle)}, line)
}

// wrap breaks the text into lines of at most the given width, in the picture's pixels: at spaces, and within what is
// too long without one.
func wrap(s string, size float64, bold bool, most int) []string {
	st := style(size, bold, ink, text.XCenter, text.YTop)
	var lines []string
	for paragraph := range strings.SplitSeq(s, "\n") {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			longer := strings.TrimSpace(line + " " + word)
			if line != "" && width(longer, st) > most {
				lines = append(lines, line)
				longer = word
			}
			line = longer
			for width(line, st) > most {
				n := fitting(line, st, most)
				if n == len(line) { // a single letter
					break
				}
				lines, line = append(lines, line[:n]), line[n:]
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// fitting is how many bytes of a line fit into a width: those of one letter at least.
func fitting(line string, st text.Style, most int) int {
	end := 0
	for i := range line {
		if end > 0 && width(line[:i], st) > most {
			return end
		}
		end = i
	}
	if end == 0 || width(line, st) <= most {
		return len(line)
	}
	return end
}
