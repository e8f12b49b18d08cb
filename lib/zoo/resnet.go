package zoo

import (
	"fmt"

	"example.org/convbook/lib/nn"
)

// resNet are the numbers of blocks in the four stages, by the number of layers with weights (He et al., "Deep Residual
// Learning for Image Recognition", 2015, table 1).
var resNet = map[int][4]int{18: {2, 2, 2, 2}, 34: {3, 4, 6, 3}, 50: {3, 4, 6, 3}, 101: {3, 4, 23, 3}, 152: {3, 8, 36, 3}}

// ResNet has 18, 34, 50, 101 or 152 layers with weights; the one of 152 won ILSVRC 2015. From 50 on its blocks are
// bottlenecks, with the stride in the convolution of 3 × 3, as torchvision has it. On 224 × 224 images and with 1,000
// classes it has 11,689,512, 21,797,672, 25,557,032, 44,549,160 or 60,192,808 parameters.
func ResNet(layers, classes int) nn.Layer {
	stem := []nn.Layer{nn.Conv(64, 7).Stride(2).Padding(3).NoBias(), nn.BatchNorm, nn.ReLU, nn.MaxPool(3).Stride(2).Padding(1)}
	return residual(fmt.Sprintf("ResNet-%d", layers), stem, layers, 64, classes)
}

// SmallResNet is ResNet for 32 × 32 images: its stem is one convolution of 3 × 3, without a pooling. The first stage
// has that many filters; 64 are ResNet's own.
func SmallResNet(layers, filters, classes int) nn.Layer {
	stem := []nn.Layer{nn.Conv(filters, 3).Padding(1).NoBias(), nn.BatchNorm, nn.ReLU}
	return residual(fmt.Sprintf("SmallResNet-%d", layers), stem, layers, filters, classes)
}

func residual(name string, all []nn.Layer, layers, filters, classes int) nn.Layer {
	stages, ok := resNet[layers]
	if !ok {
		return nn.Named(name, unknown("there is no ResNet-%d: there is ResNet-18, 34, 50, 101 and 152", layers))
	}
	block, wider := basic, 1
	if layers >= 50 {
		block, wider = bottleneck, 4
	}
	for stage, blocks := range stages {
		for i := range blocks {
			stride := 1
			if stage > 0 && i == 0 {
				stride = 2
			}
			b := nn.Residual(block(filters<<stage, stride)...)
			if i == 0 && (stage > 0 || wider > 1) { // the shape changes
				b = b.Shortcut(nn.Conv(wider*filters<<stage, 1).Stride(stride).NoBias(), nn.BatchNorm)
			}
			all = append(all, b, nn.ReLU)
		}
	}
	return nn.Named(name, append(all, nn.GlobalAvgPool, nn.Dense(classes))...)
}

// basic is the inside of a block of two convolutions.
func basic(filters, stride int) []nn.Layer {
	return []nn.Layer{
		nn.Conv(filters, 3).Stride(stride).Padding(1).NoBias(), nn.BatchNorm, nn.ReLU,
		nn.Conv(filters, 3).Padding(1).NoBias(), nn.BatchNorm,
	}
}

// bottleneck is the inside of a block of three: 1 × 1 takes three quarters of the channels away for the 3 × 3 between,
// 1 × 1 brings them back.
func bottleneck(filters, stride int) []nn.Layer {
	return []nn.Layer{
		nn.Conv(filters, 1).NoBias(), nn.BatchNorm, nn.ReLU,
		nn.Conv(filters, 3).Stride(stride).Padding(1).NoBias(), nn.BatchNorm, nn.ReLU,
		nn.Conv(4*filters, 1).NoBias(), nn.BatchNorm,
	}
}
