package nn

import "github.com/gomlx/gomlx/core/graph"

// checkWindow panics when a window of size × size cannot slide over the images x.
func checkWindow(x *graph.Node, size, stride, padding int) {
	checkImages(x)
	if size < 1 || stride < 1 || padding < 0 {
		panicf("has size %d, stride %d and padding %d: size and stride start at 1, padding at 0", size, stride, padding)
	}
	height, width := x.Shape().Dim(1), x.Shape().Dim(2)
	if size > height+2*padding || size > width+2*padding {
		panicf("slides a window of %d×%d over a %d×%d feature map with padding %d: the window does not fit",
			size, size, height, width, padding)
	}
}

// checkImages panics when x is not a batch of images.
func checkImages(x *graph.Node) {
	if x.Rank() != 4 {
		panicf("takes [batch, height, width, channels], got %v", x.Shape().Dimensions)
	}
}
