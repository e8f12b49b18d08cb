// Package train trains networks, keeps their runs on disk, and answers with them.
//
// A run is named by what decides its result: the network, the data, the settings and the seed. Fit with a task that was
// done before returns the stored run at once; a run that was interrupted goes on where it stood.
package train

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"sync"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train/internal/store"
)

// Task is what there is to learn and how: a network, the data and the settings. It is a value, so a changed copy is
// another task:
//
//	longer := task
//	longer.Epochs = 10
type Task struct {
	Net  nn.Layer
	Data dataset.Images
	Config

	// Start is a finished run whose weights are the initial ones: every layer of Net whose variables are also in the
	// run's network, with the same names and dimensions, begins with the run's. The last layer that has variables is
	// new, since what it says is about other classes, unless StartLast is set. If Start is nil, all weights are drawn from
	// the seed.
	Start *Run

	// StartWeights are weights to begin with instead of a run's: those of a file, such as pytorch.Read returns, by the
	// names of the variables. Here, too, the last layer that has variables is new, unless StartLast is set; for what a
	// network with all of its weights gives, there are nn.Compute and package classify. Other values make another run.
	StartWeights map[string]array.Array

	// StartLast lets the last layer begin with these weights, too: for the same classes, with another learning rate, on
	// more pictures, or for more epochs.
	StartLast bool

	// Freeze names layers that keep the weights of Start's run: conv1, a block such as residual2 with all that is in
	// it, or patterns as path.Match takes them, such as conv* or batch-norm[1-4]. Of the layers that begin with the
	// run's weights "*" names all, so only the last one learns. A frozen batch norm keeps its running averages and uses
	// them in training, too; a dropout goes on dropping. Below the frozen layers no gradient is computed.
	Freeze []string

	// StartRate is the share of the learning rate that the other weights of Start's run have, such as 0.1: what is
	// known already changes less than what is new. It is 1 if not set.
	StartRate float64
}

// RunsEnv names the folder of runs. It is convbook/runs in the user's cache folder if not set.
const RunsEnv = store.Env

// A stored run of before does not count when one of these was raised.
const (
	format  = 3 // of what is kept: raised when this package keeps other files or describes runs differently
	version = 2 // of what is computed: raised when it trains differently, so the same task has another result
)

// description is a run's config.json: all that decides its result.
type description struct {
	Format   int                 `json:"format"`
	Version  int                 `json:"version"`
	Name     string              `json:"name"` // of the network
	Recipe   Recipe              `json:"recipe"`
	Data     dataset.Description `json:"data"`
	Contents []string            `json:"contents,omitempty"` // the splits' sums, of data that a name does not identify
	Start    string              `json:"start,omitempty"`    // the sum of the model whose weights are the initial ones
	Network  nn.Description      `json:"network"`
}

// plan is a task that can be done: its settings are complete, its network is summarised, its place on disk is known.
type plan struct {
	Task
	summary *nn.Summary
	place   *store.Run
	opening sync.Mutex // a run may be asked by several goroutines
	splits  *splits    // nil before open

	taken, frozen []nn.Variable // of the network: that begin with the values of Start's run, and that keep them
}

// splits are the parts of the data set. Validation is nil if it has none.
type splits struct{ train, validation, test *dataset.Split }

// plan checks and describes the task; nothing is written, and nothing is read but a data set of the user's own.
func (t Task) plan(ctx context.Context) (*plan, error) {
	t.Config = t.withDefaults()
	t.StartRate, t.Freeze = cmp.Or(t.StartRate, 1), slices.Clone(t.Freeze)
	if t.Net == nil {
		return nil, errors.New("the task has no network: set Net, such as zoo.CNN(6)")
	}
	if err := cmp.Or(t.check(), t.Data.Check(), t.checkKeep()); err != nil {
		return nil, err
	}
	summary, err := nn.Summarize(t.Net, t.Data.Height, t.Data.Width, t.Data.Channels)
	if err != nil {
		return nil, err
	}
	if t.Loss, err = t.Loss.described(len(t.Data.Classes)); err != nil {
		return nil, err
	}
	if t.Optimizer, err = t.Optimizer.described(summary); err != nil {
		return nil, err
	}
	p := &plan{Task: t, summary: summary}
	about := description{Format: format, Version: version, Name: summary.Network,
		Network: summary.Description(), Data: t.Data.Description(), Recipe: p.recipe()}
	if !t.Data.Published() {
		if err := p.open(ctx); err != nil {
			return nil, err
		}
		about.Contents = p.splits.sums()
	}
	if about.Start, err = p.planStart(); err != nil {
		return nil, err
	}
	p.place, err = store.New(p.label(), about)
	return p, err
}

// recipe is what of the task's settings decides the result.
func (p *plan) recipe() Recipe {
	r := p.Config.recipe()
	r.Freeze = slices.Compact(slices.Sorted(slices.Values(p.Freeze)))
	if p.StartRate != 1 {
		r.StartRate = p.StartRate
	}
	r.StartLast = p.StartLast
	return r
}

// label is what the names of the folders of the task's network and data set begin with.
func (p *plan) label() string { return p.summary.Network + "-" + p.Data.Name }

// open opens the data, once.
func (p *plan) open(ctx context.Context) error {
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.splits != nil {
		return nil
	}
	s, err := attend(ctx, func() (splits, error) { return openSplits(p.Data) })
	if err != nil {
		return err
	}
	p.splits = &s
	return nil
}

func openSplits(data dataset.Images) (s splits, err error) {
	if s.train, err = data.Train(); err != nil {
		return s, err
	}
	if data.HasValidation() {
		if s.validation, err = data.Validation(); err != nil {
			return s, err
		}
	}
	s.test, err = data.Test()
	return s, err
}

func (s splits) sums() []string {
	sums := []string{s.train.Sum(), s.test.Sum()}
	if s.validation != nil {
		sums = append(sums, s.validation.Sum())
	}
	return sums
}

// checkData makes sure that the settings and the network fit the data.
func (p *plan) checkData() error {
	if n := p.splits.train.Len(); p.Batch > n {
		return fmt.Errorf("batch is %d, more than the %d training images of %s: make it smaller",
			p.Batch, n, p.Data.Name)
	}
	if output := p.summary.Output; len(output) != 1 || output[0] != len(p.Data.Classes) {
		return fmt.Errorf("%s gives %v values for an image, but %s has %d classes: end the network with nn.Dense(%d)",
			p.summary.Network, output, p.Data.Name, len(p.Data.Classes), len(p.Data.Classes))
	}
	for _, guess := range p.summary.Guesses {
		if len(guess) != 1 || guess[0] != len(p.Data.Classes) {
			return fmt.Errorf("an auxiliary classifier of %s gives %v values for an image, but %s has %d classes: end it with nn.Dense(%d)",
				p.summary.Network, guess, p.Data.Name, len(p.Data.Classes), len(p.Data.Classes))
		}
	}
	return cmp.Or(p.Optimizer.checkDecays(), p.Loss.checkEnd(p.summary), p.checkNorms(p.splits.train.Len(), p.Batch, "training"))
}

// checkNorms finds a batch of one image in which a batch norm would have one value of each channel: one value has no
// variance, and what it is normalised to is 0 whatever it was. PyTorch refuses it, too.
func (p *plan) checkNorms(images, batch int, what string) error {
	if last := images % batch; last != 1 && batch > 1 {
		return nil
	}
	for _, layer := range p.summary.Layers {
		onePixel := layer.Kind == "batch-norm" && layer.Output[0]*layer.Output[1] == 1
		frozen := func(v nn.Variable) bool { return path.Dir(v.Name) == layer.Path }
		if onePixel && !slices.ContainsFunc(p.frozen, frozen) {
			return fmt.Errorf("of %d %s images in batches of %d, a batch is one image, and %s of %s needs more than one "+
				"value of each channel: take another batch size", images, what, batch, layer.Path, p.summary.Network)
		}
	}
	return nil
}

// batches is the number of batches in an epoch, the last one perhaps short.
func (p *plan) batches() int { return (p.splits.train.Len() + p.Batch - 1) / p.Batch }

// training is what is told of it from its beginning.
func (p *plan) training() (Training, error) {
	line, err := device.Line()
	if err != nil {
		return Training{}, err
	}
	t := Training{
		Network: p.summary.Network, Parameters: p.summary.Parameters(), MACs: p.summary.MACs(), Device: line,
		Epochs: p.Epochs, Batches: p.batches(), Batch: p.Batch,
		Images: p.splits.train.Len(), TestImages: p.splits.test.Len(),
	}
	if p.splits.validation != nil {
		t.ValidationImages = p.splits.validation.Len()
	}
	return t, p.Schedule.check(t.Batches * t.Epochs)
}

// stored is the task's finished run, and nil if it is not on disk, or if it would answer a program by names that the
// classes no longer have, or would take other pictures for what it was trained on.
func (p *plan) stored() (*Run, error) {
	r := &Run{Task: p.Task, plan: p}
	err := p.place.Load(map[string]any{store.History: &r.History, store.Result: &r.Result})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !p.Data.Published() && !sameInput(r.Result.Input, p.Data.Input()) {
		return nil, nil
	}
	epochs := r.History.Epochs
	if n := len(epochs); n > p.Epochs || !p.over(epochs) || len(r.History.Losses)%n != 0 {
		return nil, p.place.Damaged("%s has %d epochs and %d losses, not those of %d epochs",
			store.History, n, len(r.History.Losses), p.Epochs)
	}
	kept := epochs[p.kept(epochs)] // earlier versions did not write these two into a run's result
	r.Result.ValidationLoss, r.Result.ValidationAccuracy = kept.ValidationLoss, kept.ValidationAccuracy
	return r, nil
}

// sameInput compares the input that was stored with a run, if it has one, with what would be stored now.
func sameInput(was, now dataset.Input) bool {
	text, err := json.Marshal(now)
	var again dataset.Input
	return len(was.Classes) == 0 || err == nil && json.Unmarshal(text, &again) == nil && reflect.DeepEqual(was, again)
}

// Load returns the finished run of the task from disk, and an error if there is none.
func (t Task) Load() (*Run, error) {
	p, err := t.plan(context.Background())
	if err != nil {
		return nil, err
	}
	run, err := p.stored()
	if run == nil && err == nil && p.place.Trained() {
		run, err = p.installed()
	}
	if err != nil {
		return nil, err
	}
	if run == nil {
		return nil, p.missing()
	}
	return run, run.report()
}

// missing is the error of a task whose run is not there. Mostly a number was changed, so it says what differs from the
// run that is most like it, unless its own training has begun.
func (p *plan) missing() error {
	step, err := p.place.Kept()
	if err != nil {
		return err
	}
	if step > 0 {
		return fmt.Errorf("the training of %s on %s with these settings (%v) stands after step %d: finish it with Fit",
			p.summary.Network, p.Data.Name, p.recipe(), step)
	}
	nearest := ""
	if runs := p.others(p.namesakes()); len(runs) > 0 {
		least := slices.MinFunc(runs, func(a, b Stored) int { return p.distance(a) - p.distance(b) })
		nearest = fmt.Sprintf("; against %s: %s", least.trained(), difference(least.place, p.place))
	}
	return fmt.Errorf("%s was not trained on %s with these settings yet (%v): train it with Fit first%s",
		p.summary.Network, p.Data.Name, p.recipe(), nearest)
}

// distance is in how many settings a run differs.
func (p *plan) distance(s Stored) int { return len(differences(s.place, p.place)) }

// installed is the run that was trained to its end by a process that could not give it its name any more.
func (p *plan) installed() (*Run, error) {
	unlock, err := p.place.Lock(context.Background(), func() {})
	if err != nil {
		return nil, nil // whoever may not write here cannot have it
	}
	defer unlock()
	if p.place.Trained() { // it was not another process that was just about to do it
		if err := p.place.Install(); err != nil {
			return nil, err
		}
	}
	return p.stored()
}

// sayStored says what is stored of the network and the data already. Where somebody keeps what is printed, it says
// nothing: the runs before are those that happen to be on this machine, and an executed notebook must not change with
// them.
func (p *plan) sayStored() {
	if os.Getenv(resultsEnv) != "" {
		return
	}
	all := p.namesakes()
	p.sayOlder(all)
	if runs := p.others(all); len(runs) > 0 { // the latest first
		against := fmt.Sprintf("against %s: %s", runs[0].trained(), difference(runs[0].place, p.place))
		p.Progress.Tell(Noted{Text: against, Against: &runs[0]})
	}
}

var saidOlder sync.Once

// sayOlder says, once in a process, that some of the runs were stored by another version of the book.
func (p *plan) sayOlder(all []Stored) {
	var older []string
	for _, s := range all {
		if s.State == Older && filepath.Ext(s.ID) == "" { // finished, and not replaced
			older = append(older, s.ID)
		}
	}
	if len(older) == 0 {
		return
	}
	saidOlder.Do(func() {
		p.Progress.Tell(Noted{Text: fmt.Sprintf("stored runs of this network and data that another version of the book "+
			"trained: %d. They are left alone and not used (the first is %s; make runs lists them)", len(older), slices.Min(older))})
	})
}
