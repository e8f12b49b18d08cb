package convolve

import (
	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/internal/op"
)

// Winograd's F(2×2, 3×3) computes a 3×3 convolution with 16 multiplications for every 2×2 results instead of 36 (Lavin
// and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). The results y of a 4×4 tile d of the image
// under the window w are
//
//	y = Aᵀ · [(G·w·Gᵀ) ⊙ (Bᵀ·d·B)] · A
//
// Read backwards, the gradient with respect to w is the sum of Gᵀ·[(A·p·Aᵀ) ⊙ (Bᵀ·d·B)]·G over all tiles, p being the
// gradient with respect to y. Since ⊙ goes value by value, each of the 16 places of a tile is one matrix product over
// all tiles and channels.
var (
	winogradA = [][]float64{{1, 0}, {1, 1}, {1, -1}, {0, -1}}
	winogradB = [][]float64{{1, 0, 0, 0}, {0, 1, -1, 1}, {-1, 1, 1, 0}, {0, 0, 0, -1}}
	winogradG = [][]float64{{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}}
)

// canWinograd reports whether Winograd's algorithm applies: windows of 3×3 at every position of an image that 2×2 tiles
// cover, with one line of zeros around it.
func canWinograd(x, weights *graph.Node, stride, padding int) bool {
	return weights.Shape().Dim(0) == 3 && stride == 1 && padding == 1 &&
		x.Shape().Dim(1)%2 == 0 && x.Shape().Dim(2)%2 == 0
}

// winograd leaves the convolution and its gradient with respect to the image to XLA, and computes the gradient with
// respect to the weights by Winograd's algorithm, where canWinograd holds. XLA's own takes two to three times as long
// as the others.
func winograd(x, weights *graph.Node, stride, padding int) *graph.Node {
	return op.WithGradient(weights,
		func(weights *graph.Node) *graph.Node { return convolution(x, weights, stride, padding) },
		func(pull *graph.Node) *graph.Node { return winogradWeights(x, pull) })
}

// winogradWeights is the gradient with respect to the weights. [batch, height, width, channels], [batch, height, width,
// filters] → [3, 3, channels, filters]
func winogradWeights(x, pull *graph.Node) *graph.Node {
	channels, filters := x.Shape().Dim(3), pull.Shape().Dim(3)
	tiles := winogradTiles(x)
	var products [4][4]*graph.Node
	for i := range 4 {
		for j := range 4 {
			p := sandwich(winogradA[i], winogradA[j], func(k, l int) *graph.Node { return every2nd(pull, k, l, 0) })
			p = graph.Reshape(p, -1, filters)
			products[i][j] = graph.DotGeneral(tiles[i][j], []int{0}, nil, p, []int{0}, nil)
		}
	}
	var weights []*graph.Node
	for i := range 3 {
		for j := range 3 {
			product := func(k, l int) *graph.Node { return products[k][l] }
			w := sandwich(column(winogradG, i), column(winogradG, j), product)
			weights = append(weights, graph.Reshape(w, 1, channels, filters))
		}
	}
	return graph.Reshape(graph.Concatenate(weights, 0), 3, 3, channels, filters)
}

// winogradTiles is Bᵀ·d·B of all 4×4 tiles d of the image, which overlap by two: for each place, [tiles, channels].
func winogradTiles(x *graph.Node) (places [4][4]*graph.Node) {
	padded := op.Pad(x, 1)
	for i := range 4 {
		for j := range 4 {
			pixels := func(k, l int) *graph.Node { return every2nd(padded, k, l, 2) }
			tile := sandwich(column(winogradB, i), column(winogradB, j), pixels)
			places[i][j] = graph.Reshape(tile, -1, x.Shape().Dim(3))
		}
	}
	return places
}

// every2nd takes every second row and column of a batch of images, from the given ones on, as many as there would be
// without some of the image's last lines.
func every2nd(x *graph.Node, row, column, without int) *graph.Node {
	along := func(start, side int) graph.SliceAxisSpec {
		return graph.AxisRange(start, start+side-without-1).Stride(2)
	}
	return graph.Slice(x, graph.AxisRange(), along(row, x.Shape().Dim(1)), along(column, x.Shape().Dim(2)))
}

// sandwich is left · m · rightᵀ for a matrix m of nodes.
func sandwich(left, right []float64, m func(i, j int) *graph.Node) (sum *graph.Node) {
	for i, a := range left {
		for j, b := range right {
			switch factor := a * b; {
			case factor == 0:
			case sum == nil:
				sum = scaled(m(i, j), factor)
			case factor < 0:
				sum = graph.Sub(sum, scaled(m(i, j), -factor))
			default:
				sum = graph.Add(sum, scaled(m(i, j), factor))
			}
		}
	}
	return sum
}

func scaled(x *graph.Node, factor float64) *graph.Node {
	if factor == 1 {
		return x
	}
	return graph.MulScalar(x, factor)
}

// column is column j of a matrix.
func column(matrix [][]float64, j int) (values []float64) {
	for _, row := range matrix {
		values = append(values, row[j])
	}
	return values
}
