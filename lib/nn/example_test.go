package nn_test

import (
	"cmp"
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
)

// A network is a value, and its summary says what it does to images of one size.
func Example() {
	net := nn.Named("LeNet",
		nn.Conv(6, 5).Padding(2), nn.Sigmoid, nn.AvgPool(2),
		nn.Conv(16, 5), nn.Sigmoid, nn.AvgPool(2),
		nn.Flatten, nn.Dense(120), nn.Sigmoid, nn.Dense(84), nn.Sigmoid, nn.Dense(10))
	summary, err := nn.Summarize(net, 28, 28, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(summary)
	// Output:
	// LeNet                                 output    parameters     MACs  sees
	// input                                 28×28×1
	// conv1      5×5, 6 filters, padding 2  28×28×6          156  117,600  5×5
	// sigmoid1                              28×28×6                        5×5
	// avg-pool1  2×2                        14×14×6                        6×6
	// conv2      5×5, 16 filters            10×10×16       2,416  240,000  14×14
	// sigmoid2                              10×10×16                       14×14
	// avg-pool2  2×2                        5×5×16                         16×16
	// flatten1                              400                            16×16
	// dense1     120 units                  120           48,120   48,000  28×28
	// sigmoid3                              120                            28×28
	// dense2     84 units                   84            10,164   10,080  28×28
	// sigmoid4                              84                             28×28
	// dense3     10 units                   10               850      840  28×28
	// total                                               61,706  416,520
}

// A layer that does not fit what comes into it is an error that names the layer.
func ExampleSummarize() {
	_, err := nn.Summarize(nn.Named("too deep", nn.Conv(6, 5), nn.MaxPool(2), nn.Conv(6, 5)), 12, 12, 3)
	fmt.Println(err)
	// Output: too deep, layer conv2, on images of 12×12×3: slides a window of 5×5 over a 4×4 feature map with padding 0: the window does not fit
}

// Each layer's facts stand in fields.
func ExampleSummary() {
	summary, err := nn.Summarize(nn.Sequential(nn.Conv(6, 3).Stride(2), nn.ReLU, nn.Conv(12, 3)), 15, 15, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, layer := range summary.Layers {
		if layer.Kind == "conv" {
			fmt.Println(layer.Path, layer.Kernel, layer.Stride, layer.Filters, layer.Output, layer.Field)
		}
	}
	// Output:
	// conv1 3 2 6 [7 7 6] 3
	// conv2 3 1 12 [5 5 12] 7
}

func ExampleSummary_Blocks() {
	block := nn.Residual(nn.Conv(8, 3).Padding(1).NoBias(), nn.BatchNorm, nn.ReLU, nn.Conv(8, 3).Padding(1).NoBias(), nn.BatchNorm)
	net := nn.Named("small ResNet", nn.Conv(8, 3).Padding(1), nn.ReLU, block, nn.ReLU, block, nn.ReLU, nn.GlobalAvgPool, nn.Dense(10))
	summary, err := nn.Summarize(net, 8, 8, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(summary.Blocks())
	// Output:
	// small ResNet                                 output  parameters     MACs  sees
	// input                                        8×8×3
	// conv1             3×3, 8 filters, padding 1  8×8×8          224   13,824  3×3
	// residual1–2       8, 8 filters               8×8×8        2,368  147,456  8×8
	// global-avg-pool1                             8                            8×8
	// dense1            10 units                   10              90       80  8×8
	// total                                                     2,682  161,360
}

// From each pixel the one to its lower right.
func ExampleCompute() {
	image := array.New([]float32{
		1, 2, 3,
		4, 5, 7,
		9, 8, 6}, 1, 3, 3, 1)
	filter := array.New([]float32{
		1, 0,
		0, -1}, 2, 2, 1, 1)
	y, err := nn.Compute(nn.Conv(1, 2).NoBias(), map[string]array.Array{"conv1/weights": filter}, image)
	fmt.Println(y.Dims, y.Values, err)
	// Output: [1 2 2 1] [-4 -5 -4 -1] <nil>
}

// A layer of one's own is a function of GoMLX.
func ExampleFunc() {
	double := nn.Func("double", func(x *graph.Node) *graph.Node { return graph.MulScalar(x, 2) })
	y, err := nn.Compute(double, nil, array.New([]float32{1, 2, 3}, 1, 3))
	fmt.Println(y.Values, err)
	// Output: [2 4 6] <nil>
}

// A function may keep variables, which are trained with the network's others.
func ExampleModelFunc() {
	scale := nn.ModelFunc("scale", func(scope *model.Scope, x *graph.Node) *graph.Node {
		return graph.Mul(x, scope.VariableWithValue("by", float32(1)).NodeValue(x))
	})
	y, err := nn.Compute(scale, map[string]array.Array{"scale1/by": array.New([]float32{3})}, array.New([]float32{1, 2, 3}, 1, 3))
	fmt.Println(y.Values, err)
	// Output: [3 6 9] <nil>
}

// What package train does not have, such as another optimizer, or numbers to learn where it has classes, takes a training
// of its own: GoMLX differentiates a network like any other function. This one draws a line through four points, by the
// mean squared error and with a rate that falls.
func ExampleApply() {
	net := nn.Named("line", nn.Dense(1))
	summary, err := nn.Summarize(net, 1)
	backend, err2 := device.Open()
	if err := cmp.Or(err, err2); err != nil {
		fmt.Println(err)
		return
	}
	store := model.NewStore()
	if err := summary.Initialize(store, backend, 1); err != nil {
		fmt.Println(err)
		return
	}
	step := model.MustNewExec(backend, store, func(scope *model.Scope, x, wanted, rate *graph.Node) *graph.Node {
		store.SetTraining(x.Graph(), true) // for dropout and batch norm, if there were any
		loss := graph.ReduceAllMean(graph.Square(graph.Sub(nn.Apply(scope, net, x), wanted)))
		var parameters []*model.Variable
		var values []*graph.Node
		for v := range scope.IterVariables() {
			if v.Trainable {
				parameters, values = append(parameters, v), append(values, v.NodeValue(loss))
			}
		}
		for i, gradient := range graph.Gradient(loss, values...) {
			parameters[i].SetNodeValue(graph.Sub(values[i], graph.Mul(rate, gradient)))
		}
		return loss
	})
	x, wanted := [][]float32{{0}, {1}, {2}, {3}}, [][]float32{{-1}, {1}, {3}, {5}}
	for i := range 200 {
		step.MustCall(x, wanted, float32(0.2/(1+0.01*float64(i))))
	}
	for _, v := range summary.Variables {
		fmt.Printf("%s %.2f\n", v.Name, store.GetVariable(nn.Path(v.Name)).MustValue().Value())
	}
	// Output:
	// dense1/weights [[2.00]]
	// dense1/bias [[-1.00]]
}
