package imagenet_test

import (
	"fmt"

	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/imagenet"
	"example.org/convbook/lib/picture"
	"example.org/convbook/lib/zoo"
)

// The five most probable classes of a photograph. Without the weights, the error says where they come from.
func ExampleRead() {
	show := func() error {
		model, err := imagenet.Read("resnet18.safetensors", zoo.ResNet(18, 1000))
		if err != nil {
			return err
		}
		network, err := classify.Of(model)
		if err != nil {
			return err
		}
		cat, err := picture.Open("cat.jpg")
		if err != nil {
			return err
		}
		classes, err := network.Classify(cat)
		if err != nil {
			return err
		}
		for _, class := range classes[:5] {
			fmt.Printf("%s %.1f %%\n", class.Name, 100*class.Probability)
		}
		return nil
	}
	if err := show(); err != nil {
		fmt.Println(err)
	}
	// Output: there is no file resnet18.safetensors: torchvision has it as ResNet18_Weights.IMAGENET1K_V1; in Python, import torchvision, safetensors.torch; net = torchvision.models.resnet18(weights="IMAGENET1K_V1"); safetensors.torch.save_file(net.state_dict(), "resnet18.safetensors")
}
