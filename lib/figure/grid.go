package figure

import (
	"fmt"
	"image"
	"strings"

	"golang.org/x/image/draw"
)

// Pictures is what stands in a [Grid].
type Pictures struct {
	Title    string
	Images   []image.Image
	Captions []string          // below each picture, or those of the first row only, one or more lines; none if empty
	Columns  int               // pictures in a row; all of them if 0
	Width    int               // of the whole grid in screen pixels; 600 if 0
	Frames   []image.Rectangle // one on each picture, in its pixels: what lies inside is framed; none if empty
	SameSize bool              // smaller pictures are enlarged more, up to the largest
	About    string            // the description in words; title and captions if empty
}

// Grid draws small pictures in rows, enlarged without smoothing: each of their pixels is a square.
func Grid(p Pictures) Figure {
	if p.Columns <= 0 || p.Columns > len(p.Images) {
		p.Columns = len(p.Images)
	}
	if p.Width == 0 {
		p.Width = 600
	}
	if err := p.check(); err != nil {
		return Failed(err)
	}
	var largest image.Point
	for _, picture := range p.Images {
		largest.X = max(largest.X, picture.Bounds().Dx())
		largest.Y = max(largest.Y, picture.Bounds().Dy())
	}
	factor := max(1, (p.Width*density-2*margin-(p.Columns-1)*gap)/p.Columns/largest.X)
	cell := largest.Mul(factor)

	const captionSize = 11
	captions := make([][]string, len(p.Images))
	lines := 0 // of the longest caption
	for i := range p.Captions {
		captions[i] = wrap(p.Captions[i], captionSize, false, cell.X+gap)
		lines = max(lines, len(captions[i]))
	}
	whole := 2*margin + p.Columns*cell.X + (p.Columns-1)*gap
	top := margin
	var title []string
	if p.Title != "" {
		title = wrap(p.Title, textSize, true, whole-2*margin)
		top += len(title)*lineHeight(textSize) + gap
	}
	rows := func(n int) int { return (n + p.Columns - 1) / p.Columns }
	captioned := rows(len(p.Captions)) // rows that have captions
	height := top + rows(len(p.Images))*(cell.Y+gap) - gap + captioned*lines*lineHeight(captionSize) + margin
	if err := checkSize(whole, height); err != nil {
		return fail("a grid of %d pictures: %w", len(p.Images), err)
	}
	sheet := newSheet(whole, height)
	sheet.write(title, whole/2, margin, textSize, true, ink)
	for i := range p.Images {
		row, column := i/p.Columns, i%p.Columns
		x := margin + column*(cell.X+gap)
		y := top + row*(cell.Y+gap) + min(row, captioned)*lines*lineHeight(captionSize)
		p.place(sheet, i, image.Pt(x, y), cell, factor)
		sheet.write(captions[i], x+cell.X/2, y+cell.Y+density, captionSize, false, ink)
	}
	return Figure{Alt: p.describe(), picture: sheet.RGBA}
}

// check says what is wrong with the pictures.
func (p Pictures) check() error {
	if len(p.Images) == 0 {
		return fmt.Errorf("a grid needs at least one picture")
	}
	if n := len(p.Captions); n != 0 && n != p.Columns && n != len(p.Images) {
		return fmt.Errorf("a grid of %d pictures has %d captions", len(p.Images), n)
	}
	if n := len(p.Frames); n != 0 && n != len(p.Images) {
		return fmt.Errorf("a grid of %d pictures has %d frames", len(p.Images), n)
	}
	for i, picture := range p.Images {
		if b, ok := picture.(broken); ok {
			return fmt.Errorf("picture %d of a grid: %w", i, b.err)
		}
		if picture == nil || picture.Bounds().Empty() {
			return fmt.Errorf("picture %d of a grid has no pixels", i)
		}
	}
	return nil
}

// place draws picture i, each of its pixels as a square, and its frame.
func (p Pictures) place(s sheet, i int, at, cell image.Point, factor int) {
	picture := p.Images[i]
	b := picture.Bounds()
	if p.SameSize {
		factor = min(cell.X/b.Dx(), cell.Y/b.Dy())
	}
	onto := image.Rectangle{Max: b.Size().Mul(factor)}.Add(at)
	draw.NearestNeighbor.Scale(s.RGBA, onto, picture, b, draw.Over, nil)
	if len(p.Frames) > 0 && !p.Frames[i].Empty() {
		inside := p.Frames[i].Intersect(b).Sub(b.Min)
		s.frame(image.Rectangle{inside.Min.Mul(factor), inside.Max.Mul(factor)}.Add(at))
	}
}

// describe puts the pictures into words.
func (p Pictures) describe() string {
	if p.About != "" {
		return p.About
	}
	alt := fmt.Sprintf("%d pictures", len(p.Images))
	if len(p.Images) == 1 {
		alt = "1 picture"
	}
	if p.Title != "" {
		alt += ": " + p.Title
	}
	if len(p.Captions) > 0 {
		alt += " (" + strings.ReplaceAll(strings.Join(p.Captions, ", "), "\n", " ") + ")"
	}
	return alt
}
