package main

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// outcome is what becomes of a claim.
type outcome string

const (
	holds       outcome = "holds"
	fails       outcome = "does not hold"
	notMeasured outcome = "not measured"
)

// sampled is what some seeds gave, or one figure that is fixed.
type sampled struct {
	name  string
	unit  string
	all   []float64
	fixed bool
}

func mean(all []float64) float64 { return stat.Mean(all, nil) }

// spread is the standard deviation over the seeds, with n − 1.
func spread(all []float64) float64 {
	if len(all) < 2 {
		return 0
	}
	return stat.StdDev(all, nil)
}

// digits are those behind the point that a unit is shown with.
func digits(unit string) int {
	if unit == "%" {
		return 2
	}
	return 3
}

// String is mean ± spread (n).
func (s sampled) String() string {
	if len(s.all) == 0 {
		return none
	}
	text := fmt.Sprintf("%.*f", digits(s.unit), mean(s.all))
	if len(s.all) > 1 {
		text += fmt.Sprintf(" ± %.*f", digits(s.unit), spread(s.all))
	}
	if s.unit != "" {
		text += " " + s.unit
	}
	if s.fixed {
		return text
	}
	return fmt.Sprintf("%s (%d)", text, len(s.all))
}

// interval is Welch's 95 % interval for the difference of the means, a − b: difference ± half. Where b is one fixed number
// it is Student's.
func interval(a, b []float64) (difference, half float64) {
	difference = mean(a) - mean(b)
	var variance, parts float64 // of the difference; of its degrees of freedom
	for _, all := range [][]float64{a, b} {
		if n := float64(len(all)); n > 1 {
			v := spread(all) * spread(all) / n
			variance += v
			parts += v * v / (n - 1)
		}
	}
	if variance == 0 {
		return difference, 0
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: variance * variance / parts}.Quantile(0.975)
	return difference, t * math.Sqrt(variance)
}

// rule decides by the interval of a difference.
type rule struct {
	by     float64
	within bool
	mean   bool // not by the interval but by the means alone
}

// above: the whole interval is above by.
func above(by float64) rule { return rule{by: by} }

// within: the whole interval is between −by and by.
func within(by float64) rule { return rule{by: by, within: true} }

// reaching: the mean is not below the other, which is a goal that was set for the mean.
func reaching() rule { return rule{mean: true} }

func (r rule) decide(difference, half float64) outcome {
	held := difference-half > r.by
	switch {
	case r.mean:
		held = difference >= 0
	case r.within:
		held = math.Abs(difference)+half < r.by
	}
	if held {
		return holds
	}
	return fails
}

func (r rule) String() string {
	switch {
	case r.mean:
		return "the mean reaches it"
	case r.within:
		return fmt.Sprintf("alike within %v", r.by)
	case r.by == 0:
		return "above"
	}
	return fmt.Sprintf("above by more than %v", r.by)
}

// side is a comparison as one of the two computed it, or, of claims that compare the two, that of both.
type side struct {
	who              string
	a, b             sampled
	difference, half float64
	outcome          outcome
}

func (s side) String() string {
	text := fmt.Sprintf("%s %s, %s %s", s.a.name, s.a, s.b.name, s.b)
	if s.outcome != notMeasured {
		text += fmt.Sprintf(", difference %s", s.differenceText())
	}
	return text + ": " + string(s.outcome)
}

func (s side) differenceText() string {
	return fmt.Sprintf("%+.*f ± %.*f", digits(s.a.unit), s.difference, digits(s.a.unit), s.half)
}

// verdict is a claim's.
type verdict struct {
	outcome outcome
	sides   []side
}

// compare judges one side.
func compare(who string, a, b sampled, whole bool, r rule) side {
	s := side{who: who, a: a, b: b, outcome: notMeasured}
	if whole {
		s.difference, s.half = interval(a.all, b.all)
		s.outcome = r.decide(s.difference, s.half)
	}
	return s
}

// together is a claim's outcome: it holds if all of its sides do.
func together(sides []side) verdict {
	v := verdict{holds, sides}
	for _, s := range sides {
		if s.outcome == fails || s.outcome == notMeasured && v.outcome == holds {
			v.outcome = s.outcome
		}
	}
	return v
}
