package zoo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

// The notes print the counts of the MNIST networks; PyTorch counts Net and VGG16. Those for 1,000 classes are
// published: torchvision's, AlexNet's own as in Caffe's bvlc_alexnet, ZFNet's by the sums of its paper's figure 3 and
// table 3. Of the small forms, VGG-16 and ResNet-18 are known from github.com/kuangliu/pytorch-cifar; the others are
// sums by hand.
func TestParameterCounts(t *testing.T) {
	for _, c := range []struct {
		net   nn.Layer
		image []int
		want  int
	}{
		{zoo.FC2Layer(8), []int{28, 28, 1}, 6442},
		{zoo.CNN(6), []int{28, 28, 1}, 6422},
		{zoo.Net(10), []int{32, 32, 3}, 62006},
		{zoo.VGG16(10), []int{32, 32, 3}, 9231114},
		{zoo.SpeedNet(10), []int{32, 32, 3}, 1971626},
		{zoo.AlexNet(1000), []int{227, 227, 3}, 60965224},
		{zoo.AlexNetOneTower(1000), []int{224, 224, 3}, 61100840},
		{zoo.ZFNet(1000), []int{224, 224, 3}, 62357608},
		{zoo.ZFNetLarger(1000), []int{224, 224, 3}, 107627624},
		{zoo.VGG(11, 1000), []int{224, 224, 3}, 132863336},
		{zoo.VGG(13, 1000), []int{224, 224, 3}, 133047848},
		{zoo.VGG(16, 1000), []int{224, 224, 3}, 138357544},
		{zoo.VGG(19, 1000), []int{224, 224, 3}, 143667240},
		{zoo.GoogLeNet(1000, false), []int{224, 224, 3}, 6624904},
		{zoo.GoogLeNet(1000, true), []int{224, 224, 3}, 13004888},
		{zoo.ResNet(18, 1000), []int{224, 224, 3}, 11689512},
		{zoo.ResNet(34, 1000), []int{224, 224, 3}, 21797672},
		{zoo.ResNet(50, 1000), []int{224, 224, 3}, 25557032},
		{zoo.ResNet(101, 1000), []int{224, 224, 3}, 44549160},
		{zoo.ResNet(152, 1000), []int{224, 224, 3}, 60192808},
		{zoo.SmallAlexNet(10), []int{32, 32, 3}, 450154},
		{zoo.SmallZFNet(10), []int{32, 32, 3}, 1042154},
		{zoo.SmallVGG(16, 10), []int{32, 32, 3}, 14728266},
		{zoo.SmallGoogLeNet(10), []int{32, 32, 3}, 372578},
		{zoo.SmallResNet(18, 64, 10), []int{32, 32, 3}, 11173962},
		{zoo.SmallResNet(18, 16, 10), []int{32, 32, 3}, 701466},
	} {
		summary, err := nn.Summarize(c.net, c.image...)
		if err != nil {
			t.Fatal(err)
		}
		classes := []int{10}
		if c.image[0] > 200 {
			classes = []int{1000}
		}
		if summary.Parameters() != c.want || !slices.Equal(summary.Output, classes) {
			t.Errorf("%s has %d parameters and gives %v, want %d and %v", summary.Network, summary.Parameters(), summary.Output, c.want, classes)
		}
		built, err := summary.Description().Network(summary.Network) // without the code of this package
		if err != nil {
			t.Errorf("%s cannot be built from its description: %v", summary.Network, err)
		} else if again, err := nn.Summarize(built, c.image...); err != nil || again.String() != summary.String() {
			t.Errorf("%s built from its description is another one (%v):\n%v", summary.Network, err, again)
		}
	}
}

// An Inception module's cost is a sum of kernel² · channels in · channels out over its convolutions; each of its units
// has two numbers a filter more, batch norm's. On 28 × 28 × 256, as in the notebook.
func TestInceptionCosts(t *testing.T) {
	const in = 256
	for _, c := range []struct {
		module           nn.Layer
		weights, filters int
		channels         int
	}{
		{zoo.InceptionNaive(128, 192, 96), in*128 + 9*in*192 + 25*in*96, 128 + 192 + 96, 128 + 192 + 96 + in},
		{zoo.InceptionReduced(128, 64, 192, 64, 96, 64),
			in*128 + in*64 + 9*64*192 + in*64 + 25*64*96 + in*64, 128 + 64 + 192 + 64 + 96 + 64, 128 + 192 + 96 + 64},
		{zoo.InceptionV3(128, 64, 192, 64, 96, 64),
			in*128 + in*64 + 9*64*192 + in*64 + 9*64*96 + 9*96*96 + in*64, 128 + 64 + 192 + 64 + 96 + 96 + 64, 128 + 192 + 96 + 64},
	} {
		s, err := nn.Summarize(c.module, 28, 28, in)
		if err != nil {
			t.Fatal(err)
		}
		if want := []int{28, 28, c.channels}; !slices.Equal(s.Output, want) || s.MACs() != 28*28*c.weights || s.Parameters() != c.weights+2*c.filters {
			t.Errorf("%s gives %v with %d parameters and %d MACs, want %v, %d and %d",
				s.Network, s.Output, s.Parameters(), s.MACs(), want, c.weights+2*c.filters, 28*28*c.weights)
		}
	}
}

// What the notebooks claim of MNIST, on all of its images, over two of their seeds: one epoch teaches the fully
// connected network 85 to 88.5 % and the CNN 93.8 to 95.3 %; permuting the pixels leaves the former within two points
// and takes the latter to 80 to 83.5 %. PyTorch gives 86.6, 94.5, 87.2 and 81.6 % with the notes' recipe on the same
// data, five seeds each.
func TestPermutationHurtsTheCNNOnly(t *testing.T) {
	if testing.Short() {
		t.Skip("trains eight networks: not with -short")
	}
	plain := dataset.MNIST().Normalize(0.1307, 0.3081)
	if _, err := plain.Train(); err != nil && strings.Contains(err.Error(), "could not be fetched") {
		t.Skip(err)
	}
	t.Setenv(train.RunsEnv, t.TempDir())
	permuted := func(seed int) dataset.Images { return plain.Permute(dataset.Permutation(28*28, seed)) }
	mean := func(net nn.Layer, data func(seed int) dataset.Images) float64 {
		sum := 0.0
		var all []string
		const seeds = 2
		for seed := range seeds {
			run, err := train.Task{Net: net, Data: data(seed), Config: train.Config{
				Epochs: 1, Batch: 64, Loss: train.NLL, Optimizer: train.SGD(0.01, 0.5), Seed: seed, Progress: train.Quiet}}.Fit()
			if err != nil {
				t.Fatal(err)
			}
			sum += run.Result.TestAccuracy
			all = append(all, fmt.Sprintf("%.2f", run.Result.TestAccuracy))
		}
		t.Logf("%s on %s: %.2f %% (%s)", nn.Name(net), data(0), sum/seeds, strings.Join(all, ", "))
		return sum / seeds
	}
	fc := mean(zoo.FC2Layer(8), func(int) dataset.Images { return plain })
	cnn := mean(zoo.CNN(6), func(int) dataset.Images { return plain })
	fcPermuted := mean(zoo.FC2Layer(8), permuted)
	cnnPermuted := mean(zoo.CNN(6), permuted)
	for what, in := range map[string]struct{ got, low, high float64 }{
		"FC2Layer":           {fc, 85, 88.5},
		"CNN":                {cnn, 93.8, 95.3},
		"FC2Layer, permuted": {fcPermuted, fc - 2, fc + 2},
		"CNN, permuted":      {cnnPermuted, 80, 83.5},
	} {
		if in.got < in.low || in.got > in.high {
			t.Errorf("%s: mean accuracy %.2f %%, want %.1f to %.1f", what, in.got, in.low, in.high)
		}
	}
}

// A number of layers that no network has is an error of one line, not a panic: notebooks make networks where they
// declare variables.
func TestNetworksThatDoNotExist(t *testing.T) {
	for want, net := range map[string]nn.Layer{
		"there is no VGG-12: there is VGG-11, 13, 16 and 19": zoo.VGG(12, 10),
		"there is no VGG-0": zoo.SmallVGG(0, 10),
		"there is no ResNet-20: there is ResNet-18, 34, 50, 101 and 152": zoo.ResNet(20, 10),
		"there is no ResNet--1": zoo.SmallResNet(-1, 16, 10),
	} {
		_, err := nn.Summarize(net, 32, 32, 3)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
