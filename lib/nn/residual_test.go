package nn

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// One channel, all weights by hand: 2x + 1 beside x, and 3x as another way round.
func TestResidualByHand(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1, 2, 3, 4}, 1, 2, 2, 1)
	values := map[string]float32{"residual1/conv1/weights": 2, "residual1/conv1/bias": 1}
	got := applied(t, Sequential(Residual(Conv(1, 1))), false, values, x, output)
	if want := []float32{4, 7, 10, 13}; !slices.Equal(got[0], want) {
		t.Errorf("%v, want %v", got[0], want)
	}
	values["residual1/shortcut/conv1/weights"] = 3
	got = applied(t, Sequential(Residual(Conv(1, 1)).Shortcut(Conv(1, 1).NoBias())), false, values, x, output)
	if want := []float32{6, 11, 16, 21}; !slices.Equal(got[0], want) {
		t.Errorf("with a shortcut: %v, want %v", got[0], want)
	}
}
