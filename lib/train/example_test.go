package train_test

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// task learns the digits of a small sample with a linear network.
var task = train.Task{
	Net:    nn.Named("Linear", nn.Flatten, nn.Dense(10), nn.LogSoftmax),
	Data:   sample.MNIST().Normalize(0.1307, 0.3081),
	Config: train.Config{Epochs: 3, Batch: 64, Loss: train.NLL, Optimizer: train.SGD(0.05, 0.5), Seed: 1, Progress: train.Quiet},
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

// A task is a value: a changed copy is another one, and another run.
func ExampleTask() {
	longer := task
	longer.Epochs = 30
	_, err := longer.Load()
	fmt.Println(task.Epochs, longer.Epochs, "trained before:", err == nil)
	// Output: 3 30 trained before: false
}

// A network that knows eight digits learns the two others from twenty pictures each. What its first dense layer has
// learned stays; the second is new, and the only one that learns.
func ExampleTask_start() {
	network := func(digits int) nn.Layer {
		return nn.Named("Two layers", nn.Flatten, nn.Dense(30), nn.ReLU, nn.Dense(digits), nn.LogSoftmax)
	}
	known := task
	known.Net, known.Data = network(8), task.Data.Only("0", "1", "2", "3", "4", "5", "6", "9")
	run, err := known.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	few := task
	few.Net, few.Data = network(2), task.Data.Only("7", "8").PerClass(20, 1)
	few.Start, few.Freeze = run, []string{"dense1"}
	few.Batch = 10
	if run, err = few.Fit(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Result.TrainImages, "pictures, better than a guess:", run.Result.TestAccuracy > 75)
	// Output: 40 pictures, better than a guess: true
}

// The validation images say after which epoch a training was at its best, and end it when it gets no better. They are also
// what to look at for a confusion matrix: the test images are for the end.
func ExampleKeep() {
	long := task
	long.Data = task.Data.Validate(112)
	long.Epochs, long.Optimizer = 50, train.SGD(0.3, 0.9)
	long.Keep, long.Patience = train.BestEpoch, 3
	run, err := long.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("it ended early:", len(run.History.Epochs) < 50)
	fmt.Println("epochs after the best one:", len(run.History.Epochs)-run.Result.Epoch)
	validation, err := long.Data.Validation()
	if err != nil {
		fmt.Println(err)
		return
	}
	predictions, err := run.TestOn(validation)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the run has its weights:", predictions.Accuracy() == run.Result.ValidationAccuracy)
	fmt.Println("classes:", len(predictions.Confusion()))
	// Output:
	// it ended early: true
	// epochs after the best one: 3
	// the run has its weights: true
	// classes: 10
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

// tests shows nothing of a training but its tests, and how it ended.
type tests struct{}

func (tests) Tell(e train.Event) {
	switch e := e.(type) {
	case train.Started:
		fmt.Println(e.Network, "with", e.Parameters, "parameters:", e.Epochs, "epochs of", e.Batches, "batches")
	case train.Tested:
		fmt.Println("epoch", e.Epoch, "is better than a guess:", e.TestAccuracy > 50)
	case train.Ended:
		fmt.Println("ended with", e.Err)
	}
}

// A loss of one's own: the focal loss (Lin et al., "Focal Loss for Dense Object Detection", 2017), in which images count
// little that the network is sure of already, and eights and nines twice.
func ExampleLossFunc() {
	weights := []float32{1, 1, 1, 1, 1, 1, 1, 1, 2, 2} // of the classes
	focal := train.LossFunc("focal loss", func(logits, labels *graph.Node) *graph.Node {
		label := graph.OneHot(labels, len(weights), logits.DType())
		log := graph.ReduceSum(graph.Mul(graph.LogSoftmax(logits, -1), label), -1) // of the label's probability
		weight := graph.Gather(graph.Const(logits.Graph(), weights), graph.ExpandAxes(labels, -1))
		unsure := graph.Square(graph.OneMinus(graph.Exp(log)))
		return graph.Neg(graph.Mul(weight, graph.Mul(unsure, log)))
	})
	focused := task
	focused.Net = nn.Named("Linear", nn.Flatten, nn.Dense(10))
	focused.Loss = focal
	run, err := focused.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Result.Recipe)
	fmt.Println("better than a guess:", run.Result.TestAccuracy > 50)
	// Output:
	// 3 epochs, batches of 64, focal loss, SGD, momentum 0.5, learning rate 0.05, seed 1
	// better than a guess: true
}

// An optimizer of one's own: Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023), in which every
// number of a parameter moves by the same amount.
func ExampleOptimizerFunc() {
	mix := func(a, b *graph.Node, share float64) *graph.Node {
		return graph.Add(graph.MulScalar(a, share), graph.MulScalar(b, 1-share))
	}
	lion := func(p train.Parameter) (*graph.Node, []*graph.Node) {
		direction := graph.Sign(mix(p.Kept[0], p.Gradient, 0.9))
		momentum := mix(p.Kept[0], p.Gradient, 0.99)
		return graph.Sub(p.Value, graph.Mul(p.Rate, direction)), []*graph.Node{momentum}
	}
	moved := task
	moved.Net = nn.Named("Linear", nn.Flatten, nn.Dense(10))
	moved.Loss = train.CrossEntropy
	moved.Optimizer = train.OptimizerFunc("Lion", 0.003, lion, "momentum")
	run, err := moved.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Result.Recipe)
	fmt.Println("better than a guess:", run.Result.TestAccuracy > 50)
	// Output:
	// 3 epochs, batches of 64, cross-entropy, Lion, learning rate 0.003, seed 1
	// better than a guess: true
}

// A schedule of one's own: the rate is divided by ten when half of the training is done, and again after three quarters.
func ExampleScheduleFunc() {
	stepped := task
	stepped.Optimizer = train.SGD(0.05, 0.5).Clip(5)
	stepped.Schedule = train.ScheduleFunc("tenths", func(done float64) float64 {
		switch {
		case done < 0.5:
			return 1
		case done < 0.75:
			return 0.1
		}
		return 0.01
	})
	run, err := stepped.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Result.Recipe)
	// Output:
	// 3 epochs, batches of 64, negative log-likelihood, SGD, momentum 0.5, gradients clipped to norm 5, learning rate 0.05, tenths, seed 1
}

// What a schedule makes of the learning rate can be looked at without a training: here of 0.1, over forty steps.
func ExampleSchedule_Share() {
	cycle := train.OneCycle(0.25)
	for _, step := range []int{0, 9, 24, 39} {
		fmt.Printf("step %2d: %.6f\n", step, 0.1*cycle.Share(step, 40))
	}
	// Output:
	// step  0: 0.004000
	// step  9: 0.100000
	// step 24: 0.050000
	// step 39: 0.000000
}

// A Progress of one's own is a type that is told what happens.
func ExampleProgress() {
	watched := task
	watched.Progress = tests{}
	if _, err := watched.Fit(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Linear with 7850 parameters: 3 epochs of 8 batches
	// epoch 1 is better than a guess: true
	// epoch 2 is better than a guess: true
	// epoch 3 is better than a guess: true
	// ended with <nil>
}

// What is on disk can be listed, named and removed.
func ExampleFind() {
	named := task
	named.Seed = 7
	run, err := named.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	stored, err := train.Find(run.Dir())
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := stored.SetName("my best"); err != nil {
		fmt.Println(err)
		return
	}
	best, err := train.Find("my best")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(best.Result.Network, best.Result.Recipe)
	fmt.Println("removed:", best.Remove())
	_, err = train.Find("my best")
	fmt.Println(err)
	// Output:
	// Linear 3 epochs, batches of 64, negative log-likelihood, SGD, momentum 0.5, learning rate 0.05, seed 7
	// removed: <nil>
	// there is no run "my best": make runs lists those that there are
}

func ExampleRun_Differs() {
	first, err := task.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	faster := task
	faster.Optimizer = train.SGD(0.1, 0.5)
	second, err := faster.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(second.Differs(first))
	// Output: lr 0.05 → 0.1, the rest the same
}
