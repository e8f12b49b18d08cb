package figure_test

import (
	"image"
	"testing"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/internal/golden"
)

// samples is one figure of each kind, or more.
func samples() map[string]figure.Figure {
	ramp := image.NewGray(image.Rect(0, 0, 4, 3))
	for i := range ramp.Pix {
		ramp.Pix[i] = uint8(20 * i)
	}
	photo := image.NewRGBA(image.Rect(0, 0, 4, 3))
	for i := range photo.Pix {
		photo.Pix[i] = uint8(255 - 5*i%7*30)
		if i%4 == 3 {
			photo.Pix[i] = 255
		}
	}
	six := array.New([]float32{-2, 0, 1, 2, 0.125, -0.5}, 2, 3)
	axes := figure.Chart{Title: "T", X: "x", Y: "y", Width: 240, Height: 160}
	large := figure.Chart{Title: "T", X: "x", Y: "y", Width: 360, Height: 160}
	box := func(kind, label string) figure.Box {
		return figure.Box{Label: label, Width: 34, Height: 16, Kind: kind}
	}
	return map[string]figure.Figure{
		"grid": figure.Grid(figure.Pictures{
			Title: "Pictures", Images: []image.Image{ramp, photo, ramp, photo},
			Captions: []string{"cat, taken for dog\n(93 % sure)", "dog", "frog", "ship"}, Columns: 3, Width: 240,
			Frames: []image.Rectangle{image.Rect(1, 0, 3, 2), {}, {}, {}},
		}),
		"numbers-pictures": figure.Grid(figure.Pictures{Images: []image.Image{
			figure.Gray(array.New([]float32{-1, 0, 1, 3, 2, 2}, 2, 3)),
			figure.RedBlue(array.New([]float32{-2, 0, 1, 0.5, -0.5, 2}, 1, 2, 3, 1)),
			figure.RGB(array.New([]float32{-1, 0, 1, 3, 3, -1}, 1, 2, 3)),
		}, Width: 200}),
		"lines": figure.Lines(axes, figure.NewSeries("training", []float32{1, 3, 2, 4}),
			figure.NewSeries("test", []float32{2, 2, 5, 3}).Smooth(2), figure.Series{Name: "point", X: []float64{1}, Y: []float64{3}}),
		"chinese": figure.Lines(figure.Chart{Title: "卷积神经网络 CNN", X: "步数", Y: "损失", Width: 240, Height: 160},
			figure.NewSeries("训练", []float32{3, 2, 1})),
		"bars": figure.Bars(axes, []string{"A\n1.2 M", "B\n3.4 M"}, figure.Series{Y: []float64{52.25, 84.5}}),
		"bar-groups": figure.Bars(axes, []string{"one", "two"},
			figure.Series{Name: "a", Y: []float64{1, 4}}, figure.Series{Name: "b", Y: []float64{2, 0}}),
		"spread": figure.Spread(axes, []string{"rate 1\nbatch 2", "rate 3\nbatch 4"}, [][]float64{{61, 62, 63.5}, {64, 65}}),
		"bubbles": figure.Bubbles(large, "million",
			figure.Bubble{Name: "small", X: 8, Y: 16, Size: 1}, figure.Bubble{Name: "middle", X: 50, Y: 15.5, Size: 2},
			figure.Bubble{Name: "large", X: 152, Y: 3.5, Size: 4}),
		"contours": figure.Contours(axes, bowl(), figure.Series{Name: "walk", X: []float64{2, 1, 0}, Y: []float64{0, 0.5, 0}},
			figure.Series{Name: "off", X: []float64{-1, -9}, Y: []float64{0, 0.5}}),
		"confusion": figure.Confusion("Pets", [][]int{{30, 1, 0}, {0, 4, 2}, {3, 3, 3}}, []string{"cat", "dog", "horse"}),
		"numbers":   figure.Numbers("feature map", six, image.Rect(1, 0, 3, 2)),
		"flow": figure.Flow("A net", 200,
			figure.Group{Lanes: [][]figure.Box{{{Label: "3×3", Width: 12, Height: 40, Kind: "convolution"}}}, Note: "8×8×4"},
			figure.Group{Lanes: [][]figure.Box{{box("convolution", "1×1"), box("convolution", "3×3")}, {box("pooling", "3×3 /1")}},
				Skip: true, Times: 3, Note: "4×4×8"},
			figure.Group{Lanes: [][]figure.Box{{{Width: 10, Height: 12, Kind: "dense"}}}, Note: "10"}),
		"row": figure.Row(figure.Numbers("left", array.New([]float32{1, -1}, 1, 2)),
			figure.Numbers("right", array.New([]float32{1, -1, 3, 4}, 2, 2))),
	}
}

// bowl is round: its lines of equal height are circles.
func bowl() figure.Surface {
	return figure.NewSurface(-3, 3, -3, 3, 41, func(x, y float64) float64 { return x*x + y*y })
}

func TestGolden(t *testing.T) {
	for name, f := range samples() {
		got, err := f.PNG()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden.Compare(t, name, got)
	}
}
