package train

import (
	_ "embed"
	"path/filepath"
	"testing"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
)

//go:embed testdata/config.json
var golden []byte

// What a run is stored under today it is stored under tomorrow: neither a sentence nor an operation of GoMLX's has a
// part in it. If this test fails, everybody's stored runs are lost; then format must be raised, and that is worth a
// good reason.
//
// The sum is that of sha256sum testdata/config.json.
func TestDescriptionsStay(t *testing.T) {
	isolate(t)
	block := nn.Residual(nn.Conv(8, 3).Padding(1).NoBias(), nn.BatchNorm).Shortcut(nn.Conv(8, 1))
	task := Task{
		Net: nn.Named("All", nn.Conv(4, 5).Stride(2), nn.ReLU, nn.MaxPool(3).Stride(2), block,
			nn.Branches(nn.Conv(2, 1), nn.Conv(2, 3).Padding(1)), nn.Auxiliary(0.3, nn.Flatten, nn.Dense(10)),
			nn.Flatten, nn.Dropout(0.5), nn.Dense(10), nn.LogSoftmax),
		Data: dataset.MNIST().First(1000).FirstTest(500).Validate(100).Normalize(0.1307, 0.3081).
			Augment(dataset.RandomCrop(28, 2), dataset.RandomFlip),
		Config: Config{Epochs: 3, Batch: 64, Loss: CrossEntropy.Smooth(0.2), Optimizer: Muon(0.008, 0.15).WeightDecay(0.001),
			Schedule: OneCycle(0.25), Seed: 7},
	}
	place := mustPlan(t, task).place
	if got := string(place.About()); got != string(golden) {
		t.Errorf("the run is described as\n%s\nwant\n%s", got, golden)
	}
	if got, want := filepath.Base(place.Dir()), "All-MNIST-cbfe89438634"; got != want {
		t.Errorf("the run's folder is %s, want %s", got, want)
	}
}
