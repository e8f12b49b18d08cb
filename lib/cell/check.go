package cell

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	"example.org/convbook/lib/array"
)

// Check is a claim that the cell proves. It is silent where the claim holds and ends the cell with the message where it
// does not.
func Check(ok bool, format string, args ...any) {
	if !ok {
		OK(fmt.Errorf(format, args...))
	}
}

// Near checks that numbers are the wanted ones except for rounding: none may differ by more than the tolerance. Both
// are a number, a slice of numbers (of slices …), or an [array.Array].
func Near(what string, got, want any, tolerance float64) { OK(near(what, got, want, tolerance)) }

func near(what string, got, want any, tolerance float64) error {
	a, dims, err := numbers(got)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	b, wanted, err := numbers(want)
	if err != nil {
		return fmt.Errorf("%s, what is wanted: %w", what, err)
	}
	if len(a) != len(b) || len(dims) > 1 && len(wanted) > 1 && !slices.Equal(dims, wanted) {
		return fmt.Errorf("%s: got %v numbers, want %v", what, dims, wanted)
	}
	worst, at := 0.0, -1
	for i := range a {
		distance := math.Abs(a[i] - b[i])
		if a[i] == b[i] { // both infinite
			distance = 0
		}
		if !(distance <= tolerance) && (at < 0 || distance > worst || math.IsNaN(distance)) {
			worst, at = distance, i
		}
	}
	switch {
	case at < 0:
		return nil
	case len(dims) == 0:
		return fmt.Errorf("%s is %v, want %v: they differ by %.3g", what, got, want, worst)
	}
	return fmt.Errorf("%s: number %d is %v, want %v: they differ by %.3g", what, at, a[at], b[at], worst)
}

// numbers are the numbers in v, one after another, and the dimensions that they have there.
func numbers(v any) (all []float64, dims []int, err error) {
	if a, ok := v.(array.Array); ok {
		return a.Float64s(), a.Dims, nil
	}
	r := reflect.ValueOf(v)
	switch {
	case !r.IsValid():
		return nil, nil, fmt.Errorf("there is no number")
	case r.CanFloat():
		return []float64{r.Float()}, nil, nil
	case r.CanInt():
		return []float64{float64(r.Int())}, nil, nil
	case r.CanUint():
		return []float64{float64(r.Uint())}, nil, nil
	case r.Kind() == reflect.Slice || r.Kind() == reflect.Array:
		dims = []int{r.Len()}
		for i := range r.Len() {
			row, inner, err := numbers(r.Index(i).Interface())
			if err != nil {
				return nil, nil, err
			}
			all = append(all, row...)
			dims = append(dims[:1], inner...)
		}
		return all, dims, nil
	}
	return nil, nil, fmt.Errorf("a %T is not numbers", v)
}
