package figure

import (
	"encoding/xml"
	"fmt"
	"image/color"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// element is a part of an SVG.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Elements []element  `xml:",any"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func parse(t *testing.T, svg string) element {
	t.Helper()
	var e element
	if err := xml.Unmarshal([]byte(svg), &e); err != nil {
		t.Fatalf("%v in %s", err, svg)
	}
	return e
}

// The line goes where the numbers at the axes say.
func TestLinesSVG(t *testing.T) {
	c := Chart{Title: `Loss <&"`, X: "epoch", Y: "loss, 中文", Width: 400, Height: 250, XEnd: 10}
	svg, err := LinesSVG(c, Series{Name: "single", X: []float64{0, 2, 4}, Y: []float64{4, 1, 3}, Pale: true},
		Series{Name: "mean", X: []float64{0, 4}, Y: []float64{4, 2}}, Series{Name: "none yet"})
	if err != nil {
		t.Fatal(err)
	}
	root := parse(t, svg)
	if want := `Line chart: Loss <&", loss, 中文 over epoch; single from 4 to 3; mean from 4 to 2`; root.attr("aria-label") != want {
		t.Errorf("is described as %q, want %q", root.attr("aria-label"), want)
	}
	if root.attr("viewBox") != "0 0 400 250" {
		t.Errorf("is of size %s", root.attr("viewBox"))
	}
	at := map[string]element{}
	for _, e := range root.Elements {
		at[e.Text] = e
	}
	for _, text := range []string{c.Title, c.X, c.Y, "single", "mean", "10", "4"} {
		if _, ok := at[text]; !ok {
			t.Errorf("does not say %q", text)
		}
	}
	if _, ok := at["none yet"]; ok {
		t.Error("names a series without values")
	}
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Error(err)
		}
		return v
	}
	var lines [][]float64
	for _, e := range root.Elements {
		if d := e.attr("d"); e.attr("fill") == "none" && strings.Contains(d, " ") && !strings.ContainsAny(d, "VHh") {
			var line []float64
			for v := range strings.FieldsSeq(strings.TrimPrefix(d, "M")) {
				line = append(line, number(v))
			}
			lines = append(lines, line)
			if want := e.attr("stroke"); want != "#0072b2" {
				t.Errorf("a line is %s", want)
			}
		}
	}
	if len(lines) != 2 || len(lines[0]) != 6 || len(lines[1]) != 4 {
		t.Fatalf("has the lines %v", lines)
	}
	// The numbers stand below their x, and beside their y, whose text hangs 4 pixels lower.
	zero, ten := number(at["0"].attr("x")), number(at["10"].attr("x"))
	if got, want := lines[1][2], zero+(ten-zero)*0.4; math.Abs(got-want) > 0.2 && at["0"].attr("text-anchor") == "" {
		t.Errorf("4 epochs are at %v, want %v", got, want)
	}
	if got, want := lines[1][1], number(at["4"].attr("y"))-4; at["4"].attr("text-anchor") == "end" && math.Abs(got-want) > 0.2 {
		t.Errorf("the loss 4 is at %v, want %v", got, want)
	}
}

// Before there is anything to draw there is a chart already, and a single point can be seen.
func TestLinesSVGOfLittle(t *testing.T) {
	c := Chart{X: "epoch", Y: "accuracy, %", XEnd: 10}
	svg, err := LinesSVG(c)
	if err != nil || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("%v: %s", err, svg)
	}
	svg, err = LinesSVG(c, Series{Name: "test", X: []float64{1}, Y: []float64{50}})
	if err != nil || !strings.Contains(svg, "<circle") || strings.Contains(svg, "NaN") {
		t.Errorf("%v: %s", err, svg)
	}
	parse(t, svg)
	if svg, err = LinesSVG(c, Series{Name: "test", X: []float64{1}, Y: []float64{1e17}}); err != nil || strings.Contains(svg, "NaN") {
		t.Errorf("%v: %s", err, svg)
	}
	for want, err := range map[string]error{
		`chart "" has no name for each axis`: second(LinesSVG(Chart{X: "x"})),
		`series "a": plotter`:                second(LinesSVG(c, Series{Name: "a", X: []float64{1}, Y: []float64{math.NaN()}})),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func second(_ string, err error) error { return err }

func ExampleLinesSVG() {
	svg, err := LinesSVG(Chart{Title: "Loss", X: "step", Y: "loss"}, NewSeries("batch", []float32{2, 1, 0.5}))
	fmt.Println(len(svg) < 4000, err)
	// Output: true <nil>
}

// curve is how a loss may go, as many points as a chart can show.
func curve() []Series {
	single, mean := Series{Name: "single", Pale: true}, Series{Name: "mean of 50"}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 320 {
		epoch := float64(i) / 32
		loss := 0.3 + 2/(1+3*epoch)
		single.Add(epoch, loss*(0.8-0.2*random.Float64()))
		single.Add(epoch, loss*(1.2+0.4*random.Float64()))
		mean.Add(epoch, loss)
	}
	return []Series{single, mean}
}

// More lines than there are colours are told apart by dashes, the first of them by colours alone.
func TestManyLines(t *testing.T) {
	var all []Series
	for i := range 2*len(palette) + 1 {
		all = append(all, Series{Name: fmt.Sprint(i), X: []float64{0, 1}, Y: []float64{0, float64(i)}})
	}
	svg, err := LinesSVG(Chart{X: "x", Y: "y"}, all...)
	if err != nil {
		t.Fatal(err)
	}
	for dash, want := range map[string]int{`"7 3"`: 2 * len(palette), `"2 3"`: 2} { // each line, and its entry in the legend
		if got := strings.Count(svg, "stroke-dasharray="+dash); got != want {
			t.Errorf("%d lines with the dashes %s, want %d", got, dash, want)
		}
	}
	looks := map[string]bool{}
	for i := range all {
		looks[fmt.Sprint(lineColor(all, i), dashes(all, i))] = true
	}
	if len(looks) != len(all) {
		t.Errorf("%d lines have %d looks", len(all), len(looks))
	}
}

// A line lies on another one that goes the same way, and both can be seen.
func TestDashedLine(t *testing.T) {
	c := Chart{X: "x", Y: "y"}
	below := Series{Name: "below", X: []float64{0, 1}, Y: []float64{1, 2}}
	above := below
	above.Name, above.Dashed = "above", true
	colours := func(series ...Series) map[color.RGBA]int {
		_, picture := content(t, Lines(c, series...))
		count := map[color.RGBA]int{}
		for y := range picture.Bounds().Dy() {
			for x := range picture.Bounds().Dx() {
				count[at(picture, x, y)]++
			}
		}
		return count
	}
	hidden := colours(below, below)[palette[0]]
	both := colours(below, above.Smooth(1).From(0))
	if alone := colours(below)[palette[0]]; both[palette[0]] < hidden+alone/10 || both[palette[1]] < alone/3 {
		t.Errorf("%d and %d points of the two lines, want about a third and two of %d", both[palette[0]], both[palette[1]], alone)
	}
	svg, err := LinesSVG(c, below, above)
	if n := strings.Count(svg, `stroke-dasharray="7 3"`); err != nil || n != 2 {
		t.Errorf("%d lines with dashes and in the legend, want 2: %v", n, err)
	}
}

// Charts with the same YEnd have the same y-axis, unless the data go farther.
func TestYEnd(t *testing.T) {
	for _, test := range []struct{ end, low, high, from, to float64 }{
		{0, 16, 24, 16, 24}, {0, 9, 21, 0, 21}, {25, 16, 24, 0, 25}, {25, 9, 21, 0, 25}, {25, -1, 30, -1, 30},
	} {
		if from, to := (Chart{YEnd: test.end}).heightsShown(test.low, test.high); from != test.from || to != test.to {
			t.Errorf("from %v to %v: %+v", from, to, test)
		}
	}
	c := Chart{X: "x", Y: "y", YEnd: 25}
	svg, err := LinesSVG(c, Series{Name: "s", X: []float64{0, 1}, Y: []float64{16, 18}})
	if err != nil || !strings.Contains(svg, ">0</text>") || !strings.Contains(svg, ">25</text>") {
		t.Errorf("no 0 or no 25 at the axes of %s: %v", svg, err)
	}
}

// An update of a page that changes must be small.
func TestLinesSVGIsSmall(t *testing.T) {
	if svg, err := LinesSVG(Chart{X: "epoch", Y: "loss", Width: 440}, curve()...); err != nil || len(svg) > 20_000 {
		t.Errorf("%v, %d bytes", err, len(svg))
	}
}

func BenchmarkLinesSVG(b *testing.B) {
	for b.Loop() {
		if _, err := LinesSVG(Chart{X: "epoch", Y: "loss", Width: 440}, curve()...); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLinesPNG(b *testing.B) {
	for b.Loop() {
		if _, err := Lines(Chart{X: "epoch", Y: "loss", Width: 440}, curve()...).PNG(); err != nil {
			b.Fatal(err)
		}
	}
}
