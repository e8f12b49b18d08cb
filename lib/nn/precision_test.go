package nn

import (
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// bfloat16 has 7 digits behind the binary point. So 1 + 1/256 is rounded to 1, the even one of its neighbours, and
// 1 + 3/512 to 1 + 1/128; three times that, 3 + 3/128, has a digit too many again, and becomes 3 + 1/32.
func TestPrecisionOfConvolutions(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1 + 1./256, 1 + 3./512}, 1, 1, 2, 1)
	weights := map[string][]float32{"conv1/weights": {3}, "conv1/bias": {1. / 1024}}
	for precision, want := range map[dtypes.DType][]float32{
		dtypes.Float32:  {3 + 3./256 + 1./1024, 3 + 9./512 + 1./1024},
		dtypes.BFloat16: {3 + 1./1024, 3 + 1./32 + 1./1024}, // the bias is added in float32
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
