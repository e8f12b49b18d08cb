package zoo_test

import (
	"fmt"

	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/zoo"
)

func Example() {
	for _, net := range []nn.Layer{zoo.AlexNetOneTower(1000), zoo.VGG(16, 1000), zoo.GoogLeNet(1000, false), zoo.ResNet(50, 1000)} {
		summary, err := nn.Summarize(net, 224, 224, 3)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %.1f million parameters, %.1f billion MACs\n", summary.Network, float64(summary.Parameters())/1e6, float64(summary.MACs())/1e9)
	}
	// Output:
	// AlexNet-one-tower: 61.1 million parameters, 0.7 billion MACs
	// VGG-16: 138.4 million parameters, 15.5 billion MACs
	// GoogLeNet: 6.6 million parameters, 1.5 billion MACs
	// ResNet-50: 25.6 million parameters, 4.1 billion MACs
}
