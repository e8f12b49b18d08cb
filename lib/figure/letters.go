package figure

import (
	"image"
	"math"

	"github.com/hajimehoshi/bitmapfont/v4"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// letters writes text in the book's font and, letter by letter, what that font does not have, such as Chinese, in a
// font of twelve pixels that is small enough to come along. It implements [text.Handler].
type letters struct{ text.Plain }

// bitmapSize is the height of bitmapfont's letters in their own pixels.
const bitmapSize = 12

// piece is a part of a line in one of the two fonts.
type piece struct {
	text   string
	bitmap bool
}

func (l letters) pieces(line string, f font.Font) (all []piece) {
	face := l.Fonts.Lookup(f, f.Size)
	var buffer sfnt.Buffer
	for _, r := range line {
		bitmap := false
		if index, err := face.Face.GlyphIndex(&buffer, r); err != nil || index == 0 {
			_, bitmap = bitmapfont.FaceSC.GlyphAdvance(r)
		}
		if n := len(all); n == 0 || all[n-1].bitmap != bitmap {
			all = append(all, piece{bitmap: bitmap})
		}
		all[len(all)-1].text += string(r)
	}
	return all
}

func (l letters) width(p piece, f font.Font) (whole vg.Length) {
	if !p.bitmap {
		face := l.Fonts.Lookup(f, f.Size)
		return face.Width(p.text)
	}
	for _, r := range p.text {
		advance, _ := bitmapfont.FaceSC.GlyphAdvance(r)
		whole += vg.Length(advance.Round()) * f.Size / bitmapSize
	}
	return whole
}

// Box implements [text.Handler].
func (l letters) Box(line string, f font.Font) (width, height, depth vg.Length) {
	_, height, depth = l.Plain.Box("", f)
	for _, p := range l.pieces(line, f) {
		width += l.width(p, f)
	}
	return width, height, depth
}

// Draw implements [text.Handler] as [text.Plain] does, but piece by piece.
func (l letters) Draw(c vg.Canvas, txt string, sty text.Style, pt vg.Point) {
	c.SetColor(sty.Color)
	c.Push()
	defer c.Pop()
	c.Rotate(sty.Rotation)
	sin, cos := math.Sincos(sty.Rotation)
	pt.X, pt.Y = pt.Y*vg.Length(sin)+pt.X*vg.Length(cos), pt.Y*vg.Length(cos)-pt.X*vg.Length(sin)
	face := l.Fonts.Lookup(sty.Font, sty.Font.Size)
	pt.Y += sty.Height(txt)*vg.Length(sty.YAlign) - face.Extents().Ascent
	lines := l.Lines(txt)
	for i, line := range lines {
		width, _, _ := l.Box(line, sty.Font)
		at := pt.Add(vg.Point{X: vg.Length(sty.XAlign) * width, Y: vg.Length(len(lines)-i) * sty.Font.Size})
		for _, p := range l.pieces(line, sty.Font) {
			if p.bitmap {
				fillBitmap(c, p.text, at, sty.Font.Size/bitmapSize)
			} else {
				c.FillString(face, at, p.text)
			}
			at.X += l.width(p, sty.Font)
		}
	}
}

// fillBitmap draws letters of the bitmap font: a square of the given side for each of their pixels.
func fillBitmap(c vg.Canvas, s string, at vg.Point, side vg.Length) {
	for _, r := range s {
		bounds, mask, corner, advance, ok := bitmapfont.FaceSC.Glyph(fixed.Point26_6{}, r)
		if !ok {
			continue
		}
		var path vg.Path
		for y := range bounds.Dy() {
			for x := range bounds.Dx() {
				if _, _, _, alpha := mask.At(corner.X+x, corner.Y+y).RGBA(); alpha > 0 {
					addSquare(&path, at, bounds.Min.Add(image.Pt(x, y)), side)
				}
			}
		}
		c.Fill(path)
		at.X += vg.Length(advance.Round()) * side
	}
}

// addSquare adds the pixel of a letter that begins on the line at the point.
func addSquare(path *vg.Path, at vg.Point, pixel image.Point, side vg.Length) {
	x, y := at.X+vg.Length(pixel.X)*side, at.Y-vg.Length(pixel.Y+1)*side
	path.Move(vg.Point{X: x, Y: y})
	path.Line(vg.Point{X: x + side, Y: y})
	path.Line(vg.Point{X: x + side, Y: y + side})
	path.Line(vg.Point{X: x, Y: y + side})
	path.Close()
}
