package nn

import (
	"math"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn/internal/check"
)

// A network of two layers with weights against the same sums written out, on a batch of more than one image.
func TestComputeAgainstWrittenOutSums(t *testing.T) {
	const batch, height, width, channels, filters, kernel, units = 3, 5, 4, 2, 3, 3, 2
	values := func(seed uint64, dims ...int) array.Array { return array.New(check.Values(seed, size(dims)), dims...) }
	x := values(1, batch, height, width, channels)
	weights := map[string]array.Array{
		"conv1/weights":  values(2, kernel, kernel, channels, filters),
		"conv1/bias":     values(3, filters),
		"dense1/weights": values(4, height*width*filters, units),
		"dense1/bias":    values(5, 1, units),
	}
	maps := check.Convolution(x.Values, weights["conv1/weights"].Values, batch, height, width, channels, kernel, filters, 1, 1)
	var want []float32
	for b := range batch {
		for u := range units {
			sum := float64(weights["dense1/bias"].Values[u])
			for i := range height * width * filters {
				v := max(0, float64(maps[b*height*width*filters+i])+float64(weights["conv1/bias"].Values[i%filters]))
				sum += v * float64(weights["dense1/weights"].Values[i*units+u])
			}
			want = append(want, float32(sum))
		}
	}
	net := Named("both", Conv(filters, kernel).Padding(1), ReLU, Flatten, Dropout(0.5), Dense(units)) // dropout: not in a test
	got, err := Compute(net, weights, x)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Dims, []int{batch, units}) || !check.Near(got.Values, want, 1e-5) {
		t.Errorf("%v %v, want %v", got.Dims, got.Values, want)
	}
}

// What a layer keeps without learning it is among the weights, too.
func TestComputeWithStatistics(t *testing.T) {
	one := func(value float32) array.Array { return array.New([]float32{value}, 1) }
	weights := map[string]array.Array{
		"batch-norm1/scale": one(2), "batch-norm1/shift": one(1), "batch-norm1/mean": one(3), "batch-norm1/variance": one(4),
	}
	got, err := Compute(BatchNorm, weights, array.New([]float32{3, 7}, 1, 1, 2, 1))
	if err != nil {
		t.Fatal(err)
	}
	if want := float32(1 + 2*4/math.Sqrt(4+1e-5)); !check.Near(got.Values, []float32{1, want}, 1e-6) {
		t.Errorf("%v, want [1 %v]", got.Values, want)
	}
}

func TestComputeSaysWhatDoesNotFit(t *testing.T) {
	image := array.New(make([]float32, 9), 1, 3, 3, 1)
	conv := Conv(1, 2).NoBias()
	filter := array.New([]float32{1, 2, 3, 4}, 2, 2)
	for _, c := range []struct {
		net     Layer
		weights map[string]array.Array
		batch   array.Array
		want    string
	}{
		{conv, nil, image, "conv needs values for conv1/weights, of dimensions [2 2 1 1]"},
		{conv, map[string]array.Array{"conv1/weights": array.New([]float32{1, 2, 3, 4}, 4)}, image,
			"conv1/weights of conv has the dimensions [2 2 1 1], not [4]"},
		{conv, map[string]array.Array{"conv1/weights": {Dims: []int{2, 2}}}, image,
			"conv1/weights of conv has the dimensions [2 2 1 1]: that is 4 values, not 0"},
		{conv, map[string]array.Array{"conv1/weights": filter, "conv1/bias": filter}, image, "conv has no conv1/bias"},
		{MaxPool(2), nil, array.Array{Dims: image.Dims, Values: image.Values[:8]}, "a batch of dimensions [1 3 3 1] cannot have 8 values"},
		{MaxPool(2), nil, array.New(image.Values, 9), "a batch of dimensions [9] cannot have 9 values"},
		{MaxPool(4), nil, image, "max-pool, layer max-pool1, on images of 3×3×1: slides a window of 4×4"},
	} {
		_, err := Compute(c.net, c.weights, c.batch)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q in one line", err, c.want)
		}
	}
}
