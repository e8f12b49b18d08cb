package classify_test

import (
	"fmt"
	"os"
	"path/filepath"

	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// A network that was trained in one program is exported to a file, and another program uses it.
func ExampleClassifier_Export() {
	run, err := train.Task{
		Net: nn.Named("Linear", nn.Flatten, nn.Dense(10)), Data: sample.MNIST().Normalize(0.1307, 0.3081),
		Config: train.Config{Epochs: 3, Batch: 64, Optimizer: train.SGD(0.05, 0.5), Seed: 1, Progress: train.Quiet},
	}.Fit()
	if err != nil {
		fmt.Println(err)
		return
	}
	trained, err := classify.New(run)
	if err != nil {
		fmt.Println(err)
		return
	}
	file := filepath.Join(os.TempDir(), "digits.safetensors")
	defer os.Remove(file)
	if err := trained.Export(file); err != nil {
		fmt.Println(err)
		return
	}

	network, err := classify.Open(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	test, err := sample.MNIST().Test()
	if err != nil {
		fmt.Println(err)
		return
	}
	classes, err := network.Classify(test.Image(0))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(network)
	fmt.Printf("a picture of a %s is taken for a %s\n", test.Label(0), classes[0].Name)
	// Output:
	// Linear, 7850 parameters: pictures of 28×28×1 into 10 classes
	// a picture of a 7 is taken for a 7
}
