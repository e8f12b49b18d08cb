package figure

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"strings"
	"testing"

	"example.org/convbook/lib/array"
)

// Every number has a cell of its colour, and the frame lies around the cells that it was asked for.
func TestNumbers(t *testing.T) {
	f := Numbers("T", matrix(3, -2, 0, 1, 2, 0.125, -0.5), image.Rect(1, 0, 3, 2))
	first, picture := content(t, f)
	if second, _ := content(t, Numbers("T", matrix(3, -2, 0, 1, 2, 0.125, -0.5), image.Rect(1, 0, 3, 2))); !bytes.Equal(first, second) {
		t.Error("other bytes the second time")
	}
	if want := "Table of 2 × 3 numbers: T"; f.Alt != want {
		t.Errorf("in words: %q, want %q", f.Alt, want)
	}
	size := picture.Bounds().Size()
	left, top, right, bottom := size.X, size.Y, 0, 0 // of the frame
	for y := range size.Y {
		for x := range size.X {
			if at(picture, x, y) == framing {
				left, top, right, bottom = min(left, x), min(top, y), max(right, x+1), max(bottom, y+1)
			}
		}
	}
	cell := (bottom - top) / 2 // the frame is two cells high and two wide
	if cell < 20*density || right-left != 2*cell || bottom != size.Y-margin {
		t.Fatalf("a frame from %d, %d to %d, %d of %v", left, top, right, bottom, size)
	}
	for i, want := range []color.RGBA{
		{145, 145, 255, 255}, {255, 255, 255, 255}, {255, 200, 200, 255}, // -2 is blue, 0 white, 1 half as red as 2
		{255, 145, 145, 255}, {255, 248, 248, 255}, {228, 228, 255, 255},
	} {
		x, y := left-cell+i%3*cell+cell/5, top+i/3*cell+cell/5
		if got := at(picture, x, y); got != want {
			t.Errorf("number %d is on %v, want %v", i, got, want)
		}
	}
}

// A frame lies around the pixels that it was asked for, each as large as the grid draws it.
func TestFramesOnPictures(t *testing.T) {
	dots := image.NewGray(image.Rect(0, 0, 4, 4))
	_, picture := content(t, Grid(Pictures{
		Images: []image.Image{dots, dots}, Frames: []image.Rectangle{image.Rect(1, 2, 4, 9), {}}, Width: 120,
	}))
	factor := ((120*density - 2*margin - gap) / 2) / 4
	n := 0
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			inside := image.Pt(x-margin, y-margin).In(image.Rect(1*factor, 2*factor, 4*factor, 4*factor)) // cut to the picture
			if at(picture, x, y) != framing {
				continue
			}
			n++
			if !inside {
				t.Fatalf("a frame at %d, %d", x-margin, y-margin)
			}
		}
	}
	const thick = 2 * density
	if want := 2*thick*3*factor + 2*thick*2*factor - 4*thick*thick; n != want {
		t.Errorf("the frame has %d pixels, want %d", n, want)
	}
}

// Bars stand in groups in the order of the series, as high as their values.
func TestBarsInGroups(t *testing.T) {
	c := Chart{Title: "T", X: "x", Y: "y"}
	f := Bars(c, []string{"one", "two"}, Series{Name: "a", Y: []float64{1, 4}}, Series{Name: "b", Y: []float64{2, 0}})
	_, picture := content(t, f)
	if want := "Bar chart: T, y; a: one 1, two 4; b: one 2, two 0"; f.Alt != want {
		t.Errorf("in words: %q, want %q", f.Alt, want)
	}
	// The longest run of a colour in any column of a part of the chart: the legend's square is short.
	height := func(c color.RGBA, from, to int) (most int) {
		for x := from; x < to; x++ {
			run := 0
			for y := range picture.Bounds().Dy() {
				run++
				if at(picture, x, y) != c {
					run = 0
				}
				most = max(most, run)
			}
		}
		return most
	}
	wide := picture.Bounds().Dx()
	first := func(c color.RGBA) (x int) {
		for height(c, x, x+1) < 50 {
			x++
		}
		return x
	}
	a, b := first(palette[0]), first(palette[1])
	if !(a < b && b < wide/2) {
		t.Errorf("the first bars begin at %d and %d of %d", a, b, wide)
	}
	one := float64(height(palette[0], 0, wide/2))
	if two := float64(height(palette[1], 0, wide/2)); math.Abs(two/one-2) > 0.05 {
		t.Errorf("bars of 1 and 2 are %v and %v pixels high", one, two)
	}
	if four := float64(height(palette[0], wide/2, wide)); math.Abs(four/one-4) > 0.1 {
		t.Errorf("bars of 1 and 4 are %v and %v pixels high", one, four)
	}
}

func TestNumbersThatCannotBeDrawn(t *testing.T) {
	dot := image.NewGray(image.Rect(0, 0, 1, 1))
	c := Chart{Title: "T", X: "x", Y: "y"}
	for want, f := range map[string]Figure{
		`numbers "T": an array [2 1 2 3] of 12 numbers has no height and width`: Numbers("T", array.New(make([]float32, 12), 2, 1, 2, 3)),
		"an array [] of 0 numbers":                Numbers("T", array.Array{}),
		"3 × 2 of them have no cells (2,0)-(4,2)": Numbers("T", matrix(2, 1, 2, 3, 4, 5, 6), image.Rect(2, 0, 4, 2)),
		"2 pictures has 1 frames":                 Grid(Pictures{Images: []image.Image{dot, dot}, Frames: make([]image.Rectangle, 1)}),
		"1 labels and 0 series":                   Bars(c, []string{"a"}),
		`series "s" has 1 values for 2 labels`:    Bars(c, []string{"a", "b"}, Series{Name: "s", Y: []float64{1}}),
	} {
		if _, err := f.PNG(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
