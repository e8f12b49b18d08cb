package pool

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/nn/internal/check"
)

// On the device, all forms give the same maxima, and the same gradients.
func TestFormsAgree(t *testing.T) {
	cases := []struct {
		window Window
		by     func(Window, *graph.Node) *graph.Node
	}{
		{Window{Size: 2, Stride: 2}, Window.ofTiles},
		{Window{Size: 3, Stride: 2, Padding: 1, Below: 1, Right: 1}, Window.ofShifted},
	}
	got, _ := check.Run(t, check.Device(t), func(in []*graph.Node) (all []*graph.Node) {
		for _, c := range cases {
			for _, y := range []*graph.Node{c.window.max(in[0]), c.by(c.window, in[0])} {
				sum := graph.ReduceAllSum(graph.Mul(y, graph.IotaFull(y.Graph(), y.Shape())))
				all = append(all, y, graph.Gradient(sum, in[0])[0])
			}
		}
		return all
	}, check.Random(1, 2, 6, 12, 2))
	for i, c := range cases {
		if !check.Near(got[4*i+2], got[4*i], 0) {
			t.Errorf("%+v: other values", c.window)
		}
		if !check.Near(got[4*i+3], got[4*i+1], 1e-3) {
			t.Errorf("%+v: another gradient", c.window)
		}
	}
}

// Of equal values, the first one gets a maximum's gradient, as in PyTorch: nn.MaxPool2d gives 5 3 / 3 5 the gradient
// 1 0 / 0 0.
func TestEqualValues(t *testing.T) {
	images := tensors.FromFlatDataAndDimensions([]float32{5, 3, 3, 5, 3, 5, 5, 3, 5, 5, 5, 5}, 3, 2, 2, 1)
	want := []float32{1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0}
	w := Window{Size: 2, Stride: 2}
	got, _ := check.Run(t, check.Device(t), func(in []*graph.Node) (all []*graph.Node) {
		for _, y := range []*graph.Node{w.ofTiles(in[0]), w.ofShifted(in[0]), w.max(in[0])} {
			all = append(all, graph.Gradient(graph.ReduceAllSum(y), in[0])...)
		}
		return all
	}, images)
	for i, form := range []string{"tiles", "shifted images", "XLA"} {
		if !slices.Equal(got[i], want) {
			t.Errorf("%s: the gradient is %v, want %v", form, got[i], want)
		}
	}
}

// What is not a number is the largest value of its windows, as in PyTorch, and of no others.
func TestNotANumber(t *testing.T) {
	nan := float32(math.NaN())
	images := tensors.FromFlatDataAndDimensions([]float32{nan, 1, 2, 3, 4, nan, 5, 6, 7, 8, 9, nan, nan, nan, nan, nan}, 4, 2, 2, 1)
	w := Window{Size: 2, Stride: 2}
	got, _ := check.Run(t, check.Device(t), func(in []*graph.Node) []*graph.Node {
		rest := graph.Slice(in[0], graph.AxisRange(0, 1), graph.AxisRange(), graph.AxisRange(1, 2))
		return []*graph.Node{w.ofTiles(in[0]), w.ofShifted(in[0]), Max(in[0], w), Max(rest, Window{Size: 1, Stride: 1})}
	}, images)
	for i, form := range []string{"tiles", "shifted images", "what the device does"} {
		for image, value := range got[i] {
			if value == value {
				t.Errorf("%s: the maximum of image %d is %v", form, image, value)
			}
		}
	}
	if got := got[3]; !slices.Equal(got, []float32{1, 3}) {
		t.Errorf("beside what is not a number there are %v", got)
	}
}
