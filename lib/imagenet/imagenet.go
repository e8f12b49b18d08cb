// Package imagenet puts photographs into ImageNet's thousand classes, with networks of package zoo and the weights that
// torchvision publishes for them.
//
//	net := zoo.ResNet(18, 1000)
//	weights := cell.Must(imagenet.Read("resnet18.safetensors", net))
//	cat := cell.Must(picture.Open("cat.jpg"))
//	for _, guess := range cell.Must(imagenet.Classify(net, weights, cat)) {
//		fmt.Println(guess)
//	}
//
// The book does not come with the weights. Whoever has torchvision writes them into a file with the line of Python that
// Read's error has if the file is not there.
package imagenet

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"slices"
	"strings"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/picture"
	"example.org/convbook/lib/pytorch"
)

// side is that of the images on which torchvision's networks were trained.
const side = 224

// Read returns the weights in a file of torchvision's for the network, as [pytorch.Read] does.
func Read(file string, net nn.Layer) (map[string]array.Array, error) {
	weights, err := pytorch.Read(file, net, side, side, 3)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s: %s", file, source(file, nn.Name(net)))
	}
	return weights, err
}

// source says where the weights of a network come from.
func source(file, network string) string {
	family, layers, _ := strings.Cut(network, "-")
	model := family + layers
	switch family {
	case "AlexNet":
		if layers != "one-tower" {
			return "torchvision has none for " + network + "; its AlexNet is AlexNet-one-tower here"
		}
		model = "AlexNet"
	case "VGG", "ResNet", "GoogLeNet":
	default:
		return "torchvision has none for " + network
	}
	return fmt.Sprintf("torchvision has it as %s_Weights.IMAGENET1K_V1; in Python, import torchvision, safetensors.torch; "+
		`net = torchvision.models.%s(weights="IMAGENET1K_V1"); safetensors.torch.save_file(net.state_dict(), %q)`,
		model, strings.ToLower(model), file)
}

// Guess is a class with the probability that a network gives it.
type Guess struct {
	Class       string
	Probability float64 // 0 to 1
}

// String is the guess as tabby 62.5 %.
func (g Guess) String() string { return fmt.Sprintf("%s %.1f %%", g.Class, 100*g.Probability) }

// guesses are how many Classify returns: what ImageNet's second measure, the top-5 error, counts.
const guesses = 5

// Classify returns the five classes to which the network gives the highest probabilities, the highest first.
//
// The picture is scaled and cut as torchvision's own preprocessing for these weights does it: the shorter side becomes
// 256 pixels, and the middle 224 × 224 of them are what the network sees.
func Classify(net nn.Layer, weights map[string]array.Array, img image.Image) ([]Guess, error) {
	summary, err := nn.Summarize(net, side, side, 3)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(summary.Output, []int{len(classes)}) {
		return nil, fmt.Errorf("%s gives %v values for a picture: ImageNet has %d classes",
			summary.Network, summary.Output, len(classes))
	}
	scores, err := nn.Compute(net, weights, input(summary.Network, img))
	if err != nil {
		return nil, err
	}
	highest, sum := float64(slices.Max(scores.Values)), 0.0
	all := make([]Guess, len(classes))
	for i, score := range scores.Values {
		all[i] = Guess{classes[i], math.Exp(float64(score) - highest)}
		sum += all[i].Probability
	}
	slices.SortStableFunc(all, func(a, b Guess) int { return cmp.Compare(b.Probability, a.Probability) })
	for i := range all {
		all[i].Probability /= sum
	}
	return all[:guesses], nil
}

// input is what a network sees of a picture: [1, height, width, channels]
func input(network string, img image.Image) array.Array {
	mean, deviation := [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
	if network == "GoogLeNet" { // whose weights come from TensorFlow: torchvision's normalises its input once more, to ±1
		mean, deviation = [3]float32{0.5, 0.5, 0.5}, [3]float32{0.5, 0.5, 0.5}
	}
	pixels := picture.Frame{Height: side, Width: side, Channels: 3, Shorter: 256}.Pixels(img)
	values := make([]float32, len(pixels))
	for i, pixel := range pixels {
		values[i] = (float32(pixel)/255 - mean[i%3]) / deviation[i%3]
	}
	return array.New(values, 1, side, side, 3)
}

//go:embed classes.txt
var classesFile string

// classes are the names of the classes, in the order of the networks' outputs.
var classes = names(classesFile)

func names(file string) (all []string) {
	for line := range strings.Lines(file) {
		if !strings.HasPrefix(line, "#") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}
