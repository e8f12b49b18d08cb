package diagram_test

import (
	"fmt"

	"example.org/convbook/lib/diagram"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/zoo"
)

func ExampleOf() {
	summary, err := nn.Summarize(zoo.CNN(6), 28, 28, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(diagram.Of(summary).Alt)
	// Output: CNN on 28×28×1: 6,422 parameters; convolution 5×5; pooling 2×2; convolution 5×5; pooling 2×2; dense; dense
}
