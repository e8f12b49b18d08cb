// Package touch makes controls in a notebook, which answer while the reader moves them.
//
//	k := touch.Int("k", 4, 1, 32)
//	cell.OK(touch.Sliders(func() figure.Figure { return figure.Grid(…k.Int()…) }, k))
//
// A cell is a program that ends, so such a cell runs until the reader presses its button or stops it, and leaves the
// picture as it is then. Where there is no reader, in a terminal or in a notebook that is executed without a browser,
// it shows the picture for the initial values, once.
package touch

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"

	"example.org/convbook/lib/figure"
)

//go:embed sliders.js
var slidersScript string

// Slider is a number that the reader sets.
type Slider struct {
	name            string
	value           float64
	low, high, step float64
}

// Int is a slider for whole numbers from low to high, which begins at value.
func Int(name string, value, low, high int) *Slider {
	return &Slider{name, float64(value), float64(low), float64(high), 1}
}

// Float is a slider from low to high, in steps, which begins at value.
func Float(name string, value, low, high, step float64) *Slider {
	return &Slider{name, value, low, high, step}
}

// Value is what the slider is set to.
func (s *Slider) Value() float64 { return s.value }

// Int is what the slider is set to, as a whole number.
func (s *Slider) Int() int { return int(math.Round(s.value)) }

// set sets the slider to a value of its range, the nearest one.
func (s *Slider) set(value float64) { s.value = min(max(value, s.low), s.high) }

func (s *Slider) check() error {
	if s == nil {
		return errors.New("a slider is nil: make it with touch.Float or touch.Int")
	}
	if !(s.low < s.high && s.step > 0 && s.value >= s.low && s.value <= s.high) {
		return fmt.Errorf("a slider %q from %v to %v in steps of %v cannot begin at %v",
			s.name, s.low, s.high, s.step, s.value)
	}
	return nil
}

// html is the slider as a part of a page. Arrow keys move it: JupyterLab would fold headings.
func (s *Slider) html() string {
	return fmt.Sprintf(`<label>%s <input type="range" min="%s" max="%s" step="%s" value="%s" autocomplete="off" `+
		`data-lm-suppress-shortcuts>`+
		`<output>%[5]s</output></label>`,
		html.EscapeString(s.name), number(s.low), number(s.high), number(s.step), number(s.value))
}

// Sliders shows what draw draws, which reads the sliders, again whenever one is moved. It returns when the reader is
// done, and the sliders keep what they were set to.
func Sliders(draw func() figure.Figure, sliders ...*Slider) error {
	if draw == nil {
		return errors.New("the sliders have no function that draws: give one that returns a figure")
	}
	var controls []string
	for _, s := range sliders {
		if err := s.check(); err != nil {
			return err
		}
		controls = append(controls, s.html())
	}
	var drawn figure.Figure
	p := page{
		controls: `<div class="convbook-sliders">` + strings.Join(controls, "\n") + "</div>", script: slidersScript,
		set: func(state []byte) error {
			var values []float64
			if err := json.Unmarshal(state, &values); err != nil || len(values) != len(sliders) {
				return fmt.Errorf("the page sent %.100q for %d sliders", state, len(sliders))
			}
			for i, s := range sliders {
				s.set(values[i])
			}
			drawn = draw()
			return nil
		},
		answer: func() (string, error) { return embedded(drawn) },
		end: func() (string, figure.Figure) {
			var settings []string
			for _, s := range sliders {
				settings = append(settings, s.name+" "+number(s.value))
			}
			return strings.Join(settings, " · "), drawn
		},
	}
	drawn = draw()
	return p.serve()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
