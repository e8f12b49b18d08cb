package diagram_test

import (
	"testing"

	"example.org/convbook/lib/diagram"
	"example.org/convbook/lib/internal/golden"
	"example.org/convbook/lib/nn"
)

func TestGolden(t *testing.T) {
	block := nn.Residual(nn.Conv(4, 1), nn.ReLU, nn.Conv(8, 3).Padding(1))
	for name, net := range map[string]nn.Layer{
		"plain": nn.Named("Plain", nn.Conv(8, 5).Stride(2), nn.BatchNorm, nn.ReLU, nn.MaxPool(2), nn.Conv(16, 3).Padding(1), nn.ReLU,
			nn.Flatten, nn.Dropout(0.5), nn.Dense(32), nn.ReLU, nn.Dense(10)),
		"residual": nn.Named("Residual", nn.Conv(8, 3).Padding(1), nn.ReLU, block, block, nn.GlobalAvgPool, nn.Dense(10)),
		"projection": nn.Named("Projection", nn.Conv(8, 3).Padding(1), block.Shortcut(nn.Conv(8, 1)), block, block,
			nn.Residual(nn.Conv(16, 3).Stride(2).Padding(1)).Shortcut(nn.Conv(16, 1).Stride(2), nn.BatchNorm), nn.GlobalAvgPool, nn.Dense(10)),
		"branches": nn.Named("Branches", nn.Branches(nn.Conv(4, 1), nn.Sequential(nn.Conv(2, 1), nn.Conv(4, 3).Padding(1)),
			nn.Sequential(nn.MaxPool(3).Stride(1).Padding(1), nn.Conv(4, 1))),
			nn.Auxiliary(0.3, nn.Flatten, nn.Dense(10)), nn.Flatten, nn.Dense(10)),
	} {
		summary, err := nn.Summarize(net, 20, 20, 3)
		if err != nil {
			t.Fatal(err)
		}
		got, err := diagram.Of(summary).PNG()
		if err != nil {
			t.Fatal(err)
		}
		golden.Compare(t, name, got)
	}
}
