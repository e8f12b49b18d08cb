package train

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// The lines are those of the notes, byte for byte.
func TestLines(t *testing.T) {
	about := Training{Network: "CNN", Parameters: 6422, Device: "xla:cpu", Epochs: 1, Batches: 938, Batch: 64, Images: 60000, TestImages: 10000}
	two := about
	two.Epochs, two.ValidationImages = 2, 5000
	stored := about
	stored.Stored = &Result{TrainSeconds: 1.26, StartedAt: time.Date(2026, 1, 2, 3, 4, 0, 0, time.Local)}
	losses := slices.Repeat([]float32{9}, 150)
	losses[0], losses[50] = 2.3054321, 0.5
	h := EpochHistory{ValidationLoss: 0.30004, ValidationAccuracy: 91.2, TestLoss: 0.3456789, TestAccuracy: 90.13}
	for want, e := range map[string]Event{
		"CNN, 6422 parameters, on xla:cpu\n": Started{about},
		"CNN, 6422 parameters, trained on 2026-01-02 03:04 in 1.3 s on xla:cpu (stored; Fresh: true trains again)\n": Started{stored},
		"going on after step 938 of 1876\n":                                                  Resumed{Training: two, Step: 938},
		"Train: [0/60000 (0%)]\tLoss: 2.305432\nTrain: [6400/60000 (11%)]\tLoss: 9.000000\n": Stepped{about, 1, 0, losses, 1},
		"Epoch 2/2  Train: [12800/60000 (21%)]\tLoss: 0.500000\n":                            Stepped{two, 2, 150, losses[:60], 1},
		"":            Stepped{about, 1, 1, losses[:99], 1},
		"look here\n": Noted{Text: "look here"},
		"\nTest set: Average loss: 0.3457, Accuracy: 9013/10000 (90%)\n\n": Tested{about, 1, h},
		"\nValidation set: Average loss: 0.3000, Accuracy: 4560/5000 (91%)\n" +
			"Test set: Average loss: 0.3457, Accuracy: 9013/10000 (90%)\n\n": Tested{two, 1, h},
	} {
		var out bytes.Buffer
		LinesTo(&out, 100).Tell(e)
		if out.String() != want {
			t.Errorf("%T: printed\n%q, want\n%q", e, &out, want)
		}
	}
}

func TestDots(t *testing.T) {
	var out bytes.Buffer
	d := dots{&out, 100}
	for _, e := range []Event{Started{}, Stepped{Batch: 0, Losses: make([]float32, 1)}, Stepped{Batch: 1, Losses: make([]float32, 200)},
		Stepped{Batch: 201, Losses: make([]float32, 99)}, Tested{}, Noted{Text: "x"}, Ended{}} {
		d.Tell(e)
	}
	if out.String() != "..." {
		t.Errorf("printed %q, want a dot for the steps 0, 100 and 200", &out)
	}
}

// record keeps what it is told.
type record struct{ events []Event }

func (r *record) Tell(e Event) { r.events = append(r.events, e) }

// kinds are the events' kinds, without those that follow their like.
func (r *record) kinds() (kinds []string) {
	for _, e := range r.events {
		kinds = append(kinds, fmt.Sprintf("%T", e)[len("train."):])
	}
	return slices.Compact(kinds)
}

func (r *record) losses() (losses []float32) {
	for _, e := range r.events {
		if e, ok := e.(Stepped); ok {
			losses = append(losses, e.Losses...)
		}
	}
	return losses
}

// A training, one that goes on and one that is stored are told from beginning to end, with every loss.
func TestWhatIsTold(t *testing.T) {
	isolate(t)
	var whole, again, begun, resumed record
	task := quick()
	task.Progress = &whole
	run := mustFit(t, task)
	task.Progress = &again
	mustFit(t, task)
	isolate(t)
	task.Progress = &begun
	checkError(t, interruptAt(t, 11, task), "interrupted")
	task.Progress = &resumed
	mustFit(t, task)
	all := []string{"Started", "Stepped", "Tested", "Stepped", "Tested", "Ended"}
	for what, c := range map[string]struct {
		told  record
		kinds []string
		from  int // step
	}{
		"a training":          {whole, all, 0},
		"a stored run":        {again, all, 0},
		"an interrupted one":  {begun, []string{"Started", "Stepped", "Tested", "Stepped", "Ended"}, 0},
		"one that is resumed": {resumed, []string{"Started", "Resumed", "Stepped", "Tested", "Ended"}, 11},
	} {
		if got := c.told.kinds(); !slices.Equal(got, c.kinds) {
			t.Errorf("%s: told %v, want %v", what, got, c.kinds)
			continue
		}
		losses := c.told.losses()
		if !slices.Equal(losses, run.History.Losses[c.from:][:len(losses)]) {
			t.Errorf("%s: told the losses %v, want those of %v from step %d on", what, losses, run.History.Losses, c.from)
		}
		about := c.told.events[0].(Started).Training
		if (about.Stored != nil) != (what == "a stored run") {
			t.Errorf("%s: stored: %v", what, about.Stored)
		}
		about.Stored = nil
		want := Training{Network: "Linear", Parameters: 7850, MACs: 7840, Device: run.Result.Device, Epochs: 2, Batches: 8, Batch: 64, Images: 512, TestImages: 256}
		if about != want {
			t.Errorf("%s: told %+v, want %+v", what, about, want)
		}
		end := c.told.events[len(c.told.events)-1].(Ended).Err
		if interrupted := what == "an interrupted one"; errors.Is(end, ErrInterrupted) != interrupted || (end != nil) != interrupted {
			t.Errorf("%s: ended with %v", what, end)
		}
	}
	if at := resumed.events[1].(Resumed); at.Step != 11 || len(at.History.Losses) != 11 || len(at.History.Epochs) != 1 {
		t.Errorf("resumed at %+v", at)
	}
	tested := whole.events[len(whole.events)-2].(Tested)
	if tested.Epoch != 2 || tested.EpochHistory != run.History.Epochs[1] {
		t.Errorf("told the test %+v, want %+v", tested, run.History.Epochs[1])
	}
}

// What was told before a loss that is not a number are the losses until then.
func TestLossesBeforeOneThatIsNotANumber(t *testing.T) {
	isolate(t)
	var told record
	task := quick()
	task.Optimizer, task.Progress, task.perCall = SGD(1e37, 0.5), &told, 0
	_, err := task.FitContext(t.Context())
	checkError(t, err, fmt.Sprintf("in epoch 1 at batch %d", len(told.losses())))
	if len(told.losses()) == 0 {
		t.Error("the first loss was not told")
	}
}
