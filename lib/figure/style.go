package figure

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// density is how many pixels of the picture make one pixel on an ordinary screen. With two it is sharp on fine ones.
const density = 2

// Sizes in the picture's pixels, but for that of text.
const (
	margin   = 8 * density
	gap      = 6 * density
	textSize = 12 // in screen pixels
)

var (
	ink     = color.RGBA{0x22, 0x22, 0x22, 0xff}
	wire    = color.RGBA{0x99, 0x99, 0x99, 0xff} // of thin lines around and between boxes
	framing = palette[1]                         // of frames
)

// palette has colours that stay apart for colour-blind readers: Okabe and Ito, "Color Universal Design", 2008.
var palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, // blue
	{0xd5, 0x5e, 0x00, 0xff}, // vermillion
	{0x00, 0x9e, 0x73, 0xff}, // green
	{0xcc, 0x79, 0xa7, 0xff}, // purple
	{0xe6, 0x9f, 0x00, 0xff}, // orange
	{0x56, 0xb4, 0xe9, 0xff}, // sky
}

// points is a length in screen pixels as gonum takes it on a sheet.
func points(pixels float64) vg.Length { return vg.Points(pixels * density) }

// sheet is a white picture to draw on, by its pixels or as a canvas of gonum's, on which a point is a pixel.
type sheet struct {
	*image.RGBA
	canvas vgdraw.Canvas
}

// mostPixels is how many a picture may have. They take 256 MB.
const mostPixels = 1 << 26

// checkSize says before memory is taken whether a picture has room.
func checkSize(width, height int) error {
	if width > mostPixels/max(height, 1) {
		return fmt.Errorf("%d × %d pixels are more than a picture may have: draw less of it", width, height)
	}
	return nil
}

func newSheet(width, height int) sheet {
	canvas := vgimg.NewWith(vgimg.UseImage(image.NewRGBA(image.Rect(0, 0, width, height))), vgimg.UseDPI(72))
	return sheet{canvas.Image().(*image.RGBA), vgdraw.New(canvas)}
}

func (s sheet) rectangle(r image.Rectangle, c color.Color) {
	draw.Draw(s.RGBA, r, image.NewUniform(c), image.Point{}, draw.Src)
}

// fill paints a square, leaving a thin line around it.
func (s sheet) fill(x, y, side int, c color.Color) {
	s.rectangle(image.Rect(x, y, x+side-density, y+side-density), c)
}

// line is a level line, upright one that stands; both a screen pixel wide.
func (s sheet) line(from, to, y int) { s.rectangle(image.Rect(from, y, to, y+density), wire) }

func (s sheet) upright(x, from, to int) {
	s.rectangle(image.Rect(x, from, x+density, to+density), wire)
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
