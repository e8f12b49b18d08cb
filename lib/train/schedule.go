package train

import (
	"fmt"
	"math"
)

// Schedule changes the learning rate while a network is trained. Without one the rate stays the optimizer's.
type Schedule struct {
	name    string  // as in a Recipe
	warmUp  float64 // see OneCycle
	invalid error
	// factor is the share of the optimizer's rate that a step has, counted from 0 over all epochs, with perEpoch steps
	// each.
	factor func(step, perEpoch, epochs int) float64
}

// at is that share.
func (s Schedule) at(step, perEpoch, epochs int) float64 {
	if s.factor == nil {
		return 1
	}
	return s.factor(step, perEpoch, epochs)
}

// Cosine lets the learning rate fall from the optimizer's to zero along half a cosine, step by step (Loshchilov and
// Hutter, "SGDR", 2016, without restarts).
func Cosine() Schedule {
	return Schedule{name: "cosine", factor: func(step, perEpoch, epochs int) float64 {
		return between(1, 0, float64(step)/float64(perEpoch*epochs))
	}}
}

// Linear lets the learning rate fall from the optimizer's to zero in a straight line, step by step.
func Linear() Schedule {
	return Schedule{name: "linear", factor: func(step, perEpoch, epochs int) float64 {
		return 1 - float64(step)/float64(perEpoch*epochs)
	}}
}

// Where OneCycle starts and ends, as shares of its peak: PyTorch's.
const (
	oneCycleStart = 1. / 25
	oneCycleEnd   = oneCycleStart / 1e4
)

// OneCycle lets the learning rate rise from a 25th of the optimizer's to the optimizer's over the warm-up, a share of
// all steps, and then fall to nearly zero, both along half a cosine: PyTorch's OneCycleLR (Smith and Topin,
// "Super-Convergence", 2017). A warm-up of 0.3 is usual.
func OneCycle(warmUp float64) Schedule {
	s := Schedule{name: "one cycle", warmUp: warmUp}
	if !(warmUp > 0 && warmUp < 1) {
		s.invalid = fmt.Errorf("the warm-up is %v of all steps: it must be above 0 and below 1", warmUp)
	}
	s.factor = func(step, perEpoch, epochs int) float64 {
		last := float64(perEpoch*epochs - 1)
		peak := warmUp*float64(perEpoch*epochs) - 1 // the step that has the optimizer's rate
		if now := float64(step); now < peak {       // a warm-up of one step has its peak at step 0
			return between(oneCycleStart, 1, now/peak)
		} else {
			return between(1, oneCycleEnd, (now-peak)/(last-peak))
		}
	}
	return s
}

// between goes from one number to another along half a cosine, as part goes from 0 to 1.
func between(from, to, part float64) float64 { return to + (from-to)*(1+math.Cos(math.Pi*part))/2 }
