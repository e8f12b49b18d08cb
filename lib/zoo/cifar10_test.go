package zoo_test

import (
	"slices"
	"testing"

	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/zoo"
)

// Counted by PyTorch for the same layers.
func TestParameterCountsOnCIFAR10(t *testing.T) {
	for _, c := range []struct {
		net  nn.Layer
		want int
	}{{zoo.Net(10), 62006}, {zoo.VGG16(10), 9231114}} {
		summary, err := nn.Summary(c.net, 32, 32, 3)
		if err != nil {
			t.Fatal(err)
		}
		if summary.Parameters() != c.want || !slices.Equal(summary.Output, []int{10}) {
			t.Errorf("%v has %d parameters and gives %v, want %d and [10]", c.net, summary.Parameters(), summary.Output, c.want)
		}
	}
}
