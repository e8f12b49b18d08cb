package zoo

import "example.org/convbook/lib/nn"

// AlexNet won ILSVRC 2012 (Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks"): five
// convolutions and three dense layers, ReLU instead of sigmoids, local response normalisation and dropout. The paper
// trained it on two GPUs; layers 2, 4 and 5 see only the half of the channels that lies on their own. On 227 × 227
// images (the paper says 224, which does not fit its layers) and with 1,000 classes it has 60,965,224 parameters.
func AlexNet(classes int) nn.Layer {
	return nn.Named("AlexNet",
		nn.Conv(96, 11).Stride(4), nn.ReLU, nn.LRN, nn.MaxPool(3).Stride(2),
		nn.Conv(256, 5).Padding(2).Groups(2), nn.ReLU, nn.LRN, nn.MaxPool(3).Stride(2),
		nn.Conv(384, 3).Padding(1), nn.ReLU,
		nn.Conv(384, 3).Padding(1).Groups(2), nn.ReLU,
		nn.Conv(256, 3).Padding(1).Groups(2), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Flatten,
		nn.Dense(4096), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(4096), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(classes))
}

// AlexNetOneTower is AlexNet as torchvision has it, after Krizhevsky's "One weird trick for parallelizing convolutional
// neural networks" (2014): fewer filters, no groups, no LRN. On 224 × 224 images and with 1,000 classes it has
// 61,100,840 parameters.
func AlexNetOneTower(classes int) nn.Layer {
	return nn.Named("AlexNet-one-tower",
		nn.Conv(64, 11).Stride(4).Padding(2), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Conv(192, 5).Padding(2), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Conv(384, 3).Padding(1), nn.ReLU,
		nn.Conv(256, 3).Padding(1), nn.ReLU,
		nn.Conv(256, 3).Padding(1), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Flatten,
		nn.Dropout(0.5), nn.Dense(4096), nn.ReLU,
		nn.Dropout(0.5), nn.Dense(4096), nn.ReLU,
		nn.Dense(classes))
}

// SmallAlexNet is AlexNet's plan for 32 × 32 images: five convolutions, three poolings, three dense layers, with
// smaller windows and a quarter of its filters.
func SmallAlexNet(classes int) nn.Layer {
	return nn.Named("SmallAlexNet",
		nn.Conv(24, 5).Padding(2), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Conv(64, 5).Padding(2), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Conv(96, 3).Padding(1), nn.ReLU,
		nn.Conv(96, 3).Padding(1), nn.ReLU,
		nn.Conv(64, 3).Padding(1), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Flatten,
		nn.Dense(256), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(256), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(classes))
}
