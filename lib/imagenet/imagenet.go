// Package imagenet reads networks of package zoo with the weights that torchvision publishes for them, which put
// photographs into ImageNet's thousand classes.
//
//	model := cell.Must(imagenet.Read("resnet18.safetensors", zoo.ResNet(18, 1000)))
//	network := cell.Must(classify.Of(model))
//	cat := cell.Must(picture.Open("cat.jpg"))
//	for _, class := range cell.Must(network.Classify(cat))[:5] {
//		fmt.Printf("%s %.1f %%\n", class.Name, 100*class.Probability)
//	}
//
// The book does not come with the weights. Whoever has torchvision writes them into a file with the line of Python that
// Read's error has if the file is not there.
package imagenet

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/picture"
	"example.org/convbook/lib/pytorch"
	"example.org/convbook/lib/train"
)

// side is that of the images on which torchvision's networks were trained.
const side = 224

// Read returns the network with the weights in a file of torchvision's, which is read as [pytorch.Read] does, and with
// torchvision's preprocessing for them: of a picture whose shorter side becomes 256 pixels, the network sees the middle
// 224 × 224.
func Read(file string, net nn.Layer) (train.Model, error) {
	weights, err := pytorch.Read(file, net, side, side, 3)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no file %s: %s", file, source(file, nn.Name(net)))
	}
	return train.Model{Net: net, Input: input(net), Weights: weights}, err
}

// input is how a picture reaches one of torchvision's networks with weights for ImageNet.
func input(net nn.Layer) dataset.Input {
	in := dataset.Input{
		Frame:   picture.Frame{Height: side, Width: side, Channels: 3, Shorter: 256},
		Mean:    []float64{0.485, 0.456, 0.406},
		Std:     []float64{0.229, 0.224, 0.225},
		Classes: classes,
	}
	if nn.Name(net) == "GoogLeNet" { // whose weights come from TensorFlow: torchvision's brings its input to ±1 again
		in.Mean, in.Std = []float64{0.5, 0.5, 0.5}, []float64{0.5, 0.5, 0.5}
	}
	return in
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
