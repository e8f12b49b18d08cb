package zoo

import "example.org/convbook/lib/nn"

// Net is the small network of the notes' CIFAR-10 experiment, LeNet-5 (LeCun et al., 1998) with ReLU and max pooling. On
// 32 × 32 images of 3 channels and with 10 classes it has 62,006 parameters.
func Net(classes int) nn.Layer {
	return nn.Named("Net",
		nn.Conv(6, 5), nn.ReLU, nn.MaxPool(2),
		nn.Conv(16, 5), nn.ReLU, nn.MaxPool(2),
		nn.Flatten,
		nn.Dense(120), nn.ReLU,
		nn.Dense(84), nn.ReLU,
		nn.Dense(classes))
}

// M stands for max pooling in the description of a VGG.
const M = 0

// VGG16 is the network that the notes call VGG16: 8 convolutions, each with batch norm and ReLU, and one dense layer. It
// is VGG-11 (Simonyan and Zisserman, "Very Deep Convolutional Networks", 2014) with batch norm and without its two
// hidden dense layers. On 32 × 32 images of 3 channels and with 10 classes it has 9,231,114 parameters.
func VGG16(classes int) nn.Layer {
	var layers []nn.Layer
	for _, filters := range []int{64, M, 128, M, 256, 256, M, 512, 512, M, 512, 512, M} {
		if filters == M {
			layers = append(layers, nn.MaxPool(2))
		} else {
			layers = append(layers, nn.Conv(filters, 3).Padding(1), nn.BatchNorm, nn.ReLU)
		}
	}
	return nn.Named("VGG16", append(layers, nn.Flatten, nn.Dense(classes))...)
}
