package diagram

import (
	"testing"

	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/zoo"
)

// What the drawing says in words is what it shows: layers in order, blocks with their ways, equal ones counted.
func TestOf(t *testing.T) {
	for want, net := range map[string]nn.Layer{
		"A on 8×8×3: 290 parameters; convolution 3×3 /2; pooling 2×2; dense": nn.Named("A",
			nn.Conv(4, 3).Stride(2).Padding(1), nn.BatchNorm, nn.ReLU, nn.MaxPool(2), nn.Flatten, nn.Dropout(0.5), nn.Dense(10)),
		"B on 8×8×3: 130 parameters; convolution 1×1, convolution 3×3, with a shortcut, 2 times": nn.Named("B",
			nn.Residual(nn.Conv(2, 1), nn.Conv(3, 3).Padding(1)), nn.ReLU, nn.Residual(nn.Conv(2, 1), nn.Conv(3, 3).Padding(1)), nn.ReLU),
		"P on 8×8×3: 934 parameters; convolution 3×3 /2, convolution 3×3, with a shortcut through convolution 1×1 /2; dense": nn.Named("P",
			nn.Residual(nn.Conv(4, 3).Stride(2).Padding(1), nn.ReLU, nn.Conv(4, 3).Padding(1)).Shortcut(nn.Conv(4, 1).Stride(2), nn.BatchNorm),
			nn.Flatten, nn.Dense(10)),
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

func TestWithoutANetwork(t *testing.T) {
	const want = "there is no network to draw: get its summary with nn.Summarize"
	if _, err := Of(nil).PNG(); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
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
