package train

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Schedule changes the learning rate while a network is trained. Without one the rate stays the optimizer's.
type Schedule struct {
	name    string  // as in a Recipe
	warmUp  float64 // see OneCycle
	sum     string  // of a ScheduleFunc's values
	invalid error
	share   func(step, steps int) float64 // see Share
}

// Share is the share of the optimizer's learning rate that a step has, counted from 0 over all epochs, in a training of
// that many steps. It is NaN for a schedule that cannot work; Fit says why.
func (s Schedule) Share(step, steps int) float64 {
	switch {
	case s.invalid != nil:
		return math.NaN()
	case s.share == nil:
		return 1
	}
	return s.share(step, steps)
}

// Cosine lets the learning rate fall from the optimizer's to zero along half a cosine, step by step (Loshchilov and
// Hutter, "SGDR", 2016, without restarts).
func Cosine() Schedule {
	return Schedule{name: "cosine", share: func(step, steps int) float64 {
		return between(1, 0, float64(step)/float64(steps))
	}}
}

// Linear lets the learning rate fall from the optimizer's to zero in a straight line, step by step.
func Linear() Schedule {
	return Schedule{name: "linear", share: func(step, steps int) float64 {
		return 1 - float64(step)/float64(steps)
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
	s.share = func(step, steps int) float64 {
		last := float64(steps - 1)
		peak := warmUp*float64(steps) - 1     // the step that has the optimizer's rate
		if now := float64(step); now < peak { // a warm-up of one step has its peak at step 0
			return between(oneCycleStart, 1, now/peak)
		} else {
			return between(1, oneCycleEnd, (now-peak)/(last-peak))
		}
	}
	return s
}

// ScheduleFunc is a schedule of one's own: share tells which share of the optimizer's learning rate a step has, by the
// part of all steps that were done before it, from 0 to just below 1. Cosine, for one, is
//
//	func(done float64) float64 { return (1 + math.Cos(math.Pi*done)) / 2 }
//
// A run is known by the name and by the function's values at 126,000 parts, evenly spaced, and at all halves, thirds and so
// on to 400ths, where the epochs of a training begin: with another function the network is trained anew.
func ScheduleFunc(name string, share func(done float64) float64) Schedule {
	s := Schedule{name: name}
	if name == "" || share == nil {
		s.invalid = errors.New(`a schedule of your own has a name and a function: train.ScheduleFunc("by halves", halve)`)
		return s
	}
	sum := sha256.New()
	add := func(parts int) {
		for i := range parts {
			done := float64(i) / float64(parts)
			value := share(done)
			if s.invalid = checkShare(name, value, done); s.invalid != nil {
				return
			}
			sum.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(value)))
		}
	}
	add(scheduleParts)
	for parts := 1; parts <= scheduleEpochs && s.invalid == nil; parts++ {
		add(parts)
	}
	if s.invalid != nil {
		return s
	}
	s.sum = fmt.Sprintf("%x", sum.Sum(nil))
	s.share = func(step, steps int) float64 { return share(float64(step) / float64(steps)) }
	return s
}

func checkShare(name string, value, done float64) error {
	if value >= 0 && !infinite(value) {
		return nil
	}
	return fmt.Errorf("the schedule %q gives %v of the learning rate when %.3g of the training is done: "+
		"it must be at least 0 and finite", name, value, done)
}

// check finds a step of a training for which a schedule of one's own gives no rate.
func (s Schedule) check(steps int) error {
	if s.sum == "" {
		return nil
	}
	for step := range steps {
		if err := checkShare(s.name, s.Share(step, steps), float64(step)/float64(steps)); err != nil {
			return err
		}
	}
	return nil
}

const (
	// scheduleParts are so many that the thousandths, at which functions jump, are among them.
	scheduleParts = 126_000
	// scheduleEpochs are as many as a training may have for a function that jumps between two of them.
	scheduleEpochs = 400
)

// between goes from one number to another along half a cosine, as part goes from 0 to 1.
func between(from, to, part float64) float64 { return to + (from-to)*(1+math.Cos(math.Pi*part))/2 }
