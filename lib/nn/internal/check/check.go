// Package check has what the tests of package nn and of its internal packages share.
package check

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/device"
)

// Device is what the book's networks compute on: XLA.
func Device(t testing.TB) compute.Backend {
	t.Helper()
	b, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Interpreter is GoMLX's own backend. It computes slowly, but compiles nothing, and compiling is what takes the time in
// a test of many graphs.
func Interpreter() compute.Backend { return gobackend.GetBackend() }

// Run runs a graph function on values and returns its results as flat slices with their dimensions.
func Run(t testing.TB, on compute.Backend, f func(inputs []*graph.Node) []*graph.Node, inputs ...any) (values [][]float32, dims [][]int) {
	t.Helper()
	outputs, err := graph.CallOnceN(on, f, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	for _, output := range outputs {
		values = append(values, tensors.MustCopyFlatData[float32](output))
		dims = append(dims, output.Shape().Dimensions)
	}
	return values, dims
}

// Values are n numbers of a normal distribution.
func Values(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(r.NormFloat64())
	}
	return values
}

// Random is a tensor of such numbers.
func Random(seed uint64, dims ...int) *tensors.Tensor {
	n := 1
	for _, dim := range dims {
		n *= dim
	}
	return tensors.FromFlatDataAndDimensions(Values(seed, n), dims...)
}

// Near reports whether two slices differ nowhere by more than the tolerance, of a number and of 1.
func Near(a, b []float32, tolerance float64) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Abs(float64(x-y)) <= tolerance*(1+math.Abs(float64(y)))
	})
}

// Convolution are the sums that define a convolution, written out, of images x of batch × height × width × channels.
func Convolution(x, w []float32, batch, height, width, channels, kernel, filters, stride, padding int) []float32 {
	rows, columns := (height+2*padding-kernel)/stride+1, (width+2*padding-kernel)/stride+1
	var y []float32
	for b := range batch {
		for r := range rows {
			for c := range columns {
				for f := range filters {
					sum := 0.0
					for i := range kernel {
						for j := range kernel {
							yy, xx := r*stride+i-padding, c*stride+j-padding
							if yy < 0 || yy >= height || xx < 0 || xx >= width {
								continue
							}
							for ch := range channels {
								sum += float64(x[((b*height+yy)*width+xx)*channels+ch]) * float64(w[((i*kernel+j)*channels+ch)*filters+f])
							}
						}
					}
					y = append(y, float32(sum))
				}
			}
		}
	}
	return y
}

// Gradient compares some of a gradient's values with finite differences of the function.
func Gradient(t *testing.T, where string, gradient, at []float32, f func([]float32) float64) {
	t.Helper()
	const h = 0.05
	for i := 0; i < len(at); i += 1 + len(at)/7 {
		moved := slices.Clone(at)
		moved[i] = at[i] + h
		up := f(moved)
		moved[i] = at[i] - h
		down := f(moved)
		want := (up - down) / (2 * h)
		if math.Abs(float64(gradient[i])-want) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("%s: gradient %d is %v, finite differences give %v", where, i, gradient[i], want)
		}
	}
}
