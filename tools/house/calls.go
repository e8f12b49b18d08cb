package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
)

// called are the functions of the book in a stack trace.
var called = regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(module) + `lib/(\S+)$`)

// countCalls counts the functions of the book between nn.Sequential(nn.Conv(6, 5)).Apply, which it counts, too, and the
// convolution in the graph.
func countCalls() error {
	backend, err := device.Open()
	if err != nil {
		return err
	}
	var functions []string
	exec, err := model.NewExec(backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) *graph.Node {
		x.Graph().SetTraced(true)
		y := nn.Sequential(nn.Conv(6, 5)).Apply(scope, x)
		for _, node := range x.Graph().Nodes() {
			if node.Type() == graph.NodeTypeConvGeneral {
				for _, match := range called.FindAllStringSubmatch(fmt.Sprintf("%+v", node.Trace()), -1) {
					functions = append(functions, match[1])
				}
			}
		}
		return y
	})
	if err != nil {
		return err
	}
	defer exec.Finalize()
	if _, err := exec.Call1(tensors.FromFlatDataAndDimensions(make([]float32, 28*28), 1, 28, 28, 1)); err != nil {
		return err
	}
	if len(functions) == 0 {
		return errors.New("the graph of a convolution has no convolution")
	}
	slices.Reverse(functions)
	row("functions between nn.Conv and the graph", len(functions), functions...)
	return nil
}
