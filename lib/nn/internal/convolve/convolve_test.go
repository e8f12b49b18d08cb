package convolve

import (
	"fmt"
	"slices"
	"testing"

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
		got, dims := check.Run(t, func(in []*graph.Node) (ys []*graph.Node) {
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

// Over a grid of sizes, every form equals the written-out sum, its size is the formula's, and its gradients equal those of
// finite differences. All of a kernel's cases are one program, because compiling is what takes the time here.
func TestFormsAgree(t *testing.T) {
	const batch, height, width, channels, filters = 2, 7, 6, 3, 2
	x := check.Random(1, batch, height, width, channels)
	for _, kernel := range []int{1, 2, 3, 5} {
		var cases []formCase
		for _, stride := range []int{1, 2, 3} {
			for _, padding := range []int{0, 1, 2} {
				for _, form := range []string{"convolution", "patches", "dense", "the fastest"} {
					cases = append(cases, formCase{form, stride, padding})
				}
			}
		}
		checkForms(t, cases, x, check.Random(2, kernel, kernel, channels, filters))
	}
}

// Winograd's algorithm needs sides that tiles of 2×2 cover.
func TestWinograd(t *testing.T) {
	checkForms(t, []formCase{{"winograd", 1, 1}}, check.Random(1, 2, 8, 6, 3), check.Random(2, 3, 3, 3, 2))
}

type formCase struct {
	form            string
	stride, padding int
}

func checkForms(t *testing.T, cases []formCase, x, w *tensors.Tensor) {
	t.Helper()
	batch, height, width, channels := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2), x.Shape().Dim(3)
	kernel, filters := w.Shape().Dim(0), w.Shape().Dim(3)
	xs, ws := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](w)
	dimsOf := func(c formCase) []int {
		return []int{batch, (height+2*c.padding-kernel)/c.stride + 1, (width+2*c.padding-kernel)/c.stride + 1, filters}
	}
	pull := func(c formCase) *tensors.Tensor { return check.Random(3, dimsOf(c)...) }
	got, dims := check.Run(t, func(in []*graph.Node) (all []*graph.Node) {
		for _, c := range cases {
			y := forms[c.form](in[0], in[1], c.stride, c.padding)
			if !slices.Equal(y.Shape().Dimensions, dimsOf(c)) {
				t.Fatalf("%v, kernel %d: %v, the formula says %v", c, kernel, y.Shape().Dimensions, dimsOf(c))
			}
			loss := graph.ReduceAllSum(graph.Mul(y, graph.Const(y.Graph(), pull(c)))) // each output times a number of its own
			all = append(append(all, y), graph.Gradient(loss, in[0], in[1])...)
		}
		return all
	}, x, w)
	for i, c := range cases {
		where := fmt.Sprintf("%s, kernel %d, stride %d, padding %d", c.form, kernel, c.stride, c.padding)
		sums := func(xs, ws []float32) []float32 {
			return check.Convolution(xs, ws, batch, height, width, channels, kernel, filters, c.stride, c.padding)
		}
		pulls := tensors.MustCopyFlatData[float32](pull(c))
		loss := func(xs, ws []float32) (sum float64) {
			for i, y := range sums(xs, ws) {
				sum += float64(y) * float64(pulls[i])
			}
			return sum
		}
		if !slices.Equal(dims[3*i], dimsOf(c)) || !check.Near(got[3*i], sums(xs, ws), 1e-4) {
			t.Errorf("%s: the values differ from the sum", where)
		}
		check.Gradient(t, where+", by the image", got[3*i+1], xs, func(xs []float32) float64 { return loss(xs, ws) })
		check.Gradient(t, where+", by the weights", got[3*i+2], ws, func(ws []float32) float64 { return loss(xs, ws) })
	}
}

// With groups, filters see their own channels only: two convolutions side by side, as the written-out sum has them.
func TestGroups(t *testing.T) {
	x, w := check.Random(1, 2, 5, 5, 4), check.Random(2, 3, 3, 2, 6)
	got, dims := check.Run(t, func(in []*graph.Node) []*graph.Node {
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
