package look_test

import (
	"fmt"

	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/look"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

// In a notebook, cell.Show shows the figures.
func Example() {
	run, err := train.Task{
		Net: zoo.CNN(6), Data: sample.MNIST().Normalize(0.1307, 0.3081),
		Config: train.Config{Epochs: 1, Batch: 64, Loss: train.NLL, Optimizer: train.SGD(0.01, 0.5), Progress: train.Quiet},
	}.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(look.Filters(run, "conv1").Alt)
	// Output:
	// The 6 learned filters of conv1, 5×5 pixels, red positive, blue negative
}
