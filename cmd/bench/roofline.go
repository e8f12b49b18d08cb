package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// convolution is one of a network's, as far as its time depends on it. A training step applies it, and computes its
// gradient with respect to its weights and, if it is not the first layer, to its images.
type convolution struct {
	height, width, channels, filters int // of what comes in, as far as windows see it
	kernel, stride, padding          int
	first                            bool
}

// roofline says of each work's convolutions what they cost on this machine: how long they would take at the rate of the
// fastest, how long they take alone, one after the other, and how long all of the work takes. Whoever computes
// convolutions with the same library cannot do the work faster than in the second of these.
func roofline() error {
	backend, err := device.Open()
	if err != nil {
		return err
	}
	line, err := device.Line()
	if err != nil {
		return err
	}
	rate, err := fastest.rate(backend)
	if err != nil {
		return err
	}
	through, err := memoryRate(backend)
	if err != nil {
		return err
	}
	fmt.Fprintf(printed, "%s\n%d filters of %d×%[3]d: %.0f billion operations a second; memory: %.1f GB a second\n\n",
		line, fastest.filters, fastest.kernel, rate/1e9, through/1e9)
	fmt.Fprintln(printed, "| work | operations, billions | at that rate, s | convolutions alone, s | all of it, s | share |")
	fmt.Fprintln(printed, "| --- | --- | --- | --- | --- | --- |")
	for _, w := range works() {
		if strings.HasSuffix(w.name, "epoch") || strings.HasPrefix(w.name, "FC2Layer") {
			continue // many steps in a call, or no convolution
		}
		if err := w.roofline(backend, rate); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

func (w work) roofline(backend compute.Backend, rate float64) error {
	summary, err := nn.Summarize(w.net, w.data.Height, w.data.Width, w.data.Channels)
	if err != nil {
		return err
	}
	training, images := w.steps >= 0, w.batch
	if !training {
		images = w.tests
	}
	operations, alone := 0.0, 0.0
	times := map[convolution]float64{}
	for i, layer := range summary.Layers {
		if layer.Kind != "conv" || layer.Lane == "auxiliary" && !training {
			continue
		}
		for range layer.Groups {
			c := convolutionOf(layer, i == 0)
			if _, known := times[c]; !known {
				if times[c], err = c.time(backend, images, training); err != nil {
					return err
				}
			}
			alone += times[c]
			operations += c.operations(images, training)
		}
	}
	worker, err := w.start(train.Float32)
	if err != nil {
		return err
	}
	whole, err := seconds(func() error { return w.round(worker) })
	if err != nil {
		return err
	}
	fmt.Fprintf(printed, "| %s | %.1f | %.3f | %.3f | %.3f | %.0f %% |\n",
		w.name, operations/1e9, operations/rate, alone, whole, 100*alone/whole)
	return nil
}

// convolutionOf is what one group of a layer's filters does. What comes in follows from what comes out.
func convolutionOf(l nn.LayerInfo, first bool) convolution {
	out := l.Output
	c := convolution{kernel: l.Kernel, stride: l.Stride, padding: l.Padding, filters: out[2] / l.Groups, first: first}
	c.channels = l.MACs / (out[0] * out[1] * out[2] * l.Kernel * l.Kernel)
	c.height, c.width = (out[0]-1)*c.stride+c.kernel-2*c.padding, (out[1]-1)*c.stride+c.kernel-2*c.padding
	return c
}

// out is what a height or a width becomes.
func (c convolution) out(size int) int { return (size+2*c.padding-c.kernel)/c.stride + 1 }

// operations is how many multiplications and additions it takes. A gradient takes as many as the result.
func (c convolution) operations(images int, training bool) float64 {
	passes := 1
	switch {
	case training && c.first:
		passes = 2
	case training:
		passes = 3
	}
	return 2 * float64(passes*images*c.out(c.height)*c.out(c.width)*c.filters*c.kernel*c.kernel*c.channels)
}

// time is how long the convolution takes alone.
func (c convolution) time(backend compute.Backend, images int, training bool) (float64, error) {
	exec, err := graph.NewExec(backend, func(x, w, gradient *graph.Node) []*graph.Node {
		around := [2]int{c.padding, c.padding}
		y := graph.Convolve(x, w).Strides(c.stride).PaddingPerDim([][2]int{around, around}).Done()
		if !training {
			return []*graph.Node{y, mark(y)}
		}
		by := []*graph.Node{w}
		if !c.first {
			by = append(by, x)
		}
		return append(graph.Gradient(graph.ReduceAllSum(graph.Mul(y, gradient)), by...), y, mark(y))
	})
	if err != nil {
		return 0, err
	}
	return timeOf(exec, ones(images, c.height, c.width, c.channels), ones(c.kernel, c.kernel, c.channels, c.filters),
		ones(images, c.out(c.height), c.out(c.width), c.filters))
}

// fastest is a convolution that suits the processor as well as any: how many operations a second it does is the rate that
// others are compared with.
var fastest = convolution{height: 16, width: 16, channels: 256, filters: 256, kernel: 3, stride: 1, padding: 1}

func (c convolution) rate(backend compute.Backend) (float64, error) {
	const images = 64
	took, err := c.time(backend, images, false)
	return c.operations(images, false) / took, err
}

// memoryRate is how many bytes a second are read and written when a large array is doubled.
func memoryRate(backend compute.Backend) (float64, error) {
	const size = 1 << 26
	exec, err := graph.NewExec(backend, func(a *graph.Node) []*graph.Node {
		return []*graph.Node{graph.MulScalar(a, 2), mark(a)}
	})
	if err != nil {
		return 0, err
	}
	took, err := timeOf(exec, ones(size))
	return 2 * 4 * size / took, err
}

// ones is an array of ones.
func ones(dims ...int) *tensors.Tensor {
	size := shapes.Make(dtypes.Float32, dims...).Size()
	return tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{1}, size), dims...)
}

// mark is a last result of a program, to wait for. The others are there when it is.
func mark(x *graph.Node) *graph.Node { return graph.Scalar(x.Graph(), dtypes.Float32, 1) }

// timeOf is the median of how long a program takes. All its results but the mark stay on the device.
func timeOf(exec *graph.Exec, inputs ...any) (float64, error) {
	return seconds(func() error {
		results, err := exec.Call(inputs...)
		if err != nil {
			return err
		}
		_ = results[len(results)-1].Value()
		for _, r := range results {
			r.MustFinalizeAll()
		}
		return nil
	})
}

// seconds is the median of how long f takes, without the first two times.
func seconds(f func() error) (float64, error) {
	var all []float64
	for i := range 9 {
		start := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		if i >= 2 {
			all = append(all, time.Since(start).Seconds())
		}
	}
	return median(all), nil
}
