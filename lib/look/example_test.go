package look_test

import (
	"fmt"

	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/look"
	"example.org/convbook/lib/nn"
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

// Runs of a network that were trained before, by what differs between them.
func ExampleRuns() {
	task := train.Task{
		Net: zoo.CNN(2), Data: sample.MNIST().Normalize(0.1307, 0.3081),
		Config: train.Config{Epochs: 1, Batch: 64, Loss: train.NLL, Progress: train.Quiet},
	}
	task.Net = nn.Named("Small CNN", task.Net)
	for _, rate := range []float64{0.01, 0.03} {
		task.Optimizer = train.SGD(rate, 0.5)
		if _, err := task.Fit(); err != nil {
			fmt.Println(err)
			return
		}
	}
	runs, err := look.Runs("Small CNN") // in a notebook: cell.Show(cell.Must(look.Runs("Small CNN")))
	if err != nil {
		fmt.Println(err)
		return
	}
	head, rows := runs.Table()
	fmt.Println(head, "of", len(rows), "runs")
	// Output: [run lr accuracy, % training, s date state] of 2 runs
}
