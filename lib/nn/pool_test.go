package nn

import (
	"cmp"
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
	got, _ := check.Run(t, check.Device(t), func(in []*graph.Node) (ys []*graph.Node) {
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

// gradientOf is the gradient with respect to x of the sum of 0, 1, 2, … times y's values.
func gradientOf(y, x *graph.Node) *graph.Node {
	return graph.Gradient(graph.ReduceAllSum(graph.Mul(y, graph.IotaFull(y.Graph(), y.Shape()))), x)[0]
}

// Pooling with padding and rounding up over a grid of sizes: the size by PyTorch's rule, each value and the gradient
// from the pixels that its window holds.
func TestPoolingOverAGridOfSizes(t *testing.T) {
	for _, side := range []int{3, 4, 5, 6, 7, 8, 14} {
		for _, layer := range []PoolLayer{
			MaxPool(2), MaxPool(3), MaxPool(2).Stride(1), MaxPool(3).Stride(1).Padding(1),
			MaxPool(3).Stride(2), MaxPool(3).Stride(2).Ceil(), MaxPool(2).Ceil(), MaxPool(3).Stride(2).Padding(1),
			MaxPool(3).Stride(2).Padding(1).Ceil(), MaxPool(2).Stride(3).Padding(1).Ceil(),
			AvgPool(3).Stride(1).Padding(1), AvgPool(3).Stride(2).Padding(1), AvgPool(2).Stride(1),
		} {
			pixels := check.Values(uint64(side), side*side)
			got, dims := check.Run(t, check.Interpreter(), func(in []*graph.Node) []*graph.Node {
				y := layer.Apply(nil, in[0])
				return []*graph.Node{y, gradientOf(y, in[0])}
			}, tensors.FromFlatDataAndDimensions(pixels, 1, side, side, 1))
			n := sideByPyTorch(layer.info, side)
			want, gradient := pooled(layer.info, pixels, side, n)
			if !slices.Equal(dims[0], []int{1, n, n, 1}) || !check.Near(got[0], want, 1e-5) {
				t.Errorf("%v of %d×%[2]d: %v %v, want %v", layer.info, side, dims[0], got[0], want)
			}
			if !check.Near(got[1], gradient, 1e-4) {
				t.Errorf("%v of %d×%[2]d: the gradient is %v, want %v", layer.info, side, got[1], gradient)
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

// pooled is what a pooling gives, from the pixels that each of its n × n windows holds, and the gradient with respect
// to the pixels of the sum of 0, 1, 2, … times that.
func pooled(p Info, pixels []float32, side, n int) (values, gradient []float32) {
	gradient = make([]float32, len(pixels))
	for i := range n * n {
		var window []int // the pixels in it
		for k := range p.Kernel * p.Kernel {
			r, c := i/n*p.Stride+k/p.Kernel-p.Padding, i%n*p.Stride+k%p.Kernel-p.Padding
			if r >= 0 && r < side && c >= 0 && c < side {
				window = append(window, r*side+c)
			}
		}
		if p.Kind == "max-pool" {
			largest := slices.MaxFunc(window, func(a, b int) int { return cmp.Compare(pixels[a], pixels[b]) })
			values = append(values, pixels[largest])
			gradient[largest] += float32(i)
			continue
		}
		area, sum := float32(p.Kernel*p.Kernel), float32(0)
		for _, at := range window {
			sum += pixels[at]
			gradient[at] += float32(i) / area
		}
		values = append(values, sum/area)
	}
	return values, gradient
}
