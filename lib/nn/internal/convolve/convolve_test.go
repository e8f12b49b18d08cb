package convolve

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/nn/internal/check"
)

var forms = map[string]func(x, weights *graph.Node, stride, padding int) *graph.Node{
	"convolution": convolution, "patches": patches, "dense": dense, "winograd": winograd, "the fastest": Convolve,
}

// A case small enough for paper: the filter 1 0 / 0 −1 takes from each pixel the one to its lower right.
func TestByHand(t *testing.T) {
	image := tensors.FromFlatDataAndDimensions([]float32{
		1, 2, 3,
		4, 5, 7,
		9, 8, 6}, 1, 3, 3, 1)
	weights := tensors.FromFlatDataAndDimensions([]float32{1, 0, 0, -1}, 2, 2, 1, 1)
	cases := []struct {
		stride, padding int
		want            []float32
		dims            []int
	}{
		{1, 0, []float32{1 - 5, 2 - 7, 4 - 8, 5 - 6}, []int{1, 2, 2, 1}},
		{2, 0, []float32{1 - 5}, []int{1, 1, 1, 1}},
		{1, 1, []float32{
			-1, -2, -3, 0,
			-4, 1 - 5, 2 - 7, 3,
			-9, 4 - 8, 5 - 6, 7,
			0, 9, 8, 6}, []int{1, 4, 4, 1}},
		{2, 1, []float32{-1, -3, -9, 5 - 6}, []int{1, 2, 2, 1}},
	}
	for name, form := range forms {
		if name == "winograd" {
			continue // takes windows of 3×3
		}
		got, dims := check.Run(t, check.Interpreter(), func(in []*graph.Node) (ys []*graph.Node) {
			for _, c := range cases {
				ys = append(ys, form(in[0], in[1], c.stride, c.padding))
			}
			return ys
		}, image, weights)
		for i, c := range cases {
			if !slices.Equal(got[i], c.want) || !slices.Equal(dims[i], c.dims) {
				t.Errorf("%s, stride %d, padding %d: %v %v, want %v %v", name, c.stride, c.padding, got[i], dims[i], c.want, c.dims)
			}
		}
	}
}

// Over a grid of sizes, every form equals the written-out sum, its size is the formula's, and its gradients equal those
// of finite differences: what the device computes as XLA's convolution, what Convolve chooses there, and the others as
// GoMLX computes them.
func TestFormsAgree(t *testing.T) {
	x := check.Random(1, 2, 7, 6, 3)
	for _, kernel := range []int{1, 2, 3, 5} {
		w := check.Random(2, kernel, kernel, 3, 2)
		for _, stride := range []int{1, 2, 3} {
			for _, padding := range []int{0, 1, 2} {
				checkForm(t, check.Interpreter(), "patches", stride, padding, x, w)
				checkForm(t, check.Interpreter(), "dense", stride, padding, x, w)
				checkForm(t, check.Device(t), "convolution", stride, padding, x, w)
				checkForm(t, check.Device(t), "the fastest", stride, padding, x, w)
			}
		}
	}
}

// Winograd's algorithm needs sides that tiles of 2×2 cover.
func TestWinograd(t *testing.T) {
	x, w := check.Random(1, 2, 8, 6, 3), check.Random(2, 3, 3, 3, 2)
	checkForm(t, check.Interpreter(), "winograd", 1, 1, x, w)
}

// On the device, too, each form computes the same.
func TestFormsOnTheDevice(t *testing.T) {
	x, w := check.Random(1, 1, 2, 2, 2), check.Random(2, 3, 3, 2, 1)
	for form := range forms {
		checkForm(t, check.Device(t), form, 1, 1, x, w)
	}
}

func checkForm(t *testing.T, on compute.Backend, form string, stride, padding int, x, w *tensors.Tensor) {
	t.Helper()
	batch, height, width, channels := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2), x.Shape().Dim(3)
	kernel, filters := w.Shape().Dim(0), w.Shape().Dim(3)
	where := fmt.Sprintf("%s, kernel %d, stride %d, padding %d", form, kernel, stride, padding)
	xs, ws := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](w)
	wantDims := []int{batch, (height+2*padding-kernel)/stride + 1, (width+2*padding-kernel)/stride + 1, filters}
	sums := func(xs, ws []float32) []float32 {
		return check.Convolution(xs, ws, batch, height, width, channels, kernel, filters, stride, padding)
	}
	pull := check.Random(3, wantDims...) // the loss is the sum of the outputs, each times a number of its own
	pulls := tensors.MustCopyFlatData[float32](pull)
	loss := func(xs, ws []float32) (sum float64) {
		for i, y := range sums(xs, ws) {
			sum += float64(y) * float64(pulls[i])
		}
		return sum
	}
	got, dims := check.Run(t, on, func(in []*graph.Node) []*graph.Node {
		y := forms[form](in[0], in[1], stride, padding)
		gradients := graph.Gradient(graph.ReduceAllSum(graph.Mul(y, in[2])), in[0], in[1])
		return append([]*graph.Node{y}, gradients...)
	}, tensors.FromFlatDataAndDimensions(xs, x.Shape().Dimensions...), tensors.FromFlatDataAndDimensions(ws, w.Shape().Dimensions...), pull)
	if !slices.Equal(dims[0], wantDims) {
		t.Fatalf("%s: %v, the formula says %v", where, dims[0], wantDims)
	}
	if !check.Near(got[0], sums(xs, ws), 1e-4) {
		t.Errorf("%s: the values differ from the sum", where)
	}
	check.Gradient(t, where+", by the image", got[1], xs, func(xs []float32) float64 { return loss(xs, ws) })
	check.Gradient(t, where+", by the weights", got[2], ws, func(ws []float32) float64 { return loss(xs, ws) })
}

// With groups, filters see their own channels only: two convolutions side by side, as the written-out sum has them.
func TestGroups(t *testing.T) {
	x, w := check.Random(1, 2, 5, 5, 4), check.Random(2, 3, 3, 2, 6)
	got, dims := check.Run(t, check.Device(t), func(in []*graph.Node) []*graph.Node {
		return []*graph.Node{Convolve(in[0], in[1], 1, 1)}
	}, x, w)
	part := func(values []float32, of, from, n int) (picked []float32) {
		for row := range slices.Chunk(values, of) {
			picked = append(picked, row[from:from+n]...)
		}
		return picked
	}
	xs, ws := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](w)
	for group := range 2 {
		want := check.Convolution(part(xs, 4, 2*group, 2), part(ws, 6, 3*group, 3), 2, 5, 5, 2, 3, 3, 1, 1)
		if !slices.Equal(dims[0], []int{2, 5, 5, 6}) || !check.Near(part(got[0], 6, 3*group, 3), want, 1e-5) {
			t.Errorf("group %d differs", group)
		}
	}
}
