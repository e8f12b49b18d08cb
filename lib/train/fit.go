package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"example.org/convbook/lib/internal/signals"
)

// ErrInterrupted is the error of a training that was interrupted. What it learned is kept.
var ErrInterrupted = errors.New("interrupted")

// Fit trains the network on the data set's training images and tests it on its test images after every epoch, and on
// its validation images if it has any: by these, Keep can choose the epoch whose weights are kept. The task's run that is
// on disk is returned at once, its progress shown again; one that was interrupted goes on where its last checkpoint
// stands, with the same result as if it had not been.
//
// An interrupt (the stop button, Ctrl-C, a closed terminal) is heard within a second, whatever is being computed. It
// keeps what was learned and returns ErrInterrupted. A loss that becomes infinite or NaN ends the training with
// [Diverged]. Nothing that was stored before is lost either way.
func (t Task) Fit() (*Run, error) {
	ctx, stop := signal.NotifyContext(context.Background(), Signals()...)
	defer stop()
	return t.FitContext(ctx)
}

// Signals are those that interrupt Fit, for a program that does so itself with FitContext. A closed terminal is not among
// them where it is ignored, as under nohup.
func Signals() []os.Signal { return signals.ToStop() }

// FitContext is Fit with a context that interrupts it. It leaves the process's signals alone.
func (t Task) FitContext(ctx context.Context) (*Run, error) {
	p, err := t.plan(ctx)
	if err != nil {
		return nil, err
	}
	progress := p.Progress
	p.Progress = p.noted()
	run, err := p.fit(ctx)
	if err != nil {
		return nil, err
	}
	run.Task.Progress = progress // the task of another training, perhaps, which notes its own epochs
	return run, run.report()
}

func (p *plan) fit(ctx context.Context) (*Run, error) {
	if !p.Fresh {
		if run, err := p.stored(); run != nil || err != nil {
			return run.shown(), err
		}
	}
	unlock, err := p.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	fresh := p.Fresh
	if p.place.Trained() {
		if err := p.place.Install(); err != nil {
			return nil, err
		}
		fresh = false
	}
	if !fresh {
		if run, err := p.stored(); run != nil || err != nil { // another process may have trained it meanwhile
			return run.shown(), err
		}
	}
	p.sayStored()
	return p.train(ctx)
}

// lock makes sure that one process at a time trains the run.
func (p *plan) lock(ctx context.Context) (unlock func() error, err error) {
	waited := ""
	unlock, err = p.place.Lock(ctx, func() {
		p.Progress.Tell(Noted{Text: "another process is training this run: waiting for it"})
		waited = " while another process trains this run"
	})
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w%s", ErrInterrupted, waited)
	}
	return unlock, err
}

// train trains the run from where its last checkpoint stands, tells how it goes, and gives the run its name.
func (p *plan) train(ctx context.Context) (*Run, error) {
	e, err := p.untrained(ctx)
	if err != nil {
		return nil, err
	}
	about, err := p.training()
	if err != nil {
		return nil, err
	}
	t := newTraining(e, about)
	if note := p.startNote(); note != "" {
		p.Progress.Tell(Noted{Text: note})
	}
	p.Progress.Tell(Started{about})
	run, err := t.run(ctx)
	if err == nil {
		err = p.place.Install()
	}
	if err != nil {
		p.Progress.Tell(Ended{Training: about, Err: err})
		return nil, err
	}
	p.Progress.Tell(run.ended(about))
	return run, nil
}

// shown is the stored run after its progress was shown as it was when it was trained. It does nothing without a run.
func (r *Run) shown() *Run {
	if r == nil {
		return nil
	}
	tell := r.plan.Progress.Tell
	about := r.training()
	tell(Started{about})
	for epoch, h := range r.History.Epochs {
		losses := r.History.Losses[epoch*about.Batches:][:about.Batches]
		tell(Stepped{about, epoch + 1, 0, losses, h.TrainSeconds})
		tell(Tested{about, epoch + 1, h})
	}
	tell(r.ended(about))
	return r
}
