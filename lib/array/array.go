// Package array has the array type that the book's packages pass to each other: weights, activations, scores, tables.
package array

import "fmt"

// Array is numbers with dimensions, in row-major order: the last index runs fastest. A batch of images has the
// dimensions batch, height, width, channels.
type Array struct {
	Dims   []int
	Values []float32 // as many as the product of the dimensions
}

// New is an array of these values. The values are not copied. It panics if the dimensions do not give their number.
func New(values []float32, dims ...int) Array {
	if size(dims) != len(values) {
		panic(fmt.Errorf("%d values cannot be an array of dimensions %v", len(values), dims))
	}
	return Array{dims, values}
}

// Len is the first dimension: the number of rows.
func (a Array) Len() int { return a.Dims[0] }

// At is the value with these indices, one for each dimension.
func (a Array) At(indices ...int) float32 {
	if len(indices) != len(a.Dims) {
		panic(fmt.Errorf("an array of dimensions %v has no value at %v", a.Dims, indices))
	}
	at := 0
	for axis, i := range indices {
		a.check(axis, i)
		at = at*a.Dims[axis] + i
	}
	return a.Values[at]
}

// Row is the part with the first index i, an array of one dimension less that shares its values: an image of a batch,
// the scores of an image.
func (a Array) Row(i int) Array {
	a.check(0, i)
	n := size(a.Dims[1:])
	return Array{a.Dims[1:], a.Values[i*n : (i+1)*n]}
}

// Channel is a copy of the part with the last index c, an array of one dimension less: one of several feature maps, or
// a filter of a convolution's weights.
func (a Array) Channel(c int) Array {
	last := len(a.Dims) - 1
	a.check(last, c)
	picked := Array{Dims: a.Dims[:last], Values: make([]float32, 0, size(a.Dims[:last]))}
	for i := c; i < len(a.Values); i += a.Dims[last] {
		picked.Values = append(picked.Values, a.Values[i])
	}
	return picked
}

// Argmax is the index in Values of the largest value, the first one if several are equal.
func (a Array) Argmax() int {
	best := 0
	for i, value := range a.Values {
		if value > a.Values[best] {
			best = i
		}
	}
	return best
}

// Float64s are the values as gonum's packages want them.
func (a Array) Float64s() []float64 {
	values := make([]float64, len(a.Values))
	for i, value := range a.Values {
		values[i] = float64(value)
	}
	return values
}

func (a Array) check(axis, i int) {
	if axis < 0 || axis >= len(a.Dims) || i < 0 || i >= a.Dims[axis] {
		panic(fmt.Errorf("index %d is out of range on axis %d of an array of dimensions %v", i, axis, a.Dims))
	}
}

func size(dims []int) int {
	n := 1
	for _, dim := range dims {
		n *= dim
	}
	return n
}
