package zoo

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/nn"
)

// M stands for max pooling in the description of a VGG.
const M = 0

// vgg are the convolutions of the networks A, B, D and E in table 1 of Simonyan and Zisserman, "Very Deep Convolutional
// Networks for Large-Scale Image Recognition" (2014), by the number of their layers with weights.
var vgg = map[int][]int{
	11: {64, M, 128, M, 256, 256, M, 512, 512, M, 512, 512, M},
	13: {64, 64, M, 128, 128, M, 256, 256, M, 512, 512, M, 512, 512, M},
	16: {64, 64, M, 128, 128, M, 256, 256, 256, M, 512, 512, 512, M, 512, 512, 512, M},
	19: {64, 64, M, 128, 128, M, 256, 256, 256, 256, M, 512, 512, 512, 512, M, 512, 512, 512, 512, M},
}

// VGG has 11, 13, 16 or 19 layers with weights: filters of 3 × 3 in every convolution, a pooling wherever the number of
// filters is about to grow, and three dense layers, which hold most of the parameters. On 224 × 224 images and with
// 1,000 classes it has 132,863,336, 133,047,848, 138,357,544 or 143,667,240 parameters.
func VGG(layers, classes int) nn.Layer {
	return nn.Named(fmt.Sprintf("VGG-%d", layers), append(vggConvolutions(layers, nn.ReLU), nn.Flatten,
		nn.Dense(4096), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(4096), nn.ReLU, nn.Dropout(0.5),
		nn.Dense(classes))...)
}

// SmallVGG is VGG for 32 × 32 images: batch norm after every convolution, and one dense layer.
func SmallVGG(layers, classes int) nn.Layer {
	return nn.Named(fmt.Sprintf("SmallVGG-%d", layers),
		append(vggConvolutions(layers, nn.BatchNorm, nn.ReLU), nn.Flatten, nn.Dense(classes))...)
}

// VGG16 is the network that the notes call VGG16: 8 convolutions, each with batch norm and ReLU, and one dense layer.
// This is SmallVGG(11, classes). On 32 × 32 images of 3 channels and with 10 classes it has 9,231,114 parameters.
func VGG16(classes int) nn.Layer {
	return nn.Named("VGG16", append(vggConvolutions(11, nn.BatchNorm, nn.ReLU), nn.Flatten, nn.Dense(classes))...)
}

// vggConvolutions are the convolutions of a VGG with that many layers, each with what follows it, and the poolings.
func vggConvolutions(layers int, after ...nn.Layer) (all []nn.Layer) {
	plan, ok := vgg[layers]
	if !ok {
		return []nn.Layer{unknown("there is no VGG-%d: there is VGG-11, 13, 16 and 19", layers)}
	}
	for _, filters := range plan {
		if filters == M {
			all = append(all, nn.MaxPool(2))
		} else {
			all = append(append(all, nn.Conv(filters, 3).Padding(1)), after...)
		}
	}
	return all
}

// unknown stands for layers that do not exist. Whoever uses the network gets the error, as for any other layer that
// cannot work.
func unknown(format string, args ...any) nn.Layer {
	err := fmt.Errorf(format, args...)
	return nn.Func("unknown", func(*graph.Node) *graph.Node { panic(err) })
}
