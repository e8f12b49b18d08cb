package figure

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"
	"strings"
)

// Pictures is a grid of small pictures.
type Pictures struct {
	Title    string
	Images   []image.Image
	Captions []string          // below each picture, or those of the first row only, one or more lines; none if empty
	Columns  int               // pictures in a row; all of them if 0
	Width    int               // of the whole grid in screen pixels; 600 if 0
	Frames   []image.Rectangle // one on each picture, in its pixels: what lies inside is framed; none if empty
	About    string            // what the pictures are, for the description in words; the title and the captions if empty
}

// Grid draws small pictures in rows, enlarged without smoothing, so that each of their pixels is a square.
func Grid(p Pictures) Figure {
	if len(p.Images) == 0 {
		return fail("a grid needs at least one picture")
	}
	if p.Columns <= 0 {
		p.Columns = len(p.Images)
	}
	columns := min(p.Columns, len(p.Images))
	if n := len(p.Captions); n != 0 && n != columns && n != len(p.Images) {
		return fail("a grid of %d pictures has %d captions", len(p.Images), n)
	}
	if n := len(p.Frames); n != 0 && n != len(p.Images) {
		return fail("a grid of %d pictures has %d frames", len(p.Images), n)
	}
	if p.Width == 0 {
		p.Width = 600
	}
	var largest image.Point
	for _, picture := range p.Images {
		largest.X = max(largest.X, picture.Bounds().Dx())
		largest.Y = max(largest.Y, picture.Bounds().Dy())
	}
	if largest.X < 1 || largest.Y < 1 {
		return fail("a grid's pictures have no pixels")
	}
	room := (p.Width*density - 2*margin - (columns-1)*gap) / columns
	factor := max(1, room/largest.X)
	cell := largest.Mul(factor)

	const captionSize = 11
	captions := make([][]string, len(p.Images))
	captionLines := 0
	for i := range p.Captions {
		captions[i] = wrap(p.Captions[i], captionSize, false, cell.X+gap)
		captionLines = max(captionLines, len(captions[i]))
	}
	captionHeight := captionLines * lineHeight(captionSize)
	whole := 2*margin + columns*cell.X + (columns-1)*gap
	var title []string
	if p.Title != "" {
		title = wrap(p.Title, textSize, true, whole-2*margin)
	}
	titleHeight := len(title) * lineHeight(textSize)
	if titleHeight > 0 {
		titleHeight += gap
	}
	rows := (len(p.Images) + columns - 1) / columns
	captioned := (len(p.Captions) + columns - 1) / columns // rows that have captions
	sheet := newSheet(whole, 2*margin+titleHeight+rows*cell.Y+captioned*captionHeight+(rows-1)*gap)
	sheet.write(title, whole/2, margin, textSize, true, ink)
	for i, small := range p.Images {
		x := margin + (i%columns)*(cell.X+gap)
		row := i / columns
		y := margin + titleHeight + row*(cell.Y+gap) + min(row, captioned)*captionHeight
		enlarge(sheet.RGBA, image.Pt(x, y), small, factor)
		if len(p.Frames) > 0 && !p.Frames[i].Empty() {
			inside := p.Frames[i].Intersect(small.Bounds()).Sub(small.Bounds().Min)
			sheet.frame(image.Rectangle{inside.Min.Mul(factor), inside.Max.Mul(factor)}.Add(image.Pt(x, y)))
		}
		sheet.write(captions[i], x+cell.X/2, y+cell.Y+density, captionSize, false, ink)
	}
	alt := p.About
	if alt == "" {
		alt = fmt.Sprintf("%d pictures", len(p.Images))
		if p.Title != "" {
			alt += ": " + p.Title
		}
		if len(p.Captions) > 0 {
			alt += " (" + strings.ReplaceAll(strings.Join(p.Captions, ", "), "\n", " ") + ")"
		}
	}
	return Figure{Alt: alt, picture: sheet.RGBA}
}

// enlarge draws each pixel of the small picture as a square of factor × factor.
func enlarge(onto *image.RGBA, at image.Point, small image.Image, factor int) {
	b := small.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			corner := at.Add(image.Pt((x-b.Min.X)*factor, (y-b.Min.Y)*factor))
			square := image.Rectangle{corner, corner.Add(image.Pt(factor, factor))}
			draw.Draw(onto, square, image.NewUniform(small.At(x, y)), image.Point{}, draw.Over)
		}
	}
}

// Gray makes a picture of numbers, row by row: the smallest black, the largest white.
func Gray(values []float32, width int) image.Image {
	height := len(values) / width
	picture := image.NewGray(image.Rect(0, 0, width, height))
	low, high := slices.Min(values), slices.Max(values)
	for i := range picture.Pix {
		if high > low {
			picture.Pix[i] = uint8(math.Round(255 * float64((values[i]-low)/(high-low))))
		}
	}
	return picture
}

// Signed makes a picture of numbers, row by row: blue below 0, white at 0, red above, the strongest colour at the
// number that is farthest from 0.
func Signed(values []float32, width int) image.Image {
	height := len(values) / width
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	var most float64
	for _, v := range values {
		most = max(most, math.Abs(float64(v)))
	}
	for i := range width * height {
		part := 0.0
		if most > 0 {
			part = float64(values[i]) / most
		}
		fade := uint8(math.Round(255 * (1 - math.Abs(part))))
		c := color.RGBA{0xff, fade, fade, 0xff}
		if part < 0 {
			c = color.RGBA{fade, fade, 0xff, 0xff}
		}
		picture.SetRGBA(i%width, i/width, c)
	}
	return picture
}

// Color makes a picture of numbers [height, width, 3], row by row: red, green and blue, each from 0 for the smallest of
// all numbers to full for the largest.
func Color(values []float32, width int) image.Image {
	height := len(values) / 3 / width
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	low, high := slices.Min(values), slices.Max(values)
	for i := range 3 * width * height {
		if high > low {
			picture.Pix[i/3*4+i%3] = uint8(math.Round(255 * float64((values[i]-low)/(high-low))))
		}
		picture.Pix[i/3*4+3] = 255
	}
	return picture
}

// Channel picks channel c of an array [height, width, channels] as a slice of height × width numbers.
func Channel(values []float32, channels, c int) []float32 {
	var picked []float32
	for i := c; i < len(values); i += channels {
		picked = append(picked, values[i])
	}
	return picked
}
