// Package figure draws the book's pictures and charts.
//
// Every function that draws returns a [Figure], a picture with a description in words (its alternative text). What
// cannot be drawn is a Figure, too, with its error inside; whoever shows it reports the error. The same input gives the
// same pixels. What is drawn comes in as numbers and images: the package knows nothing of networks or notebooks.
package figure

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
)

// Figure is a picture, or an error that says why there is none.
type Figure struct {
	Alt     string // what there is to see, in words
	picture *image.RGBA
	err     error
}

// Failed is a figure that could not be drawn.
func Failed(err error) Figure { return Figure{err: err} }

func fail(format string, args ...any) Figure { return Failed(fmt.Errorf(format, args...)) }

// Err says why the figure could not be drawn; it is nil if it was.
func (f Figure) Err() error {
	if f.err == nil && f.picture == nil {
		return errors.New("a figure is empty: nothing was drawn")
	}
	return f.err
}

// Size is what the figure takes on an ordinary screen, in pixels.
func (f Figure) Size() image.Point {
	if f.picture == nil {
		return image.Point{}
	}
	return f.picture.Bounds().Size().Div(density)
}

// PNG returns the figure as a PNG file's content, with twice as many pixels either way as its [Figure.Size].
func (f Figure) PNG() ([]byte, error) {
	if err := f.Err(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, f.picture); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Row puts figures side by side, their upper edges level.
func Row(figures ...Figure) Figure {
	if len(figures) == 0 {
		return fail("a row of figures needs at least one")
	}
	var size image.Point
	var row Figure
	for i, f := range figures {
		if err := f.Err(); err != nil {
			return Failed(err)
		}
		if i > 0 {
			size.X += gap
			row.Alt += "; beside it: "
		}
		row.Alt += f.Alt
		size.X += f.picture.Bounds().Dx()
		size.Y = max(size.Y, f.picture.Bounds().Dy())
	}
	row.picture = newSheet(size.X, size.Y).RGBA
	x := 0
	for _, f := range figures {
		draw.Draw(row.picture, f.picture.Bounds().Add(image.Pt(x, 0)), f.picture, image.Point{}, draw.Src)
		x += f.picture.Bounds().Dx() + gap
	}
	return row
}
