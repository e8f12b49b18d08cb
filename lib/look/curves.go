package look

import (
	"fmt"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/train"
)

// Measure is what a curve shows.
type Measure int

// The measures. All but StepLoss are taken after each epoch.
const (
	TestAccuracy Measure = iota
	TestLoss
	TrainLoss // mean over an epoch's steps
	ValidationAccuracy
	ValidationLoss
	StepLoss // of each step's batch, as a mean of some steps up to it
)

// of is the measure after an epoch.
func (m Measure) of(e train.EpochHistory) float64 {
	switch m {
	case TestAccuracy:
		return e.TestAccuracy
	case TestLoss:
		return e.TestLoss
	case TrainLoss:
		return e.TrainLoss
	case ValidationAccuracy:
		return e.ValidationAccuracy
	}
	return e.ValidationLoss
}

// measures says how each measure is called, in titles and at the axis.
var measures = map[Measure]struct{ title, axis string }{
	TestAccuracy:       {"Test accuracy", "test accuracy, %"},
	TestLoss:           {"Test loss", "test loss"},
	TrainLoss:          {"Training loss", "loss, mean of an epoch"},
	ValidationAccuracy: {"Validation accuracy", "validation accuracy, %"},
	ValidationLoss:     {"Validation loss", "validation loss"},
	StepLoss:           {"Training loss", "loss of each step"},
}

// By is what a measure is drawn against.
type By int

// What there is to draw against.
const (
	ByEpoch  By = iota
	ByMinute    // of training, without compiling and testing
	ByStep
)

var axes = map[By]struct{ title, axis string }{
	ByEpoch: {" by epoch", "epoch"}, ByMinute: {" by time", "minutes of training"}, ByStep: {" by step", "step"},
}

// Curves draws how some runs went, a curve for each.
func Curves(what Measure, by By, runs ...*train.Run) figure.Figure {
	var all []curve
	for _, run := range runs {
		if run == nil {
			return figure.Failed(errNoRun)
		}
		all = append(all, curve{name(run), run.History, run.Task.Data.HasValidation()})
	}
	return curves(what, by, all)
}

// curve is how a run went, and what it is called.
type curve struct {
	name string
	train.History
	validated bool // whether it has a validation split
}

func curves(what Measure, by By, runs []curve) figure.Figure {
	measure, known := measures[what]
	axis, knownToo := axes[by]
	if !known || !knownToo {
		return fail("measure %d by %d cannot be drawn: use such as look.TestLoss and look.ByEpoch", what, by)
	}
	if len(runs) == 0 {
		return fail("there is no run to draw a curve of")
	}
	chart := figure.Chart{Title: measure.title + axis.title, X: axis.axis, Y: measure.axis, Width: 440}
	window := smoothing(runs)
	if what == StepLoss && window > 1 {
		chart.Y = fmt.Sprintf("loss, mean of %d steps", window)
	}
	var all []figure.Series
	for _, run := range runs {
		if (what == ValidationAccuracy || what == ValidationLoss) && !run.validated {
			return fail("%s was trained without a validation split: give its data one with Validate", run.name)
		}
		s := figure.Series{Name: run.name}
		if what == StepLoss {
			for step, loss := range run.Losses {
				s.Add(place(run.History, step, by), float64(loss))
			}
			s = s.Smooth(window)
		} else {
			for i, epoch := range run.Epochs {
				s.Add(place(run.History, (i+1)*len(run.Losses)/len(run.Epochs), by), what.of(epoch))
			}
		}
		all = append(all, s)
	}
	return figure.Lines(chart, all...)
}

// smoothing is over how many steps a loss is averaged: 50, or a tenth of the shortest run.
func smoothing(runs []curve) int {
	window := 50
	for _, run := range runs {
		window = min(window, max(1, len(run.Losses)/10))
	}
	return window
}

// place is where a number of steps is on the axis. Steps of one epoch take the same time.
func place(h train.History, step int, by By) float64 {
	if by == ByStep {
		return float64(step)
	}
	epochs := float64(step) * float64(len(h.Epochs)) / float64(len(h.Losses))
	if by == ByEpoch {
		return epochs
	}
	whole := min(int(epochs), len(h.Epochs)-1) // epochs before the one that the step is in
	before := 0.0
	if whole > 0 {
		before = h.Epochs[whole-1].TrainSeconds
	}
	return (before + (epochs-float64(whole))*(h.Epochs[whole].TrainSeconds-before)) / 60
}
