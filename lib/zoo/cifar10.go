package zoo

import "example.org/convbook/lib/nn"

// Net is the small network of the notes' CIFAR-10 experiment, after LeNet-5 (LeCun et al., 1998): its plan, with ReLU,
// max pooling and a plain dense layer at the end. On 32 × 32 images of 3 channels and with 10 classes it has 62,006
// parameters.
func Net(classes int) nn.Layer {
	return nn.Named("Net",
		nn.Conv(6, 5), nn.ReLU, nn.MaxPool(2),
		nn.Conv(16, 5), nn.ReLU, nn.MaxPool(2),
		nn.Flatten,
		nn.Dense(120), nn.ReLU,
		nn.Dense(84), nn.ReLU,
		nn.Dense(classes))
}
