package zoo

import "example.org/convbook/lib/nn"

// ZFNet is AlexNet after a look at what its layers see (Zeiler and Fergus, "Visualizing and Understanding Convolutional
// Networks", 2013, figure 3): a first layer of 7 × 7 with stride 2 instead of 11 × 11 with stride 4, so less of the
// picture is lost, and no groups. On 224 × 224 images and with 1,000 classes it has 62,357,608 parameters.
func ZFNet(classes int) nn.Layer { return zfNet("ZFNet", 384, 384, 256, classes) }

// ZFNetLarger has 512, 1024 and 512 filters in layers 3, 4 and 5, the paper's larger variant (its table 3). The notes
// give these as ZFNet's, in another order.
func ZFNetLarger(classes int) nn.Layer { return zfNet("ZFNet-larger", 512, 1024, 512, classes) }

func zfNet(name string, third, fourth, fifth, classes int) nn.Layer {
	pool := nn.MaxPool(3).Stride(2)
	return nn.Named(name,
		nn.Conv(96, 7).Stride(2).Padding(1), nn.ReLU, pool.Padding(1), nn.LRN,
		nn.Conv(256, 5).Stride(2), nn.ReLU, pool.Padding(1), nn.LRN,
		nn.Conv(third, 3).Padding(1), nn.ReLU,
		nn.Conv(fourth, 3).Padding(1), nn.ReLU,
		nn.Conv(fifth, 3).Padding(1), nn.ReLU, pool,
		nn.Flatten,
		nn.Dense(4096), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(4096), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(classes))
}

// SmallZFNet is SmallAlexNet with ZFNet's changes: 3 × 3 windows in the first layers, and more filters in the later
// ones.
func SmallZFNet(classes int) nn.Layer {
	return nn.Named("SmallZFNet",
		nn.Conv(24, 3).Padding(1), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Conv(64, 3).Padding(1), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Conv(128, 3).Padding(1), nn.ReLU,
		nn.Conv(256, 3).Padding(1), nn.ReLU,
		nn.Conv(128, 3).Padding(1), nn.ReLU, nn.MaxPool(3).Stride(2),
		nn.Flatten,
		nn.Dense(256), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(256), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(classes))
}
