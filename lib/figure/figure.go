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

// check says why the figure could not be drawn; it is nil if it was.
func (f Figure) check() error {
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
	if err := f.check(); err != nil {
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
	beside := func(size image.Point) image.Point { return image.Pt(size.X+gap, 0) }
	return together("row", "; beside it: ", figures, beside)
}

// Column puts figures one below the other, their left edges level.
func Column(figures ...Figure) Figure {
	below := func(size image.Point) image.Point { return image.Pt(0, size.Y) }
	return together("column", "; below it: ", figures, below)
}

// together puts figures onto one sheet. The next one's corner is as far from a figure's as next says of its size.
func together(what, words string, figures []Figure, next func(image.Point) image.Point) Figure {
	if len(figures) == 0 {
		return fail("a %s of figures needs at least one", what)
	}
	var whole Figure
	var corner image.Point
	var corners []image.Point
	var bounds image.Rectangle
	for i, f := range figures {
		if err := f.check(); err != nil {
			return Failed(err)
		}
		if i > 0 {
			whole.Alt += words
		}
		whole.Alt += f.Alt
		corners = append(corners, corner)
		bounds = bounds.Union(f.picture.Bounds().Add(corner))
		corner = corner.Add(next(f.picture.Bounds().Size()))
	}
	if err := checkSize(bounds.Dx(), bounds.Dy()); err != nil {
		return fail("a %s of %d figures: %w", what, len(figures), err)
	}
	whole.picture = newSheet(bounds.Dx(), bounds.Dy()).RGBA
	for i, f := range figures {
		draw.Draw(whole.picture, f.picture.Bounds().Add(corners[i]), f.picture, image.Point{}, draw.Src)
	}
	return whole
}
