package nn

import "testing"

// What is usual is left out: a stride of 1, or of a pooling's own size, and one group.
func TestDetails(t *testing.T) {
	for want, layer := range map[string]Layer{
		"conv 5×5, 6 filters": Conv(6, 5),
		"conv 3×3, 8 filters, stride 2, padding 1, 4 groups, no bias": Conv(8, 3).Stride(2).Padding(1).Groups(4).NoBias(),
		"max-pool 2×2": MaxPool(2),
		"max-pool 3×3, stride 2, padding 1, rounded up": MaxPool(3).Stride(2).Padding(1).Ceil(),
		"avg-pool 2×2, stride 1":                        AvgPool(2).Stride(1),
		"dense 10 units":                                Dense(10),
		"dropout 0.5":                                   Dropout(0.5),
		"batch-norm":                                    BatchNorm,
		"times 0.25":                                    Times(0.25),
		"times 0.1111":                                  Times(1. / 9),
		"batch-norm no scale":                           BatchNorm.NoScale(),
		"batch-norm epsilon 0.001":                      BatchNorm.Epsilon(0.001),
		"lrn 5 channels":                                LRN,
		"auxiliary weight 0.3":                          Auxiliary(0.3),
		"relu":                                          ReLU,
		"a block":                                       Named("a block", ReLU),
	} {
		if got := layer.Info().String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
