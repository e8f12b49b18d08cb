package train

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Progress is told how a training goes: what happens, in its order, from one goroutine, which goes on when Tell
// returns. A training that is stored already is told as if it happened again, quickly.
//
// It is told of steps once for every call of the device, of up to half a second, and not of each step by itself. So
// watching costs nothing that could be measured, and nothing is computed in smaller portions for it.
type Progress interface {
	Tell(Event)
}

// Event is what a Progress is told: Started, Resumed, Stepped, Tested, Ended or Noted. There may be others one day, so
// an event that is not known is best left alone.
type Event interface{ event() }

// Training is what is known of a training from its beginning. Its events have it.
type Training struct {
	Network          string
	Parameters, MACs int    // see nn.Summary
	Device           string // that computes
	Epochs           int
	Batches          int // in an epoch, the last one perhaps short
	Batch            int // images in a batch
	Images           int // to train with
	ValidationImages int // 0 without a validation split
	TestImages       int
	Stored           *Result // the run's if it was trained before, else nil
}

// Started is the first event of a training.
type Started struct{ Training }

// Resumed says that a training goes on where it was interrupted, after so many steps since its beginning.
type Resumed struct {
	Training
	Step    int
	History History // until then
}

// Stepped says what the steps since the last event gave.
type Stepped struct {
	Training
	Epoch   int       // in which they were, from 1
	Batch   int       // of the first of them, from 0 in each epoch
	Losses  []float32 // of each step's batch, before the step; not to be changed
	Seconds float64   // since the start, without compiling and testing
}

// Tested says what a test after an epoch gave.
type Tested struct {
	Training
	Epoch int // from 1
	EpochHistory
}

// Ended is the last event of a training. The error is nil at its end and ErrInterrupted after an interrupt.
type Ended struct {
	Training
	Err error

	// After an error these are 0.

	Done         int // epochs that were done: fewer than all if Patience ended the training
	Epoch        int // whose weights the run has, from 1: the last one that was done, or the best with Keep: BestEpoch
	EpochHistory     // where the run stood then
}

// Noted is what a reader should know, in a line.
type Noted struct {
	Text    string
	Against *Stored // the run that it compares the training with which follows, or nil
}

func (Started) event() {}
func (Resumed) event() {}
func (Stepped) event() {}
func (Tested) event()  {}
func (Ended) event()   {}
func (Noted) event()   {}

// Lines prints lines as the notes have them: the loss of every so many steps and of each test.
func Lines(every int) Progress { return LinesTo(os.Stdout, every) }

// LinesTo is Lines for another place than the standard output.
func LinesTo(w io.Writer, every int) Progress { return lines{w, every} }

type lines struct {
	out   io.Writer
	every int
}

func (l lines) check() error {
	if l.out == nil {
		return errors.New("progress to no writer: give LinesTo one, such as os.Stdout")
	}
	return checkEvery(l.every)
}

func checkEvery(every int) error {
	if every < 1 {
		return fmt.Errorf("progress every %d steps: it must be at least 1", every)
	}
	return nil
}

func (l lines) Tell(e Event) {
	switch e := e.(type) {
	case Started:
		l.start(e)
	case Resumed:
		fmt.Fprintf(l.out, "going on after step %d of %d\n", e.Step, e.Epochs*e.Batches)
	case Stepped:
		for i, loss := range e.Losses {
			if batch := e.Batch + i; batch%l.every == 0 {
				l.step(e, batch, loss)
			}
		}
	case Tested:
		fmt.Fprintln(l.out)
		if e.ValidationImages > 0 {
			l.test("Validation", e.ValidationLoss, e.ValidationAccuracy, e.ValidationImages)
		}
		l.test("Test", e.TestLoss, e.TestAccuracy, e.TestImages)
		fmt.Fprintln(l.out)
	case Ended:
		if note := e.Note(); note != "" {
			fmt.Fprintln(l.out, note)
		}
	case Noted:
		fmt.Fprintln(l.out, e.Text)
	}
}

func (l lines) start(e Started) {
	if e.Stored == nil {
		fmt.Fprintf(l.out, "%s, %d parameters, on %s\n", e.Network, e.Parameters, e.Device)
		return
	}
	fmt.Fprintf(l.out, "%s, %d parameters, trained on %s in %.1f s on %s (stored; Fresh: true trains again)\n",
		e.Network, e.Parameters, e.Stored.StartedAt.Local().Format(TimeLayout), e.Stored.TrainSeconds, e.Device)
}

func (l lines) step(e Stepped, batch int, loss float32) {
	if e.Epochs > 1 {
		fmt.Fprintf(l.out, "Epoch %d/%d  ", e.Epoch, e.Epochs)
	}
	fmt.Fprintf(l.out, "Train: [%d/%d (%.0f%%)]\tLoss: %.6f\n",
		batch*e.Training.Batch, e.Images, 100*float64(batch)/float64(e.Batches), loss)
}

func (l lines) test(set string, loss, accuracy float64, images int) {
	fmt.Fprintf(l.out, "%s set: Average loss: %.4f, Accuracy: %.0f/%d (%.0f%%)\n",
		set, loss, accuracy*float64(images)/100, images, accuracy)
}

// Dots prints a dot every so many steps, and nothing else: for several trainings in one cell.
func Dots(every int) Progress { return dots{os.Stdout, every} }

type dots struct {
	out   io.Writer
	every int
}

func (d dots) check() error { return checkEvery(d.every) }

func (d dots) Tell(e Event) {
	if e, ok := e.(Stepped); ok {
		for i := range e.Losses {
			if (e.Batch+i)%d.every == 0 {
				fmt.Fprint(d.out, ".")
			}
		}
	}
}

// Quiet shows nothing.
var Quiet Progress = quiet{}

type quiet struct{}

func (quiet) Tell(Event) {}
