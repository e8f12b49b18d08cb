package picture

import (
	"fmt"
	"image"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
)

// Frame says how a picture of any size becomes one of the size that a network takes.
type Frame struct {
	Height   int `json:"height"`
	Width    int `json:"width"`
	Channels int `json:"channels"` // 3: red, green, blue; 1: luminance

	// Shorter is how long the picture's shorter side is when the middle is cut out of it, 256 for the 224 × 224 of
	// ImageNet's networks. If the picture would not cover the frame, as for 0, it is scaled until it just does.
	Shorter int `json:"shorter,omitempty"`
}

// maxSide is the most pixels of a frame's side.
const maxSide = 4096

// Check finds a frame that no picture can be brought to.
func (f Frame) Check() error {
	switch {
	case f.Height < 1 || f.Height > maxSide || f.Width < 1 || f.Width > maxSide:
		return fmt.Errorf("pictures cannot be brought to %d×%d pixels: height and width must be 1 to %d",
			f.Height, f.Width, maxSide)
	case f.Channels != 1 && f.Channels != 3:
		return fmt.Errorf("pictures cannot be brought to %d channels: it must be 1, grey, or 3, red, green and blue",
			f.Channels)
	case f.Shorter < 0 || f.Shorter > maxSide:
		return fmt.Errorf("pictures cannot be scaled to %d pixels on the shorter side: it must be 0 to %d",
			f.Shorter, maxSide)
	}
	return nil
}

// Pixels brings a picture to the frame: it is scaled, its sides in proportion, and the middle is cut out. The bytes of
// a picture that already has the right size stay as they are. [height, width, channels], in 0 to 255
//
// Scaling is bilinear, and smooths what it makes smaller: each pixel is a mean of all those that it stands for. This is
// how torchvision's Resize and CenterCrop do it; a byte can differ by one. What is transparent shows white, and
// luminance is 0.299 of red, 0.587 of green and 0.114 of blue. It panics if [Frame.Check] finds an error.
func (f Frame) Pixels(img image.Image) []byte {
	if err := f.Check(); err != nil {
		panic(err)
	}
	canvas := image.NewRGBA(image.Rect(0, 0, f.Width, f.Height))
	draw.Draw(canvas, canvas.Bounds(), image.White, image.Point{}, draw.Src)
	from := img.Bounds()
	if from.Empty() {
		return f.channels(canvas)
	}
	size := f.scaled(from.Size())
	left, top := middle(size.X, f.Width), middle(size.Y, f.Height)
	if size == from.Size() {
		draw.Draw(canvas, canvas.Bounds(), img, from.Min.Add(image.Pt(int(left), int(top))), draw.Over)
		return f.channels(canvas)
	}
	x, y := float64(size.X)/float64(from.Dx()), float64(size.Y)/float64(from.Dy())
	place := f64.Aff3{
		x, 0, -left - x*float64(from.Min.X),
		0, y, -top - y*float64(from.Min.Y),
	}
	// What the kernel reaches from the frame, one pixel of the larger of both pictures, and one for rounding. All of a
	// very long picture, scaled, would be more than draw can count.
	needed := image.Rect(int((left-2)/x)-2, int((top-2)/y)-2,
		int((left+float64(f.Width)+2)/x)+2, int((top+float64(f.Height)+2)/y)+2)
	draw.BiLinear.Transform(canvas, place, img, needed.Add(from.Min).Intersect(from), draw.Over, nil)
	return f.channels(canvas)
}

// scaled is the size to which a picture is scaled. As in torchvision, the longer side is rounded down.
func (f Frame) scaled(size image.Point) image.Point {
	shorter, longer := &size.X, &size.Y
	if *longer < *shorter {
		shorter, longer = longer, shorter
	}
	covers := image.Pt(f.Width, size.Y*f.Width/size.X)
	if covers.Y < f.Height {
		covers = image.Pt(size.X*f.Height/size.Y, f.Height)
	}
	if f.Shorter <= min(covers.X, covers.Y) {
		return covers
	}
	*longer = *longer * f.Shorter / *shorter
	*shorter = f.Shorter
	return size
}

// middle is where a part begins in the middle of a whole. As in torchvision, a half is rounded to the even side.
func middle(whole, part int) float64 {
	return math.RoundToEven(float64(whole-part) / 2)
}

// channels takes a canvas's bytes.
func (f Frame) channels(canvas *image.RGBA) []byte {
	pixels := make([]byte, 0, f.Height*f.Width*f.Channels)
	for p := range f.Height * f.Width {
		red, green, blue := canvas.Pix[4*p], canvas.Pix[4*p+1], canvas.Pix[4*p+2]
		if f.Channels == 3 {
			pixels = append(pixels, red, green, blue)
			continue
		}
		luminance := 19595*uint32(red) + 38470*uint32(green) + 7471*uint32(blue) // the weights, times 1<<16
		pixels = append(pixels, byte((luminance+1<<15)>>16))
	}
	return pixels
}
