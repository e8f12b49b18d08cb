package diagram

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/zoo"
)

// What the drawing says in words is what it shows: layers in order, blocks with their ways, equal ones counted.
func TestOf(t *testing.T) {
	for want, net := range map[string]nn.Layer{
		"A on 8×8×3: 290 parameters; convolution 3×3 /2; pooling 2×2; dense": nn.Named("A",
			nn.Conv(4, 3).Stride(2).Padding(1), nn.BatchNorm, nn.ReLU, nn.MaxPool(2), nn.Flatten, nn.Dropout(0.5), nn.Dense(10)),
		"B on 8×8×3: 130 parameters; convolution 1×1, convolution 3×3, with a way around, 2 times": nn.Named("B",
			nn.Residual(nn.Conv(2, 1), nn.Conv(3, 3).Padding(1)), nn.ReLU, nn.Residual(nn.Conv(2, 1), nn.Conv(3, 3).Padding(1)), nn.ReLU),
		"C on 8×8×3: 20 parameters; convolution 1×1 beside pooling 3×3 /1, convolution 1×1; pooling": nn.Named("C",
			nn.Branches(nn.Conv(2, 1), nn.Sequential(nn.MaxPool(3).Stride(1).Padding(1), nn.Conv(3, 1))), nn.GlobalAvgPool),
	} {
		summary, err := nn.Summarize(net, 8, 8, 3)
		if err != nil {
			t.Fatal(err)
		}
		f := Of(summary)
		if _, err := f.PNG(); err != nil || f.Alt != want {
			t.Errorf("%q, %v, want %q", f.Alt, err, want)
		}
	}
}

func TestEveryNetworkOfTheZooIsDrawn(t *testing.T) {
	for _, net := range []nn.Layer{zoo.AlexNet(10), zoo.ZFNet(10), zoo.VGG(19, 10), zoo.GoogLeNet(10, true), zoo.ResNet(50, 10)} {
		summary, err := nn.Summarize(net, 227, 227, 3)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Of(summary).PNG(); err != nil {
			t.Errorf("%s: %v", summary.Network, err)
		}
	}
}

var update = flag.Bool("update", false, "write the drawings that the test compares with")

// Drawings stay as they are: of a network with every kind of box, with ways around and beside each other.
func TestDrawingIsKept(t *testing.T) {
	block := nn.Residual(nn.Conv(16, 1), nn.ReLU, nn.Conv(16, 3).Padding(1))
	summary, err := nn.Summarize(nn.Named("all kinds",
		nn.Conv(16, 3).Padding(1), nn.ReLU, nn.MaxPool(2), block, nn.ReLU, block, nn.ReLU,
		nn.Branches(nn.Conv(8, 1), nn.Sequential(nn.MaxPool(3).Stride(1).Padding(1), nn.Conv(8, 1))),
		nn.Auxiliary(0.3, nn.Flatten, nn.Dense(10)), nn.GlobalAvgPool, nn.Dense(10)), 32, 32, 3)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Of(summary).PNG()
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/kinds.png"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the drawing is not %s: look at what `go test ./lib/diagram -update` writes", file)
	}
}
