package dataset

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"example.org/convbook/lib/array"
)

// whiteningFloor is added to the variances, or what is next to constant in the patches would be blown up to noise.
const whiteningFloor = 5e-4

// mostInPatch is how many numbers a patch may have: the time for their eigenvectors grows with the third power.
const mostInPatch = 2048

// Whitening is the weights of a first convolution that turns each patch of kernel × kernel pixels into numbers without
// what neighbouring pixels and colours have in common: over all patches of the split's images, normalised as its data
// set says, no two of the numbers are correlated, and each has a mean square of 1. The numbers come in the order of how
// much of the pictures they make up, and then once more with the opposite sign, since a ReLU lets only one of the two
// through. [kernel, kernel, channels, 2 × kernel × kernel × channels]
//
// Each filter is an eigenvector of the matrix of the patches' products, divided by the root of its eigenvalue (Krizhevsky,
// "Learning Multiple Layers of Features from Tiny Images", 2009, appendix A; as the first layer of a network: Page, "How
// to Train Your ResNet 8: Bag of Tricks", 2019). An error says that the images are smaller than the patches.
func (s *Split) Whitening(kernel int) (array.Array, error) {
	d := s.of()
	if kernel < 1 || kernel > min(d.Height, d.Width) {
		return array.Array{}, fmt.Errorf("%s: there are no patches of %d × %[2]d in pictures of %d × %d",
			d.Name, kernel, d.Height, d.Width)
	}
	if size := kernel * kernel * d.Channels; size > mostInPatch {
		return array.Array{}, fmt.Errorf("%s: patches of %d × %[2]d have %d numbers, more than the %d of which the "+
			"eigenvectors are computed: take smaller ones", d.Name, kernel, size, mostInPatch)
	}
	products := s.patchProducts(kernel)
	var eigen mat.EigenSym
	if !eigen.Factorize(products, true) {
		return array.Array{}, errors.New(d.Name + ": the eigenvectors of the patches cannot be computed")
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	size := products.SymmetricDim()
	values := eigen.Values(nil) // the smallest first
	weights := make([]float32, 0, size*2*size)
	for number := range size {
		for _, sign := range []float64{1, -1} {
			for i := size - 1; i >= 0; i-- {
				weights = append(weights, float32(sign*vectors.At(number, i)/math.Sqrt(values[i]+whiteningFloor)))
			}
		}
	}
	return array.New(weights, kernel, kernel, d.Channels, 2*size), nil
}

// patchProducts is the mean of x·xᵀ over all patches x of the images.
func (s *Split) patchProducts(kernel int) *mat.SymDense {
	d := s.of()
	size := kernel * kernel * d.Channels
	sums := mat.NewSymDense(size, nil)
	columns := d.Width - kernel + 1 // of patches
	rows := (d.Height - kernel + 1) * columns
	patches := mat.NewDense(rows, size, nil) // of an image
	for i := range s.Len() {
		picture := s.picture(i)
		for row := range rows {
			top, left := row/columns, row%columns
			patch := patches.RawRowView(row)[:0]
			for y := top; y < top+kernel; y++ {
				for x := left; x < left+kernel; x++ {
					for c, value := range d.pixel(picture, y*d.Width+x) {
						patch = append(patch, d.normalised(c, value))
					}
				}
			}
		}
		var products mat.SymDense
		products.SymOuterK(1, patches.T())
		sums.AddSym(sums, &products)
	}
	sums.ScaleSym(1/float64(rows*s.Len()), sums)
	return sums
}

// normalised is the number for a channel's byte that a network gets.
func (d Images) normalised(channel int, value byte) float64 {
	v := float64(value) / 255
	if n := len(d.mean); n > 0 {
		c := min(channel, n-1)
		v = (v - d.mean[c]) / d.std[c]
	}
	return v
}
