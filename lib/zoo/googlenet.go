package zoo

import "example.org/convbook/lib/nn"

// inception are the filters of an Inception module's branches (Szegedy et al., "Going Deeper with Convolutions", 2014,
// table 1): 1 × 1; 1 × 1 before 3 × 3; 1 × 1 before 5 × 5; 1 × 1 after the pooling.
type inception struct{ one, reduce3, three, reduce5, five, pool int }

// The nine modules, between the poolings.
var googLeNet = [][]inception{
	{{64, 96, 128, 16, 32, 32}, {128, 128, 192, 32, 96, 64}},
	{{192, 96, 208, 16, 48, 64}, {160, 112, 224, 24, 64, 64}, {128, 128, 256, 24, 64, 64}, {112, 144, 288, 32, 64, 64}, {256, 160, 320, 32, 128, 128}},
	{{256, 160, 320, 32, 128, 128}, {384, 192, 384, 48, 128, 128}},
}

// GoogLeNet won ILSVRC 2014: 22 layers with weights, nine Inception modules, and a single dense layer. This is
// torchvision's form, with batch norm, and with 3 × 3 where the paper has 5 × 5. On 224 × 224 images and with 1,000
// classes it has 6,624,904 parameters, and 13,004,888 with the two auxiliary classifiers, which only training uses.
func GoogLeNet(classes int, auxiliary bool) nn.Layer {
	layers := []nn.Layer{
		unit(64, 7, 2), nn.MaxPool(3).Stride(2).Ceil(),
		unit(64, 1, 1), unit(192, 3, 1), nn.MaxPool(3).Stride(2).Ceil(),
	}
	for stage, modules := range googLeNet {
		for i, m := range modules {
			layers = append(layers, m.layer(3))
			if auxiliary && stage == 1 && (i == 0 || i == 3) {
				layers = append(layers, nn.Auxiliary(0.3,
					nn.AvgPool(5).Stride(3), unit(128, 1, 1),
					nn.Flatten, nn.Dense(1024), nn.ReLU, nn.Dropout(0.7), nn.Dense(classes)))
			}
		}
		switch stage {
		case 0:
			layers = append(layers, nn.MaxPool(3).Stride(2).Ceil())
		case 1:
			layers = append(layers, nn.MaxPool(2).Ceil())
		}
	}
	return nn.Named("GoogLeNet", append(layers, nn.GlobalAvgPool, nn.Dropout(0.2), nn.Dense(classes))...)
}

// SmallGoogLeNet is GoogLeNet for 32 × 32 images: its stem is one convolution, and each module has a quarter of the
// filters.
func SmallGoogLeNet(classes int) nn.Layer {
	layers := []nn.Layer{unit(48, 3, 1)}
	for stage, modules := range googLeNet {
		if stage > 0 {
			layers = append(layers, nn.MaxPool(3).Stride(2).Ceil())
		}
		for _, m := range modules {
			m = inception{m.one / 4, m.reduce3 / 4, m.three / 4, m.reduce5 / 4, m.five / 4, m.pool / 4}
			layers = append(layers, m.layer(5))
		}
	}
	return nn.Named("SmallGoogLeNet", append(layers, nn.GlobalAvgPool, nn.Dense(classes))...)
}

// unit is a convolution that keeps the size at stride 1, with batch norm and ReLU.
func unit(filters, kernel, stride int) nn.Layer {
	return nn.Named("unit",
		nn.Conv(filters, kernel).Stride(stride).Padding(kernel/2).NoBias(), nn.BatchNorm.Epsilon(0.001), nn.ReLU)
}

// layer is the module, its third branch with this kernel.
func (m inception) layer(kernel int) nn.Layer {
	return nn.Named("inception", nn.Branches(
		unit(m.one, 1, 1),
		nn.Sequential(unit(m.reduce3, 1, 1), unit(m.three, 3, 1)),
		nn.Sequential(unit(m.reduce5, 1, 1), unit(m.five, kernel, 1)),
		nn.Sequential(nn.MaxPool(3).Stride(1).Padding(1), unit(m.pool, 1, 1))))
}

// InceptionNaive is a module without the 1 × 1 convolutions that first make its input thinner: the paper's figure 2a.
func InceptionNaive(one, three, five int) nn.Layer {
	return nn.Named("naive", nn.Branches(
		unit(one, 1, 1), unit(three, 3, 1), unit(five, 5, 1), nn.MaxPool(3).Stride(1).Padding(1)))
}

// InceptionReduced is a module of GoogLeNet with its 1 × 1 convolutions: the paper's figure 2b.
func InceptionReduced(one, reduce3, three, reduce5, five, pool int) nn.Layer {
	return inception{one, reduce3, three, reduce5, five, pool}.layer(5)
}

// InceptionV3 is a module of Inception-V3 (Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
// 2015, figure 5): two convolutions of 3 × 3 instead of one of 5 × 5, which see as far with fewer weights and have one
// more ReLU between them.
func InceptionV3(one, reduce3, three, reduce5, five, pool int) nn.Layer {
	return nn.Named("inception-v3", nn.Branches(
		unit(one, 1, 1),
		nn.Sequential(unit(reduce3, 1, 1), unit(three, 3, 1)),
		nn.Sequential(unit(reduce5, 1, 1), unit(five, 3, 1), unit(five, 3, 1)),
		nn.Sequential(nn.AvgPool(3).Stride(1).Padding(1), unit(pool, 1, 1))))
}
