package train

import (
	"cmp"
	"math"
	"slices"

	"example.org/convbook/lib/array"
)

// Predictions is what a network gives for the images of a split.
type Predictions struct {
	Outputs array.Array // [image, class]: scores or logarithms of probabilities, as the network ends
	Losses  []float32   // of each image
	Labels  []byte      // the right class of each image
	Classes []string
}

// Class is the class that the network gives to image i: the one with the largest output, the first of equals.
func (p *Predictions) Class(i int) int { return p.Outputs.Row(i).Argmax() }

// Probability is the probability that the network gives to a class of image i.
func (p *Predictions) Probability(i, class int) float64 { return p.Probabilities(i)[class] }

// Probabilities are those that the network gives to the classes of image i: the softmax of its outputs.
func (p *Predictions) Probabilities(i int) []float64 {
	row := p.Outputs.Row(i).Values
	top := float64(slices.Max(row))
	var sum float64
	shares := make([]float64, len(row))
	for class, output := range row {
		shares[class] = math.Exp(float64(output) - top)
		sum += shares[class]
	}
	for class := range shares {
		shares[class] /= sum
	}
	return shares
}

// Correct is how many images get their right class.
func (p *Predictions) Correct() int {
	n := 0
	for i, label := range p.Labels {
		if p.Class(i) == int(label) {
			n++
		}
	}
	return n
}

// Accuracy is the percentage of images that get their right class.
func (p *Predictions) Accuracy() float64 { return 100 * float64(p.Correct()) / float64(len(p.Labels)) }

// Loss is the mean loss.
func (p *Predictions) Loss() float64 {
	var sum float64
	for _, loss := range p.Losses {
		sum += float64(loss)
	}
	return sum / float64(len(p.Losses))
}

// Confusion counts the images of each right class, by row, and given class, by column.
func (p *Predictions) Confusion() [][]int {
	counts := make([][]int, len(p.Classes))
	for class := range counts {
		counts[class] = make([]int, len(p.Classes))
	}
	for i, label := range p.Labels {
		counts[label][p.Class(i)]++
	}
	return counts
}

// PerClass is the percentage of each class's images that get their right class; NaN for a class that has none.
func (p *Predictions) PerClass() []float64 {
	shares := make([]float64, len(p.Classes))
	for class, given := range p.Confusion() {
		images := 0
		for _, n := range given {
			images += n
		}
		shares[class] = 100 * float64(given[class]) / float64(images)
	}
	return shares
}

// Surest lists for each class the image to which the network gives it with the largest probability, the first of
// equals.
func (p *Predictions) Surest() []int {
	surest := make([]int, len(p.Classes))
	for class := range surest {
		for i := range p.Labels {
			if p.Probability(i, class) > p.Probability(surest[class], class) {
				surest[class] = i
			}
		}
	}
	return surest
}

// Worst lists the n images with the largest losses, the worst first: those to whose class the network gives the least
// probability, if the loss is one of likelihood. Where n is more than its mistakes, images that it gets right follow.
func (p *Predictions) Worst(n int) []int {
	order := make([]int, len(p.Losses))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.Losses[b], p.Losses[a]) })
	return order[:max(0, min(n, len(order)))]
}
