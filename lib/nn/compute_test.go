package nn

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

func ExampleCompute() {
	image := Array{[]int{1, 3, 3, 1}, []float32{
		1, 2, 3,
		4, 5, 7,
		9, 8, 6}}
	// From each pixel the one to its lower right.
	y, err := Compute(Conv(1, 2).NoBias(), Weights{"conv1/weights": {1, 0, 0, -1}}, image)
	fmt.Println(y.Dims, y.Values, err)
	// Output: [1 2 2 1] [-4 -5 -4 -1] <nil>
}

// A network of two layers with weights against the same sums written out, on a batch of more than one image.
func TestComputeAgainstWrittenOutSums(t *testing.T) {
	const batch, height, width, channels, filters, kernel, units = 3, 5, 4, 2, 3, 3, 2
	values := func(seed uint64, n int) []float32 { return tensors.MustCopyFlatData[float32](random(seed, n)) }
	x := values(1, batch*height*width*channels)
	weights := Weights{
		"conv1/weights":  values(2, kernel*kernel*channels*filters),
		"conv1/bias":     values(3, filters),
		"dense1/weights": values(4, height*width*filters*units),
		"dense1/bias":    values(5, units),
	}
	maps := convolve(x, weights["conv1/weights"], batch, height, width, channels, kernel, filters, 1, 1)
	var want []float32
	for b := range batch {
		for u := range units {
			sum := float64(weights["dense1/bias"][u])
			for i := range height * width * filters {
				v := max(0, float64(maps[b*height*width*filters+i])+float64(weights["conv1/bias"][i%filters]))
				sum += v * float64(weights["dense1/weights"][i*units+u])
			}
			want = append(want, float32(sum))
		}
	}
	net := Named("both", Conv(filters, kernel).Padding(1), ReLU, Flatten, Dropout(0.5), Dense(units)) // dropout: not in a test
	got, err := Compute(net, weights, Array{[]int{batch, height, width, channels}, x})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Dims, []int{batch, units}) || !close(got.Values, want, 1e-5) {
		t.Errorf("%v %v, want %v", got.Dims, got.Values, want)
	}
}

// What a layer keeps without learning it is among the weights, too.
func TestComputeWithStatistics(t *testing.T) {
	weights := Weights{
		"batch-norm1/scale": {2}, "batch-norm1/shift": {1}, "batch-norm1/mean": {3}, "batch-norm1/variance": {4},
	}
	got, err := Compute(BatchNorm, weights, Array{[]int{1, 1, 2, 1}, []float32{3, 7}})
	if err != nil {
		t.Fatal(err)
	}
	if want := float32(1 + 2*4/math.Sqrt(4+1e-5)); !close(got.Values, []float32{1, want}, 1e-6) {
		t.Errorf("%v, want [1 %v]", got.Values, want)
	}
}

func TestComputeSaysWhatDoesNotFit(t *testing.T) {
	image := Array{[]int{1, 3, 3, 1}, make([]float32, 9)}
	conv := Conv(1, 2).NoBias()
	for want, f := range map[string]func() (Array, error){
		"conv needs values for conv1/weights, of dimensions [2 2 1 1]": func() (Array, error) { return Compute(conv, nil, image) },
		"conv1/weights of conv has the dimensions [2 2 1 1]: that is 4 values, not 1": func() (Array, error) {
			return Compute(conv, Weights{"conv1/weights": {1}}, image)
		},
		"conv has no conv1/bias": func() (Array, error) {
			return Compute(conv, Weights{"conv1/weights": {1, 2, 3, 4}, "conv1/bias": {0}}, image)
		},
		"a batch of dimensions [1 3 3 1] cannot have 8 values": func() (Array, error) {
			return Compute(MaxPool(2), nil, Array{image.Dims, image.Values[:8]})
		},
		"a batch of dimensions [9] cannot have 9 values": func() (Array, error) {
			return Compute(MaxPool(2), nil, Array{[]int{9}, image.Values})
		},
		"max-pool, layer max-pool1, on images of 3×3×1: slides a window of 4×4": func() (Array, error) { return Compute(MaxPool(4), nil, image) },
	} {
		_, err := f()
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q in one line", err, want)
		}
	}
}
