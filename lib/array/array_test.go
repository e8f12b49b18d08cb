package array_test

import (
	"fmt"
	"slices"
	"testing"

	"example.org/convbook/lib/array"
)

func Example() {
	// Two images of 1 × 2 pixels with three channels each.
	batch := array.New([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 2, 1, 2, 3)
	fmt.Println(batch.At(1, 0, 1, 2), batch.Row(1).Channel(0).Values, batch.Row(0).Argmax())
	// Output: 12 [7 10] 5
}

func TestChannelOfFilters(t *testing.T) {
	weights := array.New([]float32{1, 2, 3, 4, 5, 6}, 1, 1, 3, 2) // two filters over three channels
	filter := weights.Channel(1)
	if !slices.Equal(filter.Values, []float32{2, 4, 6}) || !slices.Equal(filter.Dims, []int{1, 1, 3}) {
		t.Errorf("got %v", filter)
	}
}

// Of equals the first is taken, as a class is by PyTorch's argmax on the processor.
func TestArgmax(t *testing.T) {
	if got := array.New([]float32{-3, 2, 2, 1}, 4).Argmax(); got != 1 {
		t.Errorf("got %d", got)
	}
}

func TestWhatIsOutOfRangePanics(t *testing.T) {
	a := array.New([]float32{1, 2, 3, 4}, 2, 2)
	for name, f := range map[string]func(){
		"dimensions":  func() { array.New([]float32{1, 2, 3}, 2, 2) },
		"an index":    func() { a.At(0, 2) },
		"few indices": func() { a.At(1) },
		"a row":       func() { a.Row(2) },
		"a channel":   func() { a.Channel(-1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
