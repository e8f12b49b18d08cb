// Package zoo holds the networks of the book, one short function each.
package zoo

import "example.org/convbook/lib/nn"

// FC2Layer is the small fully connected network of the notes' MNIST experiment: two hidden layers of the given number
// of units. On 28 × 28 grey images and with 8 hidden units it has 6,442 parameters.
func FC2Layer(hidden int) nn.Layer {
	return nn.Named("FC2Layer",
		nn.Flatten,
		nn.Dense(hidden), nn.ReLU,
		nn.Dense(hidden), nn.ReLU,
		nn.Dense(10), nn.LogSoftmax)
}

// CNN is the small convolutional network of the notes' MNIST experiment: two convolutions of 5×5 with the given number
// of filters, each followed by max pooling. On 28 × 28 grey images and with 6 filters it has 6,422 parameters.
func CNN(filters int) nn.Layer {
	return nn.Named("CNN",
		nn.Conv(filters, 5), nn.ReLU, nn.MaxPool(2),
		nn.Conv(filters, 5), nn.ReLU, nn.MaxPool(2),
		nn.Flatten,
		nn.Dense(50), nn.ReLU,
		nn.Dense(10), nn.LogSoftmax)
}
