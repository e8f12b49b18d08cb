package nn

import (
	"slices"
	"testing"
)

// The short summary of a network with every kind of block, by hand.
func TestBlocks(t *testing.T) {
	unit := func(filters int) Layer { return Named("unit", Conv(filters, 1).NoBias(), BatchNorm, ReLU) }
	same := Residual(Conv(4, 3).Padding(1), ReLU, Conv(4, 3).Padding(1))
	summary, err := Summarize(Named("net",
		Conv(4, 3).Padding(1), BatchNorm, ReLU, MaxPool(2),
		same, ReLU, same, ReLU,
		Residual(Conv(2, 1), Conv(6, 1)).Shortcut(Conv(6, 1).NoBias()),
		Named("inception", Branches(unit(1), Sequential(unit(2), unit(3)), MaxPool(3).Stride(1).Padding(1))),
		unit(5), GlobalAvgPool, Dense(10)), 8, 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		path, details           string
		output                  []int
		parameters, macs, field int
	}{
		{"conv1", "3×3, 4 filters, padding 1", []int{8, 8, 4}, 4*(27+1) + 8, 64 * 4 * 27, 3},
		{"max-pool1", "2×2", []int{4, 4, 4}, 0, 0, 4},
		{"residual1–2", "4, 4 filters", []int{4, 4, 4}, 2 * 2 * 4 * (36 + 1), 2 * 16 * 2 * 4 * 36, 8}, // 4 windows of 3 at steps of 2
		{"residual3", "2, 6 + 6 filters", []int{4, 4, 6}, 2*(4+1) + 6*(2+1) + 6*4, 16 * (2*4 + 6*2 + 6*4), 8},
		{"inception1", "1 | 2, 3 filters", []int{4, 4, 10}, 6 + 2*6 + 3*2 + 2*(1+2+3), 16 * (6 + 2*6 + 3*2), 8},
		{"unit1", "1×1, 5 filters, no bias", []int{4, 4, 5}, 50 + 10, 16 * 50, 8},
		{"global-avg-pool1", "", []int{5}, 0, 0, 8},
		{"dense1", "10 units", []int{10}, 60, 50, 8},
	}
	short := summary.Blocks()
	if len(short.Layers) != len(want) {
		t.Fatalf("%d lines, want %d:\n%v", len(short.Layers), len(want), short)
	}
	for i, l := range short.Layers {
		w := want[i]
		if l.Path != w.path || l.Details() != w.details || !slices.Equal(l.Output, w.output) ||
			l.Parameters != w.parameters || l.MACs != w.macs || l.Field != w.field {
			t.Errorf("%s %s: %v, %d parameters, %d MACs, sees %d; want %v", l.Path, l.Details(), l.Output, l.Parameters, l.MACs, l.Field, w)
		}
	}
	if short.Parameters() != summary.Parameters() || short.MACs() != summary.MACs() {
		t.Errorf("%d parameters and %d MACs, of %d and %d", short.Parameters(), short.MACs(), summary.Parameters(), summary.MACs())
	}
}
