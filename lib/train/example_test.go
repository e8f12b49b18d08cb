package train_test

import (
	"fmt"

	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// task learns the digits of a small sample with a linear network.
var task = train.Task{
	Net:    nn.Named("Linear", nn.Flatten, nn.Dense(10)),
	Data:   sample.MNIST().Normalize(0.1307, 0.3081),
	Config: train.Config{Epochs: 3, Batch: 64, Optimizer: train.SGD(0.05, 0.5), Seed: 1, Progress: train.Quiet},
}

func ExampleTask_Fit() {
	run, err := task.Fit() // for data of the book's: dataset.MNIST()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Result.Parameters, "parameters,", len(run.History.Losses), "steps")
	fmt.Println("better than a guess:", run.Result.TestAccuracy > 50)
	// Output:
	// 7850 parameters, 24 steps
	// better than a guess: true
}

// A task is a value: a changed copy is another one.
func ExampleTask() {
	longer := task
	longer.Epochs = 30
	if _, err := longer.Load(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Linear was not trained on MNIST sample with these settings yet (30 epochs, batches of 64, cross-entropy, SGD, momentum 0.5, learning rate 0.05, seed 1): run the cell with Fit first
}

func ExampleWorker() {
	worker, err := task.Worker()
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		if _, err := worker.Steps(worker.Batches()); err != nil {
			fmt.Println(err)
			return
		}
	}
	predictions, err := worker.Test()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(predictions.Outputs.Dims, "better than a guess:", predictions.Accuracy() > 50)
	// Output: [256 10] better than a guess: true
}
