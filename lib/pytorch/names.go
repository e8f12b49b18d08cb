package pytorch

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"example.org/convbook/lib/nn"
)

// namesOf are PyTorch's names of the network's variables, in the order of the summary.
func namesOf(net *nn.Summary) []string {
	modules := modulesOf(net)
	var names []string
	for _, v := range net.Variables {
		layer, what := path.Split(v.Name)
		layer = strings.TrimSuffix(layer, "/")
		module, ok := modules[layer]
		if !ok {
			module = strings.ReplaceAll(layer, "/", ".")
		}
		if name, ok := parameters[what]; ok {
			what = name
		}
		names = append(names, module+"."+what)
	}
	return names
}

// parameters are PyTorch's names for what a layer keeps, where they differ.
var parameters = map[string]string{
	"weights": "weight", "scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var",
}

// modulesOf are the modules of PyTorch that stand for layers, by the layers' paths: those of torchvision's networks, of
// the notes' code, and else of an nn.Sequential. Layers in a block of a reader's own have none.
func modulesOf(net *nn.Summary) map[string]string {
	blocks := map[string]bool{}
	for _, layer := range net.Layers {
		if block, _, nested := strings.Cut(layer.Path, "/"); nested {
			blocks[block] = true
		}
	}
	switch name := net.Network; {
	case blocks["residual1"]:
		return resNet(net)
	case blocks["inception1"]:
		return googLeNet(net)
	case len(blocks) > 0:
		return nil
	case name == "CNN", name == "Net":
		return numbered(net)
	case name == "FC2Layer":
		return sequential(net.Layers[1:], "network.") // the notes flatten in forward
	case strings.Contains(name, "AlexNet"), strings.Contains(name, "ZFNet"), strings.Contains(name, "VGG"):
		return features(net)
	}
	return sequential(net.Layers, "")
}

// sequential numbers layers as nn.Sequential does.
func sequential(layers []nn.LayerInfo, prefix string) map[string]string {
	modules := map[string]string{}
	for i, layer := range layers {
		modules[layer.Path] = prefix + strconv.Itoa(i)
	}
	return modules
}

// numbered is conv1, bn1, conv2, … and fc1, fc2, …: attributes that are called by what they are.
func numbered(net *nn.Summary) map[string]string {
	modules := map[string]string{}
	for _, layer := range net.Layers {
		modules[layer.Path] = short.Replace(layer.Path)
	}
	return modules
}

var short = strings.NewReplacer("batch-norm", "bn", "dense", "fc", "/", ".")

// features is torchvision's AlexNet and VGG: a sequence up to where images are flattened, which forward does, and one of
// dense layers. A single dense layer is the classifier itself, as in the notes.
func features(net *nn.Summary) map[string]string {
	flatten := 0
	for flatten < len(net.Layers)-1 && net.Layers[flatten].Kind != "flatten" {
		flatten++
	}
	modules := sequential(net.Layers[:flatten], "features.")
	dense := net.Layers[flatten+1:]
	if len(dense) == 1 {
		modules[dense[0].Path] = "classifier"
		return modules
	}
	for layer, module := range sequential(dense, "classifier.") {
		modules[layer] = module
	}
	return modules
}

// resNet is torchvision's: layer2.0.conv1 is the first convolution of the first block of the second stage. A stage
// begins where the shape changes, which takes a shortcut.
func resNet(net *nn.Summary) map[string]string {
	changes := map[string]bool{} // by block
	for _, layer := range net.Layers {
		if layer.Lane == "shortcut" {
			changes[layer.Block] = true
		}
	}
	modules := map[string]string{"dense1": "fc"}
	stage, block, last := 1, -1, ""
	for _, layer := range net.Layers {
		name, inside, nested := strings.Cut(layer.Path, "/")
		if !nested {
			if layer.Kind != "dense" {
				modules[layer.Path] = short.Replace(layer.Path)
			}
			continue
		}
		if name != last {
			block++
			if changes[name] && last != "" {
				stage, block = stage+1, 0
			}
			last = name
		}
		switch inside {
		case "shortcut/conv1":
			inside = "downsample.0"
		case "shortcut/batch-norm1":
			inside = "downsample.1"
		}
		modules[layer.Path] = fmt.Sprintf("layer%d.%d.%s", stage, block, short.Replace(inside))
	}
	return modules
}

// googLeNet is torchvision's: inception4b.branch2.1.conv is the second convolution of the second branch of the second
// module behind the poolings that end stage 3. The pooling of a fourth branch counts.
func googLeNet(net *nn.Summary) map[string]string {
	units := strings.NewReplacer("branches1/", "", "branch4/unit1", "branch4.1", "unit1", "0", "unit2", "1",
		"conv1", "conv", "batch-norm1", "bn", "dense", "fc", "/", ".")
	modules := map[string]string{"dense1": "fc"}
	stage, module, last := '3', 'a'-1, ""
	for _, layer := range net.Layers {
		block, inside, _ := strings.Cut(layer.Path, "/")
		switch {
		case layer.Kind == "max-pool" && block == layer.Path && last != "":
			stage, module = stage+1, 'a'-1
		case strings.HasPrefix(block, "unit"):
			modules[layer.Path] = "conv" + strings.TrimPrefix(block, "unit") + "." + units.Replace(inside)
		case strings.HasPrefix(block, "auxiliary"):
			inside = strings.Replace(inside, "unit1", "conv", 1)
			modules[layer.Path] = "aux" + strings.TrimPrefix(block, "auxiliary") + "." + units.Replace(inside)
		case strings.HasPrefix(block, "inception"):
			if block != last {
				module, last = module+1, block
			}
			modules[layer.Path] = fmt.Sprintf("inception%c%c.%s", stage, module, units.Replace(inside))
		}
	}
	return modules
}
