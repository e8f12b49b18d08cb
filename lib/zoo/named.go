package zoo

import (
	"cmp"
	"fmt"
	"strings"

	"example.org/convbook/lib/nn"
)

// Named is the network with this name, such as ResNet-18, and the dimensions of the images that it is made for: height,
// width, channels. width is the number of hidden units of FC2Layer or of filters in the first layers of CNN and
// SmallResNet; 0 is the usual 8, 6 or 64. FC2Layer and CNN always have ten classes, as the digits have.
func Named(name string, classes, width int) (net nn.Layer, image []int, err error) {
	small := []nn.Layer{Net(classes), VGG16(classes), SmallAlexNet(classes), SmallZFNet(classes), SmallGoogLeNet(classes), SpeedNet(classes)}
	large := []nn.Layer{AlexNetOneTower(classes), ZFNet(classes), ZFNetLarger(classes), GoogLeNet(classes, false)}
	for _, layers := range []int{11, 13, 16, 19} {
		small = append(small, SmallVGG(layers, classes))
		large = append(large, VGG(layers, classes))
	}
	for _, layers := range []int{18, 34, 50, 101, 152} {
		small = append(small, SmallResNet(layers, cmp.Or(width, 64), classes))
		large = append(large, ResNet(layers, classes))
	}
	var names []string
	for _, all := range []struct {
		side, channels int
		nets           []nn.Layer
	}{
		{28, 1, []nn.Layer{FC2Layer(cmp.Or(width, 8)), CNN(cmp.Or(width, 6))}},
		{32, 3, small},
		{227, 3, []nn.Layer{AlexNet(classes)}},
		{224, 3, large},
	} {
		for _, net := range all.nets {
			if nn.Name(net) == name {
				return net, []int{all.side, all.side, all.channels}, nil
			}
			names = append(names, nn.Name(net))
		}
	}
	return nil, nil, fmt.Errorf("there is no network %q: there is %s", name, strings.Join(names, ", "))
}

// TakesWidth reports whether [Named] makes another network of that name with another width.
func TakesWidth(name string) bool {
	return name == "FC2Layer" || name == "CNN" || strings.HasPrefix(name, "SmallResNet")
}
