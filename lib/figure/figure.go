// Package figure draws the book's pictures and charts, shows them in notebooks and writes them to files.
//
// A Figure is a picture with a description in words (its alternative text). The same input gives the same bytes. What
// is drawn comes in as plain slices and images: the package knows nothing of networks.
package figure

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
	stdfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"example.org/convbook/lib/must"
)

// Figure is a picture, ready to show or save.
type Figure struct {
	Alt     string // what there is to see, in words
	picture *image.RGBA
	err     error // why it could not be drawn
}

// density is how many pixels of the picture make one pixel on an ordinary screen, so that it is sharp on fine ones.
const density = 2

// Show displays the figure below the cell. Outside of a notebook it prints the description. It ends the cell if the
// figure could not be drawn.
func Show(f Figure) {
	content := must.Get(f.PNG())
	if !gonbui.IsNotebook {
		fmt.Printf("[figure: %s]\n", f.Alt)
		return
	}
	size := f.picture.Bounds().Size().Div(density)
	gonbui.SendData(&protocol.DisplayData{
		Data: map[protocol.MIMEType]any{protocol.MIMEImagePNG: content, protocol.MIMETextPlain: f.Alt},
		Metadata: map[string]any{string(protocol.MIMEImagePNG): map[string]any{
			"width": size.X, "height": size.Y, "alt": f.Alt,
		}},
	})
	gonbui.Sync()
	must.Do(gonbui.Error())
}

func init() { gob.Register(map[string]any{}) } // the metadata's type, for gonbui's pipe

// PNG returns the figure as a PNG file's content, with twice as many pixels either way as it takes on an ordinary
// screen.
func (f Figure) PNG() ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, f.picture); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Save writes the figure to a PNG file, in one step.
func Save(f Figure, path string) error {
	content, err := f.PNG()
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, content, 0o644, renameio.WithTempDir(filepath.Dir(path)))
}

// Row puts figures side by side, their upper edges level.
func Row(figures ...Figure) Figure {
	var size image.Point
	var row Figure
	for i, f := range figures {
		if f.err != nil {
			return f
		}
		if i > 0 {
			size.X += gap
			row.Alt += "; beside it: "
		}
		row.Alt += f.Alt
		size.X += f.picture.Bounds().Dx()
		size.Y = max(size.Y, f.picture.Bounds().Dy())
	}
	if len(figures) == 0 {
		return fail("a row of figures needs at least one")
	}
	row.picture = newSheet(size.X, size.Y).RGBA
	x := 0
	for _, f := range figures {
		draw.Draw(row.picture, f.picture.Bounds().Add(image.Pt(x, 0)), f.picture, image.Point{}, draw.Src)
		x += f.picture.Bounds().Dx() + gap
	}
	return row
}

func fail(format string, args ...any) Figure { return Figure{err: fmt.Errorf(format, args...)} }

// Sizes in the picture's pixels.
const (
	margin   = 8 * density
	gap      = 6 * density
	textSize = 12 // in screen pixels
)

var ink = color.RGBA{0x22, 0x22, 0x22, 0xff}

// palette has colours that stay apart for colour-blind readers: Okabe and Ito, "Color Universal Design", 2008.
var palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, // blue
	{0xd5, 0x5e, 0x00, 0xff}, // vermillion
	{0x00, 0x9e, 0x73, 0xff}, // green
	{0xcc, 0x79, 0xa7, 0xff}, // purple
	{0xe6, 0x9f, 0x00, 0xff}, // orange
	{0x56, 0xb4, 0xe9, 0xff}, // sky
}

// sheet is a white picture to draw on, by its pixels or as a canvas of gonum's, on which a point is a pixel.
type sheet struct {
	*image.RGBA
	canvas vgdraw.Canvas
}

func newSheet(width, height int) sheet {
	canvas := vgimg.NewWith(vgimg.UseImage(image.NewRGBA(image.Rect(0, 0, width, height))), vgimg.UseDPI(72))
	return sheet{canvas.Image().(*image.RGBA), vgdraw.New(canvas)}
}

// sans is the font of all text, at a size in screen pixels.
func sans(size float64, bold bool) font.Font {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size * density)}
	if bold {
		f.Weight = stdfont.WeightBold
	}
	return f
}
