package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/nn/internal/check"
)

func TestPoolingByHand(t *testing.T) {
	image := tensors.FromFlatDataAndDimensions([]float32{
		1, 2, 5, 6,
		3, 9, 7, 8,
		0, 0, 4, 1,
		0, 0, 2, 3}, 1, 4, 4, 1)
	cases := []struct {
		layer Layer
		want  []float32
	}{
		{MaxPool(2), []float32{9, 8, 0, 4}},
		{AvgPool(2), []float32{15. / 4, 26. / 4, 0, 10. / 4}},
		{MaxPool(2).Stride(1), []float32{9, 9, 8, 9, 9, 8, 0, 4, 4}},
		{MaxPool(3), []float32{9}},
		{GlobalAvgPool, []float32{51. / 16}},
	}
	got, _ := check.Run(t, func(in []*graph.Node) (ys []*graph.Node) {
		for _, c := range cases {
			ys = append(ys, c.layer.Apply(nil, in[0]))
		}
		return ys
	}, image)
	for i, c := range cases {
		if !slices.Equal(got[i], c.want) {
			t.Errorf("%v: %v, want %v", c.layer.Info(), got[i], c.want)
		}
	}
}

func TestGlobalAvgPoolKeepsChannelsApart(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1, 10, 2, 20, 3, 30, 6, 60}, 1, 2, 2, 2)
	got := applied(t, GlobalAvgPool, false, nil, x, output)
	if !slices.Equal(got[0], []float32{3, 30}) {
		t.Errorf("%v, want 3 and 30", got[0])
	}
}

// Maxima give what XLA's own pooling gives, and so do their gradients, where windows tile the images and where they do not.
func TestMaxPoolAgainstXLA(t *testing.T) {
	tiles, shifted := PoolLayer.maxOfTiles, PoolLayer.maxOfShifted
	cases := []struct {
		layer PoolLayer
		by    func(PoolLayer, *graph.Node) *graph.Node
	}{
		{MaxPool(2), tiles}, {MaxPool(3), tiles},
		{MaxPool(2).Stride(1), shifted}, {MaxPool(3).Stride(1).Padding(1), shifted}, {MaxPool(3).Stride(2), shifted},
		{MaxPool(3).Stride(2).Padding(1), shifted}, {MaxPool(3).Stride(2).Ceil(), shifted},
	}
	got, _ := check.Run(t, func(in []*graph.Node) (all []*graph.Node) {
		for _, c := range cases {
			for _, y := range []*graph.Node{c.layer.max(in[0]), c.by(c.layer, in[0])} {
				weights := graph.IotaFull(y.Graph(), y.Shape())
				all = append(all, y, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, weights)), in[0])[0])
			}
		}
		return all
	}, check.Random(1, 2, 6, 12, 2))
	for i, c := range cases {
		if !check.Near(got[4*i+2], got[4*i], 0) {
			t.Errorf("%v: other values than XLA's", c.layer.Info())
		}
		if !check.Near(got[4*i+3], got[4*i+1], 1e-3) {
			t.Errorf("%v: another gradient than XLA's", c.layer.Info())
		}
	}
}

// Of equal values, the first one gets a maximum's gradient, as in PyTorch: nn.MaxPool2d gives 5 3 / 3 5 the gradient
// 1 0 / 0 0.
func TestMaxPoolOfEqualValues(t *testing.T) {
	for _, c := range []struct{ image, want []float32 }{
		{[]float32{5, 3, 3, 5}, []float32{1, 0, 0, 0}},
		{[]float32{3, 5, 5, 3}, []float32{0, 1, 0, 0}},
		{[]float32{5, 5, 5, 5}, []float32{1, 0, 0, 0}},
	} {
		got, _ := check.Run(t, func(in []*graph.Node) (all []*graph.Node) {
			for _, y := range []*graph.Node{MaxPool(2).maxOfTiles(in[0]), MaxPool(2).maxOfShifted(in[0])} {
				all = append(all, graph.Gradient(graph.ReduceAllSum(y), in[0])...)
			}
			return all
		}, tensors.FromFlatDataAndDimensions(c.image, 1, 2, 2, 1))
		if !slices.Equal(got[0], c.want) || !slices.Equal(got[1], c.want) {
			t.Errorf("%v has the gradients %v and %v, want %v", c.image, got[0], got[1], c.want)
		}
	}
}

// Pooling with padding and rounding up over a grid of sizes: the size by PyTorch's rule, each value from the pixels
// that its window holds, and a maximum's gradient goes to one of them, so its sum stays.
func TestPoolingOverAGridOfSizes(t *testing.T) {
	layers := []PoolLayer{
		MaxPool(3).Stride(2), MaxPool(3).Stride(2).Ceil(), MaxPool(2).Ceil(), MaxPool(3).Stride(2).Padding(1),
		MaxPool(3).Stride(2).Padding(1).Ceil(), MaxPool(2).Stride(3).Padding(1).Ceil(),
		AvgPool(3).Stride(1).Padding(1), AvgPool(3).Stride(2).Padding(1), AvgPool(2).Stride(1),
	}
	for _, side := range []int{3, 4, 5, 7, 8, 14} {
		x := check.Random(uint64(side), 1, side, side, 1)
		got, dims := check.Run(t, func(in []*graph.Node) (all []*graph.Node) {
			for _, layer := range layers {
				y := layer.Apply(nil, in[0])
				all = append(all, y, graph.Gradient(graph.ReduceAllSum(y), in[0])[0])
			}
			return all
		}, x)
		for i, layer := range layers {
			n := sideByPyTorch(layer.info, side)
			want := pooled(layer.info, tensors.MustCopyFlatData[float32](x), side, n)
			if !slices.Equal(dims[2*i], []int{1, n, n, 1}) || !check.Near(got[2*i], want, 1e-5) {
				t.Errorf("%v of %d×%[2]d: %v %v, want %v", layer.info, side, dims[2*i], got[2*i], want)
			}
			total := 0.0
			for _, g := range got[2*i+1] {
				total += float64(g)
			}
			if layer.info.Kind == "max-pool" && math.Abs(total-float64(n*n)) > 1e-4 {
				t.Errorf("%v of %d×%[2]d: the gradients sum to %v, want %d", layer.info, side, total, n*n)
			}
		}
	}
}

// sideByPyTorch is the side of what a pooling gives, by the rule in PyTorch's documentation of nn.MaxPool2d.
func sideByPyTorch(p Info, side int) int {
	n := (side+2*p.Padding-p.Kernel)/p.Stride + 1
	if p.Ceil {
		n = int(math.Ceil(float64(side+2*p.Padding-p.Kernel)/float64(p.Stride))) + 1
		if (n-1)*p.Stride >= side+p.Padding {
			n--
		}
	}
	return n
}

// pooled is what a pooling gives, from the pixels that each of its n × n windows holds.
func pooled(p Info, pixels []float32, side, n int) (want []float32) {
	for i := range n * n {
		most, sum := math.Inf(-1), 0.0
		for k := range p.Kernel * p.Kernel {
			r, c := i/n*p.Stride+k/p.Kernel-p.Padding, i%n*p.Stride+k%p.Kernel-p.Padding
			if r >= 0 && r < side && c >= 0 && c < side {
				most = max(most, float64(pixels[r*side+c]))
				sum += float64(pixels[r*side+c])
			}
		}
		if p.Kind == "avg-pool" {
			most = sum / float64(p.Kernel*p.Kernel)
		}
		want = append(want, float32(most))
	}
	return want
}
