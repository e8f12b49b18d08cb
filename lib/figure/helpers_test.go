package figure

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"example.org/convbook/lib/array"
)

// matrix is an array of rows of the given width.
func matrix(width int, values ...float32) array.Array {
	return array.New(values, len(values)/width, width)
}

// content is the figure's file and the picture in it.
func content(t *testing.T, f Figure) ([]byte, image.Image) {
	t.Helper()
	b, err := f.PNG()
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return b, picture
}

// at is the colour of a pixel.
func at(picture image.Image, x, y int) color.RGBA {
	return color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)
}

// count is how many pixels have a colour.
func count(picture image.Image, c color.RGBA) (n int) {
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if at(picture, x, y) == c {
				n++
			}
		}
	}
	return n
}

// bowl is round: its lines of equal height are circles.
func bowl() Surface {
	return NewSurface(-3, 3, -3, 3, 41, func(x, y float64) float64 { return x*x + y*y })
}
