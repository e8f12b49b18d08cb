package nn

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// bfloat16 has 7 digits behind the binary point: 1 + 1/256 is rounded to 1, the even one of its neighbours, and 1 + 3/512 to
// 1 + 1/128. Twice that is exact, since whether XLA rounds a product before the bias is added depends on the processor; the
// bias itself, which is added in float32, would be lost.
func TestPrecisionOfConvolutions(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1 + 1./256, 1 + 3./512}, 1, 1, 2, 1)
	weights := map[string][]float32{"conv1/weights": {2}, "conv1/bias": {1. / 1024}}
	for precision, want := range map[dtypes.DType][]float32{
		dtypes.Float32:  {2 + 2./256 + 1./1024, 2 + 6./512 + 1./1024},
		dtypes.BFloat16: {2 + 1./1024, 2 + 2./128 + 1./1024},
	} {
		net := inThePrecision{Conv(1, 1), precision}
		_, got := appliedTo(t, net, true, weights, x, func(_ *model.Store, _, y *graph.Node) []*graph.Node {
			return []*graph.Node{y}
		})
		if !slices.Equal(got[0], want) {
			t.Errorf("in %v: %v, want %v", precision, got[0], want)
		}
	}
}

// inThePrecision is a layer whose graph has been told a precision.
type inThePrecision struct {
	Layer
	precision dtypes.DType
}

func (l inThePrecision) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	SetPrecision(x.Graph(), l.precision)
	return l.Layer.Apply(scope, x)
}

// The gradient with respect to the weights where a window is wider than the image, summed up here by hand. All values
// are whole and small, so bfloat16 has them exactly. oneDNN takes for zeros what it finds in its memory: each number of
// filters has a memory of its own, which is used in the second round again.
func TestGradientByWeightsInBFloat16(t *testing.T) {
	const batch, height, width, channels, kernel, stride, padding, rows = 6, 6, 2, 8, 5, 3, 2, 2
	r := rand.New(rand.NewPCG(1, 2))
	whole := func(n int) []float32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(r.IntN(3) - 1)
		}
		return values
	}
	for round := range 2 * 6 {
		filters := 1 + round%6
		x, pull := whole(batch*height*width*channels), whole(batch*rows*filters)
		weights := make([]float32, kernel*kernel*channels*filters)
		want := make([]float32, len(weights))
		for i := range want {
			f, c, column, row := i%filters, i/filters%channels, i/filters/channels%kernel, i/filters/channels/kernel
			for image := range batch {
				for y := range rows {
					if down, right := y*stride+row-padding, column-padding; down >= 0 && down < height && right >= 0 && right < width {
						want[i] += x[((image*height+down)*width+right)*channels+c] * pull[(image*rows+y)*filters+f]
					}
				}
			}
		}
		net := inThePrecision{Conv(filters, kernel).Stride(stride).Padding(padding).NoBias(), dtypes.BFloat16}
		given := map[string][]float32{"conv1/weights": weights}
		_, got := appliedTo(t, net, true, given, tensors.FromFlatDataAndDimensions(x, batch, height, width, channels),
			func(store *model.Store, _, y *graph.Node) []*graph.Node {
				by := graph.Const(y.Graph(), tensors.FromFlatDataAndDimensions(pull, batch, rows, 1, filters))
				w := store.GetVariable(Path("conv1/weights")).NodeValue(y)
				return graph.Gradient(graph.ReduceAllSum(graph.Mul(y, by)), w)
			})
		for i := range want {
			if got[0][i] != want[i] {
				t.Errorf("%d filters: gradient %d is %v, want %v", filters, i, got[0][i], want[i])
				break
			}
		}
	}
}
