package figure

import (
	"image"
	"image/color"
	"slices"
	"strings"
	"testing"
)

// However long its texts are, a figure keeps its margin white: nothing is cut off at the edge.
func TestLongTextsStayInside(t *testing.T) {
	const long = "A rather long text that does not fit into one line of a small picture, notevenifitisbrokenatallofitsspaces"
	c := Chart{Title: long, X: long, Y: long, Width: 400, Height: 320}
	dot := image.NewGray(image.Rect(0, 0, 2, 2))
	box := Box{Label: "11×11 /4 and more", Width: 10, Height: 16, Kind: "convolution"}
	ten := slices.Repeat([]float64{98765.43}, 10)
	labels := slices.Repeat([]string{"automobile"}, 10)
	for name, f := range map[string]Figure{
		"lines":        Lines(c, Series{Name: long, X: []float64{0, 1}, Y: []float64{1, 2}}, Series{Name: "other", X: []float64{0, 1}, Y: []float64{2, 2}}),
		"large ticks":  Lines(Chart{X: "x", Y: "y", Width: 200}, Series{Name: "a", X: []float64{0, 12345678}, Y: []float64{1e6, 2e7}}),
		"bars":         Bars(c, labels, Series{Y: ten}),
		"bars, groups": Bars(c, labels, Series{Name: long, Y: ten}, Series{Name: "b", Y: ten}),
		"bubbles": Bubbles(c, "million", Bubble{"an unusually long name", 1, 1, 1}, Bubble{"an unusually long name", 2, 1, 1},
			Bubble{"an unusually long name", 3, 1, 1}),
		"contours":   Contours(c, bowl(), Series{Name: long, X: []float64{0, 1}, Y: []float64{1, 2}}),
		"confusion":  Confusion(long, [][]int{{1, 0}, {0, 1000000}}, []string{"a", "b"}),
		"numbers":    Numbers(long, matrix(2, 1e-30, -1e30)),
		"grid":       Grid(Pictures{Title: long, Images: []image.Image{dot, dot}, Captions: []string{long, long}, Width: 120}),
		"flow":       Flow(long, 200, Group{Lanes: [][]Box{{box, box}}, Note: long}),
		"one colour": Flow("net", 100, Group{Lanes: [][]Box{{box}}}),
	} {
		if f.check() != nil {
			t.Errorf("%s: %v", name, f.check())
			continue
		}
		all := f.picture.Bounds()
		for y := range all.Dy() {
			for x := range all.Dx() {
				if image.Pt(x, y).In(all.Inset(margin / 8)) {
					continue
				}
				if f.picture.RGBAAt(x, y) != (color.RGBA{0xff, 0xff, 0xff, 0xff}) {
					t.Fatalf("%s: ink at %d, %d of %v", name, x, y, all)
				}
			}
		}
	}
}

// Lines are as long as there is room; what has no space is broken within.
func TestWrap(t *testing.T) {
	room := width("aaaa aaaa", small(textSize))
	for text, want := range map[string]string{
		"":               "",
		"aaaa aaaa aaaa": "aaaa aaaa|aaaa",
		"aaaa\naaaa":     "aaaa|aaaa",
		"b aaaaaaaaaaaa": "b|aaaaaaaa|aaaa",
	} {
		if got := strings.Join(wrap(text, textSize, false, room), "|"); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := wrap("宽的", textSize, false, 1); !slices.Equal(got, []string{"宽", "的"}) {
		t.Errorf("where not even a letter fits: %q", got)
	}
}

// Numbers below the axis do not touch: where there is no room for all, every second one is left out, or more.
func TestTicksBelowDoNotTouch(t *testing.T) {
	for wide, want := range map[int]int{600: 8, 200: 3, 130: 2} {
		n := 0
		for _, mark := range (Chart{Width: wide}).ticksBelow(0.012, 0.019) {
			if mark.Label != "" {
				n++
			}
		}
		if n != want {
			t.Errorf("%d pixels: %d numbers, want %d", wide, n, want)
		}
	}
}

// Chinese is drawn as characters: 一 is a level stroke, 二 two of them, one above the other, and neither is a box.
func TestChinese(t *testing.T) {
	strokes := func(text string) (n int) {
		sheet := newSheet(40*density, 40*density)
		sheet.write([]string{text}, 20*density, 10*density, textSize, false, ink)
		before := false
		for y := range sheet.Bounds().Dy() {
			dark := 0
			for x := range sheet.Bounds().Dx() {
				if at(sheet, x, y) == ink {
					dark++
				}
			}
			if now := dark > textSize*density/2; now && !before {
				n++
				before = true
			} else if !now {
				before = false
			}
		}
		return n
	}
	for text, want := range map[string]int{"一": 1, "二": 2, "三": 3, "l": 0} {
		if got := strokes(text); got != want {
			t.Errorf("%s has %d level strokes, want %d", text, got, want)
		}
	}
	if got, want := width("损失", small(textSize)), 2*textSize*density+1; got != want {
		t.Errorf("two characters are %d pixels wide, want %d", got, want)
	}
	if got, want := width("CNN 损失", small(textSize)), width("CNN ", small(textSize))+2*textSize*density; got < want-1 || got > want+1 {
		t.Errorf("Latin and Chinese are %d pixels wide, want %d", got, want)
	}
}
