package figure

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"example.org/convbook/lib/array"
)

// Gray makes a picture of an array [height, width]: the smallest number black, the largest white. As everywhere in this
// package, the array may have one channel, and be a batch of one: [height, width, 1] or [1, height, width, 1].
func Gray(a array.Array) image.Image {
	height, width, err := plane(a)
	if err != nil {
		return broken{err}
	}
	picture := image.NewGray(image.Rect(0, 0, width, height))
	low, high := slices.Min(a.Values), slices.Max(a.Values)
	for i, v := range a.Values {
		picture.Pix[i] = part(v, low, high)
	}
	return picture
}

// RGB makes a picture of an array [height, width, 3]: red, green and blue, each from 0 for the smallest of all numbers
// to full for the largest.
func RGB(a array.Array) image.Image {
	dims := one(a.Dims)
	if len(dims) != 3 || dims[2] != 3 || len(a.Values) == 0 {
		return broken{fmt.Errorf("a picture in colours has three channels: an array %v has not", a.Dims)}
	}
	if dims[0]*dims[1]*dims[2] != len(a.Values) {
		return broken{fmt.Errorf("an array %v has %d values", a.Dims, len(a.Values))}
	}
	if err := finite(a); err != nil {
		return broken{err}
	}
	picture := image.NewRGBA(image.Rect(0, 0, dims[1], dims[0]))
	low, high := slices.Min(a.Values), slices.Max(a.Values)
	for i, v := range a.Values {
		picture.Pix[i/3*4+i%3] = part(v, low, high)
		picture.Pix[i/3*4+3] = 255
	}
	return picture
}

// RedBlue makes a picture of an array [height, width]: blue below 0, white at 0, red above, the strongest colour at the
// number that is farthest from 0.
func RedBlue(a array.Array) image.Image {
	height, width, err := plane(a)
	if err != nil {
		return broken{err}
	}
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	most := farthest(a)
	for i, v := range a.Values {
		picture.SetRGBA(i%width, i/width, redBlue(float64(v), most, 255))
	}
	return picture
}

// redBlue is red for a number above 0 and blue for one below, the stronger, the nearer it is to the most, which is as
// far from white as the depth says.
func redBlue(v, most, depth float64) color.RGBA {
	if most == 0 || math.IsNaN(v) {
		return color.RGBA{0xff, 0xff, 0xff, 0xff}
	}
	fade := uint8(math.Round(255 - depth*min(1, math.Abs(v/most))))
	if v < 0 {
		return color.RGBA{fade, fade, 0xff, 0xff}
	}
	return color.RGBA{0xff, fade, fade, 0xff}
}

// part is how far a value is from the lowest to the highest, of 255.
func part(v, low, high float32) uint8 {
	if high <= low {
		return 0
	}
	if high-low > math.MaxFloat32 { // as float32 it is infinite
		v, low, high = v/2, low/2, high/2
	}
	return uint8(math.Round(255 * float64((v-low)/(high-low))))
}

// farthest is how far the array's numbers are from 0 at most.
func farthest(a array.Array) (most float64) {
	for _, v := range a.Values {
		if distance := math.Abs(float64(v)); distance > most && !math.IsInf(distance, 0) {
			most = distance
		}
	}
	return most
}

// one is the dimensions without that of a batch of one.
func one(dims []int) []int {
	if len(dims) == 4 && dims[0] == 1 {
		return dims[1:]
	}
	return dims
}

// size is the height and the width of an array with one channel.
func size(a array.Array) (height, width int, err error) {
	dims := one(a.Dims)
	if len(dims) == 3 && dims[2] == 1 {
		dims = dims[:2]
	}
	if len(dims) != 2 || len(a.Values) == 0 || dims[0]*dims[1] != len(a.Values) {
		return 0, 0, fmt.Errorf("an array %v of %d numbers has no height and width: take a row or a channel of it",
			a.Dims, len(a.Values))
	}
	return dims[0], dims[1], nil
}

// plane is the size of an array of which a picture can be made.
func plane(a array.Array) (height, width int, err error) {
	if height, width, err = size(a); err == nil {
		err = finite(a)
	}
	return height, width, err
}

func finite(a array.Array) error {
	for i, v := range a.Values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("number %d of an array %v is %v: there is no picture of it", i, a.Dims, v)
		}
	}
	return nil
}

// broken is a picture that could not be made. [Grid] says why.
type broken struct{ err error }

func (broken) ColorModel() color.Model { return color.RGBAModel }
func (broken) Bounds() image.Rectangle { return image.Rectangle{} }
func (broken) At(int, int) color.Color { return color.RGBA{} }
