package figure

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/array"
)

// samples is one figure of each kind.
func samples() map[string]func() Figure {
	dot := image.NewGray(image.Rect(0, 0, 2, 2))
	dot.Pix[3] = 255
	return map[string]func() Figure{
		"grid": func() Figure {
			return Grid(Pictures{Title: "Dots", Images: []image.Image{dot, dot, dot}, Captions: []string{"one", "two", "three"}, Columns: 2, Width: 100})
		},
		"lines": func() Figure {
			return Lines(Chart{Title: "T", X: "x", Y: "y"}, NewSeries("a", []float32{1, 3, 2}), NewSeries("b", []float32{2, 2, 5}).Smooth(2))
		},
		"bars": func() Figure {
			return Bars(Chart{Title: "T", X: "x", Y: "y"}, []string{"a", "b"}, Series{Y: []float64{2, 4}})
		},
		"confusion": func() Figure { return Confusion("T", [][]int{{3, 1}, {0, 4}}, []string{"cat", "dog"}) },
		"contours": func() Figure {
			return Contours(Chart{Title: "T", X: "x", Y: "y"}, bowl(), Series{Name: "walk", X: []float64{2, 1, 0}, Y: []float64{0, 0.5, 0}})
		},
		"row": func() Figure {
			return Row(Grid(Pictures{Images: []image.Image{dot}, Width: 50}), Grid(Pictures{Images: []image.Image{dot}, Width: 90}))
		},
	}
}

func TestSameInputSameBytes(t *testing.T) {
	for name, draw := range samples() {
		first, _ := content(t, draw())
		second, _ := content(t, draw())
		if !bytes.Equal(first, second) {
			t.Errorf("%s: other bytes the second time", name)
		}
	}
}

func TestAlt(t *testing.T) {
	for name, want := range map[string]string{
		"grid":      "3 pictures: Dots (one, two, three)",
		"lines":     "Line chart: T, y over x; a from 1 to 2; b from 2 to 3.5",
		"bars":      "Bar chart: T, y; a 2.00; b 4.00",
		"confusion": "Confusion matrix: T; 7 of 8 right, on the diagonal",
		"contours":  "Contour map: T, y over x; heights from 0 to 18; walk from (2, 0) to (0, 0)",
		"row":       "1 picture; beside it: 1 picture",
	} {
		if got := samples()[name]().Alt; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Every figure has text or pixels where it should, and its series' colours.
func TestInk(t *testing.T) {
	for name, want := range map[string][]color.RGBA{
		"grid":      {ink, {0, 0, 0, 255}, {255, 255, 255, 255}},
		"lines":     {ink, palette[0], palette[1]},
		"bars":      {ink, palette[0]},
		"confusion": {ink, palette[0]},
		"contours":  {ink, palette[0], {0x70, 0x70, 0x88, 0xff}},
	} {
		_, picture := content(t, samples()[name]())
		for _, c := range want {
			if count(picture, c) < 20 {
				t.Errorf("%s has %d pixels of %v", name, count(picture, c), c)
			}
		}
	}
}

// A picture's pixel becomes a square of one colour, at its place.
func TestGridPixels(t *testing.T) {
	dots := image.NewGray(image.Rect(0, 0, 2, 1))
	dots.Pix[0], dots.Pix[1] = 10, 200
	_, picture := content(t, Grid(Pictures{Images: []image.Image{dots}, Width: 58}))
	side := (58*density - 2*margin) / 2 // of the square that a pixel becomes
	if size := picture.Bounds().Size(); size.X != 58*density || size.Y != side+2*margin {
		t.Fatalf("size %v", size)
	}
	for y := range side {
		for x := range side {
			left := color.GrayModel.Convert(picture.At(margin+x, margin+y)).(color.Gray).Y
			right := color.GrayModel.Convert(picture.At(margin+side+x, margin+y)).(color.Gray).Y
			if left != 10 || right != 200 {
				t.Fatalf("pixel %d, %d: %d and %d, want 10 and 200", x, y, left, right)
			}
		}
	}
}

// Of two bars, one of twice the value is twice as high.
func TestBarHeights(t *testing.T) {
	_, picture := content(t, Bars(Chart{X: "x", Y: "y"}, []string{"a", "b"}, Series{Y: []float64{2, 4}}))
	height := func(from, to int) (most int) {
		for x := from; x < to; x++ {
			n := 0
			for y := range picture.Bounds().Dy() {
				if color.RGBAModel.Convert(picture.At(x, y)) == palette[0] {
					n++
				}
			}
			most = max(most, n)
		}
		return most
	}
	half := picture.Bounds().Dx() / 2
	a, b := height(0, half), height(half, 2*half)
	if a < 50 || math.Abs(float64(b)/float64(a)-2) > 0.05 {
		t.Errorf("bars of 2 and 4 are %d and %d pixels high", a, b)
	}
}

// Numbers above bars have digits that mean something, whatever their size.
func TestNumbersOfBars(t *testing.T) {
	one := func(values ...float64) []Series { return []Series{{Name: "a", Y: values}} }
	for want, series := range map[string][]Series{
		"a 0.004; b 0.0004":            one(0.004, 0.0004),
		"a 138357544; b 2":             one(138357544, 2),
		"a 12.50; b 3.00":              one(12.5, 3),
		"a: a 6442, b 12; c: a 1, b 2": append(one(6442, 12), Series{Name: "c", Y: []float64{1, 2}}),
	} {
		if alt := Bars(Chart{X: "x", Y: "y"}, []string{"a", "b"}, series...).Alt; !strings.HasSuffix(alt, want) {
			t.Errorf("%s, want %s", alt, want)
		}
	}
}

// Of three values, the line stands at their mean: here on the one in the middle.
func TestSpreadShowsMeans(t *testing.T) {
	middle := func(c color.RGBA, values ...float64) float64 {
		_, picture := content(t, Spread(Chart{X: "x", Y: "y"}, []string{"a", "b"}, [][]float64{values, {0, 10}}))
		sum, n := 0, 0
		for y := range picture.Bounds().Dy() {
			for x := range picture.Bounds().Dx() / 2 {
				if color.RGBAModel.Convert(picture.At(x, y)) == c {
					sum, n = sum+y, n+1
				}
			}
		}
		return float64(sum) / float64(n)
	}
	if line, dot := middle(palette[0], 2, 4, 9), middle(palette[1], 5); math.Abs(line-dot) > 2 {
		t.Errorf("the mean of 2, 4 and 9 is drawn in line %.1f, a 5 in line %.1f", line, dot)
	}
	want := "Chart of means and values: T, y; a b mean 3.00 from 2.00 to 4.00"
	if got := Spread(Chart{Title: "T", X: "x", Y: "y"}, []string{"a\nb"}, [][]float64{{2, 4}}).Alt; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestTicksAreRound(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      string
	}{
		{0, 100, "0 20 40 60 80 100"},
		{0, 2.4, "0.0 0.5 1.0 1.5 2.0"},
		{0, 937, "0 200 400 600 800"},
		{-1, 1, "-1.0 -0.5 0.0 0.5 1.0"},
		{0.012, 0.019, "0.012 0.013 0.014 0.015 0.016 0.017 0.018 0.019"},
		{3, 3, ""},
		{math.NaN(), 1, ""},
	} {
		var labels []string
		for _, tick := range ticks(c.low, c.high) {
			labels = append(labels, tick.Label)
		}
		if got := strings.ReplaceAll(strings.Join(labels, " "), "-0.0", "0.0"); got != c.want {
			t.Errorf("from %v to %v: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

// Beside a number of 2^53 steps and more, one step more is the same number.
func TestTicksOfNumbersThatHardlyDiffer(t *testing.T) {
	for _, low := range []float64{2.302585092994046, 1e16, 1e300, -1e300} {
		if n := len(ticks(low, math.Nextafter(low, math.MaxFloat64))); n > 10 {
			t.Errorf("%d ticks from %v on", n, low)
		}
	}
	if _, err := Lines(Chart{X: "epoch", Y: "loss"}, NewSeries("a", []float64{2.302585092994046, 2.3025850929940463})).PNG(); err != nil {
		t.Error(err)
	}
	labels := map[string]bool{}
	marks := ticks(1.7e9, 1.7e9+3600)
	for _, mark := range marks {
		labels[mark.Label] = true
	}
	if len(labels) != len(marks) || len(marks) < 2 {
		t.Errorf("%d marks have the labels %v", len(marks), labels)
	}
}

// Numbers below 0 need not have 0 on their axis.
func TestAxisBelowZero(t *testing.T) {
	svg, err := LinesSVG(Chart{X: "log rate", Y: "loss"}, Series{Name: "a", X: []float64{-5, -2}, Y: []float64{1, 2}})
	if err != nil || strings.Contains(svg, ">0.0<") || !strings.Contains(svg, ">-2.0<") {
		t.Errorf("%v\n%s", err, svg)
	}
}

// Long names of many classes side by side would take gigabytes.
func TestConfusionOfManyClasses(t *testing.T) {
	const n = 30
	classes, counts := make([]string, n), make([][]int, n)
	for i := range classes {
		classes[i], counts[i] = fmt.Sprintf("a class with a rather long name, number %d", i), make([]int, n)
		counts[i][i] = 100
	}
	f := Confusion("many", counts, classes)
	if err := f.check(); err != nil {
		t.Fatal(err)
	}
	if size := f.Size(); size.X > 1500 || size.Y > 1500 {
		t.Errorf("it has %v pixels", size)
	}
	names := f.picture.SubImage(image.Rect(0, 0, f.picture.Rect.Dx(), f.picture.Rect.Dy()-n*34*density-margin))
	if inked := count(names, ink); inked < n*200 {
		t.Errorf("the names of the columns have %d pixels of ink", inked)
	}
}

// As many classes as a label can tell apart have room, too.
func TestConfusionOfAllClasses(t *testing.T) {
	const n = 256
	classes, counts := make([]string, n), make([][]int, n)
	for i := range classes {
		classes[i], counts[i] = fmt.Sprint("class ", i), make([]int, n)
		counts[i][i], counts[i][(i+1)%n] = 90, 10
	}
	f := Confusion("all", counts, classes)
	if err := f.check(); err != nil {
		t.Fatal(err)
	}
	if size := f.Size(); size.X > 2600 || size.Y > 2600 {
		t.Errorf("it has %v pixels", size)
	}
	if blue := count(f.picture, shadeOf(0.9, true)); blue < n*100 {
		t.Errorf("the diagonal has %d pixels", blue)
	}
}

func shadeOf(part float64, right bool) color.RGBA {
	cell, _ := shade(part, right)
	return cell
}

func TestSmooth(t *testing.T) {
	s := NewSeries("a", []float32{1, 3, 5, 1}).Smooth(2)
	for i, want := range []float64{1, 2, 4, 3} {
		if s.Y[i] != want || s.X[i] != float64(i) {
			t.Errorf("value %d: %v at %v, want %v", i, s.Y[i], s.X[i], want)
		}
	}
	if huge := NewSeries("a", []float64{1e20, 1, 2, 4}).Smooth(2); huge.Y[2] != 1.5 || huge.Y[3] != 3 {
		t.Errorf("after a huge value: %v", huge.Y)
	}
}

func TestPicturesOfNumbers(t *testing.T) {
	gray := Gray(matrix(2, -1, 0, 1, 3)).(*image.Gray)
	if got := gray.Pix; got[0] != 0 || got[1] != 64 || got[2] != 128 || got[3] != 255 {
		t.Errorf("gray: %v", got)
	}
	if far := Gray(matrix(1, -3e38, 0, 3e38)).(*image.Gray).Pix; far[0] != 0 || far[1] != 128 || far[2] != 255 {
		t.Errorf("numbers as far apart as can be: %v", far)
	}
	if flat := Gray(matrix(1, 2, 2)).(*image.Gray); flat.Pix[0] != 0 || flat.Bounds().Dy() != 2 {
		t.Errorf("equal numbers: %v", flat.Pix)
	}
	signed := RedBlue(matrix(3, -2, 0, 1))
	for x, want := range []color.RGBA{{0, 0, 255, 255}, {255, 255, 255, 255}, {255, 128, 128, 255}} {
		if got := signed.At(x, 0); got != want {
			t.Errorf("signed %d: %v, want %v", x, got, want)
		}
	}
	colored := RGB(array.New([]float32{-1, 0, 1, 3, 3, -1}, 1, 2, 3))
	for x, want := range []color.RGBA{{0, 64, 128, 255}, {255, 255, 0, 255}} {
		if got := colored.At(x, 0); got != want {
			t.Errorf("color %d: %v, want %v", x, got, want)
		}
	}
}

func TestWhatCannotBeDrawn(t *testing.T) {
	dot := image.NewGray(image.Rect(0, 0, 1, 1))
	for want, f := range map[string]Figure{
		"at least one picture":                       Grid(Pictures{}),
		"5 pictures has 3 captions":                  Grid(Pictures{Images: []image.Image{dot, dot, dot, dot, dot}, Captions: []string{"a", "b", "c"}, Columns: 2}),
		"2 pictures has 1 captions":                  Grid(Pictures{Images: []image.Image{dot, dot}, Captions: []string{"a"}}),
		"picture 0 of a grid has no pixels":          Grid(Pictures{Images: []image.Image{image.NewGray(image.Rect(0, 0, 0, 0))}}),
		`series "a" has 0 x and 0 y values`:          Lines(Chart{X: "x", Y: "y"}, NewSeries[float32]("a", nil)),
		`series "a": `:                               Lines(Chart{X: "x", Y: "y"}, NewSeries("a", []float32{float32(math.NaN())})),
		`chart "T" has no name for each axis`:        Lines(Chart{Title: "T"}, NewSeries("a", []float32{1})),
		"heights, and 2 × 2 at least":                Contours(Chart{Title: "T", X: "x", Y: "y"}, Surface{X: []float64{0, 1}, Y: []float64{0, 1}, Z: [][]float64{{1, 2}}}),
		"a surface of 0 × 0 places needs":            Contours(Chart{Title: "T", X: "x", Y: "y"}, NewSurface(0, 1, 0, 1, 2, nil)),
		"places of a surface must go up":             Contours(Chart{Title: "T", X: "x", Y: "y"}, Surface{X: []float64{0, 0}, Y: []float64{0, 1}, Z: [][]float64{{1, 2}, {1, 2}}}),
		"height of the surface is not a number":      Contours(Chart{Title: "T", X: "x", Y: "y"}, NewSurface(0, 1, 0, 1, 2, func(_, _ float64) float64 { return math.NaN() })),
		`path "p" has 1 x and 0 y values`:            Contours(Chart{Title: "T", X: "x", Y: "y"}, bowl(), Series{Name: "p", X: []float64{1}}),
		`path "p" starts outside of the map`:         Contours(Chart{Title: "T", X: "x", Y: "y"}, bowl(), Series{Name: "p", X: []float64{9}, Y: []float64{0}}),
		`"s" has 1 values for 2 labels`:              Bars(Chart{X: "x", Y: "y"}, []string{"a", "b"}, Series{Name: "s", Y: []float64{1}}),
		"2 labels and the values of 1":               Spread(Chart{X: "x", Y: "y"}, []string{"a", "b"}, [][]float64{{1}}),
		`"b" has no values`:                          Spread(Chart{X: "x", Y: "y"}, []string{"a", "b"}, [][]float64{{1}, {}}),
		"2 classes has 1 rows":                       Confusion("T", [][]int{{1, 2}}, []string{"a", "b"}),
		"row 1 of a confusion matrix of 2 classes":   Confusion("T", [][]int{{1, 2}, {3}}, []string{"a", "b"}),
		"a row of figures needs at least one":        Row(),
		"bubble b has the size +Inf":                 Bubbles(Chart{X: "x", Y: "y"}, "", Bubble{Name: "b", Size: math.Inf(1)}),
		"its numbers are too large to draw":          Lines(Chart{X: "x", Y: "y"}, NewSeries("a", []float64{1e308, -1e308})),
		"more than a picture may have":               Confusion("T", [][]int{{1, 2}, {3, 4}}, []string{strings.Repeat("long", 1500), "b"}),
		"a grid of 20000 pictures: ":                 Grid(Pictures{Images: slices.Repeat([]image.Image{dot}, 20000), Columns: 2}),
		"draw less of it":                            Numbers("T", array.New(make([]float32, 4e6), 2000, 2000)),
		`chart "T": 400000 × 400000 pixels are more`: Lines(Chart{Title: "T", X: "x", Y: "y", Width: 200000, Height: 200000}, NewSeries("a", []float64{1, 2})),
		"which leaves no room for it: shorten it":    Lines(Chart{Title: strings.Repeat("a title ", 300), X: "x", Y: "y"}, NewSeries("a", []float64{1, 2})),
		"2 pictures has 3 captions":                  Row(Grid(Pictures{Images: []image.Image{dot}}), Grid(Pictures{Images: []image.Image{dot, dot}, Captions: []string{"a", "b", "c"}})),
	} {
		if _, err := f.PNG(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Pictures that could not be made say why in the figure that shows them.
func TestPicturesThatCannotBeMade(t *testing.T) {
	nan := float32(math.NaN())
	for want, picture := range map[string]image.Image{
		"picture 1 of a grid: an array [3] of 3 numbers has no height and width": Gray(array.New([]float32{1, 2, 3}, 3)),
		"an array [2 1 1 1] of 2 numbers has no height":                          RedBlue(array.New([]float32{1, 2}, 2, 1, 1, 1)),
		"three channels: an array [1 1 2] has not":                               RGB(array.New([]float32{1, 2}, 1, 1, 2)),
		"an array [1 1 3] has 6 values":                                          RGB(array.Array{Dims: []int{1, 1, 3}, Values: make([]float32, 6)}),
		"number 1 of an array [1 2] is NaN":                                      Gray(matrix(2, 1, nan)),
		"number 0 of an array [1 2] is NaN":                                      RedBlue(matrix(2, nan, 1)),
		"number 2 of an array [1 1 3] is +Inf":                                   RGB(array.New([]float32{1, 2, float32(math.Inf(1))}, 1, 1, 3)),
	} {
		good := Gray(matrix(1, 1, 2))
		if err := Grid(Pictures{Images: []image.Image{good, picture}}).check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// A chart says what is on both axes.
func TestBothAxesHaveNames(t *testing.T) {
	for _, c := range []Chart{{X: "x"}, {Y: "y"}, {}} {
		for kind, f := range map[string]Figure{
			"lines": Lines(c, NewSeries("a", []float32{1})), "bars": Bars(c, []string{"a"}, Series{Y: []float64{1}}),
			"bubbles": Bubbles(c, "", Bubble{"a", 1, 1, 1}), "contours": Contours(c, bowl()),
		} {
			if f.check() == nil {
				t.Errorf("%s with the axes %q and %q are drawn", kind, c.X, c.Y)
			}
		}
	}
}

func TestFigureWithoutAPicture(t *testing.T) {
	why := errors.New("why")
	if f := Failed(why); f.check() != why || f.Size() != (image.Point{}) {
		t.Errorf("%v, %v", f.check(), f.Size())
	}
	if _, err := (Figure{}).PNG(); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty figure: %v", err)
	}
}

// Figures in a column begin where the one above ends, in a row where the one at the left does.
func TestColumnAndRow(t *testing.T) {
	one, two := Numbers("one", matrix(2, 1, 2)), Numbers("two", matrix(1, 1, 2, 3))
	a, b := one.picture.Bounds().Size(), two.picture.Bounds().Size()
	column, row := Column(one, two), Row(one, two)
	if column.Alt != "Table of 1 × 2 numbers: one; below it: Table of 3 × 1 numbers: two" {
		t.Error(column.Alt)
	}
	if want := image.Pt(max(a.X, b.X), a.Y+b.Y); column.picture.Bounds().Size() != want {
		t.Errorf("a column of %v, want %v", column.picture.Bounds().Size(), want)
	}
	if want := image.Pt(a.X+gap+b.X, max(a.Y, b.Y)); row.picture.Bounds().Size() != want {
		t.Errorf("a row of %v, want %v", row.picture.Bounds().Size(), want)
	}
	for y := range b.Y {
		for x := range b.X {
			if want := at(two.picture, x, y); at(column.picture, x, a.Y+y) != want || at(row.picture, a.X+gap+x, y) != want {
				t.Fatalf("the second figure has another pixel at %d, %d", x, y)
			}
		}
	}
}

// Pictures of different sizes are enlarged alike, or each to the size of the largest.
func TestSameSize(t *testing.T) {
	small, large := image.NewGray(image.Rect(0, 0, 1, 1)), image.NewGray(image.Rect(0, 0, 4, 4)) // black
	black := color.RGBA{0, 0, 0, 0xff}
	p := Pictures{Images: []image.Image{large, small}, Width: 120}
	_, picture := content(t, Grid(p))
	pixel := ((120*density - 2*margin - gap) / 2) / 4 // in squares of the picture
	if got, want := count(picture, black), 17*pixel*pixel; got != want {
		t.Errorf("%d black pixels, want %d", got, want)
	}
	p.SameSize = true
	_, picture = content(t, Grid(p))
	if got, want := count(picture, black), 32*pixel*pixel; got != want {
		t.Errorf("of the same size: %d black pixels, want %d", got, want)
	}
}

// A box is as wide as the label in it.
func TestBoxesHoldTheirLabels(t *testing.T) {
	const label = "11×11 /4"
	f := Flow("A net", 400, Group{Lanes: [][]Box{{{Label: label, Width: 4, Height: 16, Kind: "a"}, {Width: 4, Height: 16, Kind: "b"}}}})
	_, picture := content(t, f)
	first, last := picture.Bounds().Dx(), 0
	for x := range picture.Bounds().Dx() {
		column := 0
		for y := range picture.Bounds().Dy() {
			if at(picture, x, y) == palette[0] {
				column++
			}
		}
		if column > 2*lineHeight(flowSize)/3 { // not of the legend
			first, last = min(first, x), max(last, x)
		}
	}
	if got, want := last-first, width(label, small(flowSize)); got < want {
		t.Errorf("a box is %d pixels wide, its label %d", got, want)
	}
}

func TestFrom(t *testing.T) {
	s := NewSeries("loss", []float32{5, 4, 3}).From(1)
	if !slices.Equal(s.X, []float64{1, 2, 3}) || !slices.Equal(s.Y, []float64{5, 4, 3}) || s.Name != "loss" {
		t.Errorf("%+v", s)
	}
}

// Two boxes and a block of two lanes in a narrow width take two rows, and their colours are where they should be.
func TestFlow(t *testing.T) {
	box := func(kind string) Box { return Box{Label: "3×3", Width: 40, Height: 20, Kind: kind} }
	groups := []Group{
		{Lanes: [][]Box{{box("conv")}}, Note: "8×8"},
		{Lanes: [][]Box{{box("conv"), box("conv")}, {box("pool")}}, Skip: true, Times: 3},
	}
	wide, narrow := Flow("A net", 400, groups...), Flow("A net", 130, groups...)
	if wide.err != nil || narrow.err != nil {
		t.Fatal(wide.err, narrow.err)
	}
	if a, b := wide.picture.Bounds().Size(), narrow.picture.Bounds().Size(); b.X >= a.X || b.Y <= a.Y || a.X > 400*density || b.X > 130*density {
		t.Errorf("the wide one has %v pixels, the narrow one %v", a, b)
	}
	if want := "A net; conv 3×3; conv 3×3, conv 3×3 beside pool 3×3, with a shortcut, 3 times"; wide.Alt != want {
		t.Errorf("in words: %q, want %q", wide.Alt, want)
	}
	area := map[color.RGBA]int{}
	for i := 0; i < len(wide.picture.Pix); i += 4 {
		p := wide.picture.Pix[i:]
		area[color.RGBA{p[0], p[1], p[2], p[3]}]++
	}
	const one = 40 * 20 * density * density
	for i, boxes := range []int{3, 1} { // less what their labels cover, and with the legend's square
		if got := area[palette[i]]; got < one*boxes*8/10 || got > one*boxes+20*20*density*density {
			t.Errorf("colour %d covers %d pixels, want about %d", i, got, one*boxes)
		}
	}
	if f := Flow("empty", 400); f.err == nil {
		t.Error("a flow of nothing is drawn")
	}
}

func TestBubbles(t *testing.T) {
	c := Chart{Title: "nets", X: "layers", Y: "error, %"}
	f := Bubbles(c, "million", Bubble{"small", 8, 16.049, 0.4502}, Bubble{"middle", 18, 4, 62.006}, Bubble{"large", 12345.6, 3.5, 1234.5})
	if _, err := f.PNG(); err != nil {
		t.Fatal(err)
	}
	if want := "Bubble chart: nets, error, % over layers; small, 0.45 million at 8 and 16; " +
		"middle, 62 million at 18 and 4; large, 1,234 million at 12,346 and 3.5"; f.Alt != want {
		t.Errorf("in words: %q, want %q", f.Alt, want)
	}
	if f := Bubbles(c, "", Bubble{"none", 1, 1, 0}); f.err == nil {
		t.Error("a bubble without a size is drawn")
	}
}

// Around the middle of a bowl the lines of equal height are circles: as far to the left as to the right, to the top as
// to the bottom.
func TestContoursAreWhereTheHeightsAre(t *testing.T) {
	const side = 400
	_, picture := content(t, Contours(Chart{X: "x", Y: "y", Width: side, Height: side}, bowl()))
	darkest := color.RGBA{0x70, 0x70, 0x88, 0xff} // of the lowest line
	box := image.Rectangle{Min: picture.Bounds().Max}
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if color.RGBAModel.Convert(picture.At(x, y)) == darkest {
				box.Min.X, box.Min.Y = min(box.Min.X, x), min(box.Min.Y, y)
				box.Max.X, box.Max.Y = max(box.Max.X, x), max(box.Max.Y, y)
			}
		}
	}
	// A thirtieth of the square of side 6 lies within the lowest line: a circle of radius √(36/30/π) = 0.62, so it is
	// 1.24 of 6 wide.
	wide, high := float64(box.Dx())/(side*density), float64(box.Dy())/(side*density)
	if share := 1.24 / 6; wide < 0.75*share || wide > share || high < 0.75*share || high > share { // the axes take some
		t.Errorf("the lowest line takes %.3f of the width and %.3f of the height, want a little less than %.3f", wide, high, share)
	}
}

func TestPathsEndAtTheEdge(t *testing.T) {
	path := bowl().within(Series{Name: "p", X: []float64{0, 2, 4, 0}, Y: []float64{0, 1, 2, 0}})
	if !slices.Equal(path.X, []float64{0, 2, 3}) || !slices.Equal(path.Y, []float64{0, 1, 1.5}) || path.Name != "p" {
		t.Errorf("%+v", path)
	}
	path = bowl().within(Series{X: []float64{0, -6}, Y: []float64{0, -4}})
	if !slices.Equal(path.X, []float64{0, -3}) || !slices.Equal(path.Y, []float64{0, -2}) {
		t.Errorf("%+v", path)
	}
}
