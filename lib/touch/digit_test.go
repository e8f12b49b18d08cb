package touch

import (
	"math"
	"slices"
	"testing"

	"example.org/convbook/lib/dataset"
)

// seven is a seven as a hand writes it, with x to the right and y down.
var seven = drawing{{{20, 30}, {75, 28}, {60, 55}, {45, 95}}}

// An upright stroke stands on the middle of the picture, is 20 pixels high, and its edges fade over a pixel.
func TestStroke(t *testing.T) {
	picture := drawing{{{7, 100}, {7, 300}}}.digit()
	// The stroke goes along the middle of column 14. That of its neighbours is 1 away: 1.4 + 0.5 − 1 of the ink is left.
	for column, want := range map[int]float64{12: 0, 13: 0.9 * 255, 14: 255, 15: 0.9 * 255, 16: 0} {
		if got := float64(picture[14*side+column]); math.Abs(got-want) > 1 {
			t.Errorf("column %d is %v, want %v", column, got, want)
		}
	}
	high := 0.0
	for row := range side {
		high += float64(picture[row*side+14]) / 255
	}
	if math.Abs(high-box) > 0.05 {
		t.Errorf("it is %.2f pixels high, want %d", high, box)
	}
}

// Where and how large it is drawn makes no difference.
func TestPlaceAndSize(t *testing.T) {
	want := seven.digit()
	got := seven.moved(point{0, 0}, 2.5, point{-40, 300}).digit()
	for i := range want {
		if math.Abs(float64(got[i])-float64(want[i])) > 1 {
			t.Fatalf("pixel %d is %d, want %d", i, got[i], want[i])
		}
	}
	if slices.Max(want) != 255 {
		t.Error("nothing is drawn")
	}
}

// middle is where a picture's ink is and how large the box around it, independently of the code that is tested: by
// rows and columns.
func middle(picture []byte) (x, y float64, longest int) {
	var columns, rows [side]float64
	sum := 0.0
	for i, v := range picture {
		columns[i%side] += float64(v)
		rows[i/side] += float64(v)
		sum += float64(v)
	}
	extent := func(ink [side]float64) int {
		some := func(v float64) bool { return v > 0 }
		first := slices.IndexFunc(ink[:], some)
		slices.Reverse(ink[:])
		return side - first - slices.IndexFunc(ink[:], some)
	}
	for i := range side {
		x += columns[i] * float64(i) / sum
		y += rows[i] * float64(i) / sum
	}
	return x, y, max(extent(columns), extent(rows))
}

// Drawings are centred and scaled as the digits of MNIST are, which are looked at here.
func TestAsInMNIST(t *testing.T) {
	test, err := dataset.MNIST().Test()
	if err != nil {
		t.Skip(err)
	}
	var xs, ys, sizes float64
	const n = 1000
	for i := range n {
		x, y, size := middle(test.Part(i, i+1).Pixels)
		xs, ys, sizes = xs+x/n, ys+y/n, sizes+float64(size)/n
	}
	for name, d := range map[string]drawing{
		"seven": seven,
		"L":     {{{0, 0}, {0, 80}, {50, 80}}},
		"level": {{{0, 0}, {300, 10}}},
		"two":   {{{30, 0}, {0, 60}, {80, 60}}, {{60, 0}, {60, 100}}},
	} {
		x, y, size := middle(d.digit())
		if math.Abs(x-xs) > 0.2 || math.Abs(y-ys) > 0.2 || math.Abs(float64(size)-sizes) > 2 {
			t.Errorf("%s: ink around %.2f, %.2f in a box of %d; MNIST has %.2f, %.2f and %.1f", name, x, y, size, xs, ys, sizes)
		}
	}
}

// A single click is a dot in the middle.
func TestDot(t *testing.T) {
	picture := drawing{{{200, 3}}}.digit()
	x, y, size := middle(picture)
	if math.Abs(x-14) > 0.01 || math.Abs(y-14) > 0.01 || size != 3 {
		t.Errorf("a dot around %.2f, %.2f, %d wide", x, y, size)
	}
}

func TestNewDrawing(t *testing.T) {
	d, err := newDrawing([][]float64{{1, 2, 3, 4}, {5, 6}})
	if err != nil || len(d) != 2 || d[0][1] != (point{3, 4}) || d[1][0] != (point{5, 6}) {
		t.Errorf("%v, %v", d, err)
	}
	for _, strokes := range [][][]float64{{{1, 2, 3}}, {{}}, {make([]float64, 2*mostPoints), {1, 2}}} {
		if _, err := newDrawing(strokes); err == nil {
			t.Errorf("%d strokes are taken for a drawing", len(strokes))
		}
	}
}
