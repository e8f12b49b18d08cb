package train

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train/internal/store"
)

// training is a run while it is trained.
type training struct {
	engine             *engine
	about              Training
	trainer            *trainer
	tester, validation *tester // nil before needTesters, validation also without such a split
	at                 position
	saved              time.Time // when the last checkpoint was written
	kept               int       // the step that it stands at, or 0
	best               *outcome  // what the run has if it ends here, with Keep: BestEpoch
}

func newTraining(e *engine, about Training) *training {
	return &training{engine: e, about: about, saved: time.Now()}
}

// position is where a training stands, beside its variables. The order of the images follows from the seed and the
// epoch, so this is all that an exact resumption needs.
type position struct {
	Step           int     `json:"step"` // steps done since the start
	TrainSeconds   float64 `json:"train_seconds"`
	CompileSeconds float64 `json:"compile_seconds"`
	Started        int64   `json:"started"` // Unix time
	History        History `json:"history"`
}

// lossesSoFar is the name of the losses beside a checkpoint's variables.
const lossesSoFar = "losses so far"

// possible reports whether a training with this number of batches an epoch can stand there: at the loss after each
// step, and at the test after each epoch, but for the last one perhaps.
func (at position) possible(batches, epochs int) bool {
	done, tested := at.Step/batches, len(at.History.Epochs)
	return at.Step > 0 && at.Step <= epochs*batches && len(at.History.Losses) == at.Step && tested < epochs &&
		(tested == done || tested == done-1 && at.Step%batches == 0)
}

// run trains from where the last checkpoint stands to the end.
func (t *training) run(ctx context.Context) (*Run, error) {
	if err := t.resume(); err != nil {
		return nil, err
	}
	if err := t.compile(ctx); err != nil {
		return nil, err
	}
	return t.end(t.epochs(ctx))
}

// end makes a run of a training that is done, or keeps what was learned until an interrupt.
func (t *training) end(kept *outcome, err error) (*Run, error) {
	switch {
	case err == nil:
		return t.finish(kept)
	case !errors.Is(err, ErrInterrupted):
		return nil, err
	case t.at.Step == 0:
		return nil, fmt.Errorf("%w before the first step", err)
	}
	if t.at.Step > t.kept {
		if err := t.checkpoint(); err != nil {
			return nil, err
		}
	}
	epoch := len(t.at.History.Epochs)
	return nil, fmt.Errorf("%w after batch %d of %d in epoch %d: run it again to go on from there",
		err, t.at.Step-epoch*t.about.Batches, t.about.Batches, epoch+1)
}

// resume takes the folder of the training and goes to its newest checkpoint, if there is one.
func (t *training) resume() error {
	place, tell := t.engine.place, t.engine.Progress.Tell
	if err := place.Begin(); err != nil {
		return err
	}
	restore := func(variables map[string]safetensors.Tensor, text []byte) error {
		var at position
		err := json.Unmarshal(text, &at)
		if losses, ok := variables[lossesSoFar]; ok { // earlier versions had them in the text
			var wrong error
			at.History.Losses, wrong = losses.Float32s()
			err = cmp.Or(err, wrong)
			delete(variables, lossesSoFar)
		}
		if err != nil || !at.possible(t.about.Batches, t.about.Epochs) || t.engine.over(at.History.Epochs) {
			return fmt.Errorf("it cannot be from where it says, after step %d", at.Step)
		}
		best := takeOutcome(variables)
		if err := t.checkOutcome(best, at.History.Epochs); err != nil {
			return err
		}
		if err := t.engine.setVariables(variables); err != nil {
			return err
		}
		t.at, t.kept, t.best = at, at.Step, best
		return nil
	}
	if err := place.Resume(restore, func(line string) { tell(Noted{Text: line}) }); err != nil {
		return err
	}
	if t.at.Step == 0 {
		t.at.Started = time.Now().Unix()
	} else {
		tell(Resumed{t.about, t.at.Step, t.at.History})
	}
	return nil
}

// stepsPerCall is how many steps a call does at most. More would not be faster.
const stepsPerCall = 100

// capacity is how many steps a call does. A loop pays for small networks; a step of a large one takes so long that the
// call costs nothing beside it, and XLA computes it faster outside of a loop.
func (t *training) capacity() int {
	if t.about.MACs*t.about.Batch > 1e9 {
		return 1
	}
	return min(stepsPerCall, t.about.Batches)
}

// compile prepares the program that trains.
func (t *training) compile(ctx context.Context) (err error) {
	start := time.Now()
	t.trainer, err = attend(ctx, func() (*trainer, error) {
		if err := t.engine.toDevice(); err != nil {
			return nil, err
		}
		split, err := t.engine.upload(t.engine.splits.train)
		if err != nil {
			return nil, err
		}
		return t.engine.trainer(split, t.capacity())
	})
	t.at.CompileSeconds += time.Since(start).Seconds()
	return err
}

// needTesters prepares the programs that test, if they are not there yet. That happens after the first loss, which
// comes earlier for it: XLA uses all cores for one program, so two at the same time are not ready sooner. It does
// not happen while training goes on, which would seem slower than it is.
func (t *training) needTesters(ctx context.Context) (err error) {
	if t.tester != nil {
		return nil
	}
	start := time.Now()
	if split := t.engine.splits.validation; split != nil {
		if t.validation, err = t.newTester(ctx, split); err != nil {
			return err
		}
	}
	t.tester, err = t.newTester(ctx, t.engine.splits.test)
	t.at.CompileSeconds += time.Since(start).Seconds()
	return err
}

func (t *training) newTester(ctx context.Context, split *dataset.Split) (*tester, error) {
	return attend(ctx, func() (*tester, error) { return t.engine.tester(split, look{batch: t.engine.TestBatch}) })
}

// epochs does what is left to do, and returns what the run keeps: of the last epoch or of the best one.
func (t *training) epochs(ctx context.Context) (*outcome, error) {
	for epoch := len(t.at.History.Epochs); ; epoch++ {
		if err := t.epoch(ctx, epoch); err != nil {
			return nil, err
		}
		predictions, err := t.test(ctx, epoch)
		if err != nil {
			return nil, err
		}
		epochs := t.at.History.Epochs
		over := t.engine.over(epochs)
		if t.engine.kept(epochs) == epoch && (over || t.engine.Keep == BestEpoch) {
			if t.best, err = t.outcome(predictions); err != nil {
				return nil, err
			}
		}
		if over {
			return t.best, nil
		}
		if err := t.checkpoint(); err != nil {
			return nil, err
		}
	}
}

// callTime is how long one call should take, so an interrupt is heard and progress is seen soon.
const callTime = time.Second / 2

// shortStep is how long a step may take for an interrupt to wait for it.
const shortStep = time.Second

// onInterrupt is what an interrupt does during a step that takes about that long, or an unknown time if it is negative.
func (t *training) onInterrupt(step time.Duration) interruption {
	switch {
	case step >= 0 && step <= shortStep:
		return waits
	case t.at.Step == t.kept:
		return loses
	default:
		return keeps
	}
}

// epoch does the epoch's remaining steps.
func (t *training) epoch(ctx context.Context, epoch int) error {
	order := t.order(epoch)
	steps := 1                  // at first: the first loss comes soon, and shows how long a step takes
	ofStep := time.Duration(-1) // unknown
	for {
		batch := t.at.Step - epoch*t.about.Batches
		if batch == t.about.Batches {
			return nil
		}
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		steps = min(steps, t.about.Batches-batch, t.trainer.capacity, t.engine.perCall)
		start := time.Now()
		next := t.portion(order, batch, steps)
		next.interrupted = t.onInterrupt(ofStep)
		losses, err := t.trainer.steps(ctx, next)
		if err != nil {
			return err
		}
		took := time.Since(start)
		t.at.TrainSeconds += took.Seconds()
		if err := t.record(epoch, batch, losses); err != nil {
			return err
		}
		ofStep = took / time.Duration(steps)
		steps = int(min(callTime, t.engine.SaveEvery)/ofStep) + 1
		if time.Since(t.saved) > t.engine.SaveEvery {
			if err := t.checkpoint(); err != nil {
				return err
			}
		}
		if err := t.needTesters(ctx); err != nil {
			return err
		}
	}
}

// epochOrder is the order in which an epoch takes the images, a function of the seed and the epoch's number, and their
// random numbers.
type epochOrder struct {
	images []int32
	random []float32
}

func (t *training) order(epoch int) epochOrder {
	images := shuffled(t.about.Images, t.engine.Seed, epoch)
	return epochOrder{images, t.engine.Data.Random(images, t.engine.Seed, epoch)}
}

func shuffled(images, seed, epoch int) []int32 {
	order := make([]int32, images)
	for i := range order {
		order[i] = int32(i)
	}
	random := rand.New(rand.NewPCG(uint64(seed), uint64(epoch)))
	random.Shuffle(images, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// portion is so many steps from the epoch's batch on, where the training stands.
func (t *training) portion(order epochOrder, batch, steps int) portion {
	size, numbers := t.about.Batch, t.engine.Data.RandomNumbers()
	from, to := batch*size, min((batch+steps)*size, len(order.images))
	return portion{
		order: order.images[from:to], random: order.random[from*numbers : to*numbers],
		state: t.randomState, needs: t.stepNumbers,
	}
}

// stepNumbers are what the optimizer needs for the i-th step from where the training stands, for each of the rates.
func (t *training) stepNumbers(i int) (all []stepNumbers[float64]) {
	step := t.at.Step + i
	steps := t.about.Batches * t.about.Epochs
	factor := t.engine.Schedule.Share(min(step, steps-1), steps) // beyond the last step, as a worker goes, that of the last
	for _, rate := range t.engine.rates() {
		all = append(all, t.engine.Optimizer.stepNumbers(factor*rate, step+1))
	}
	return all
}

// randomState is where the random generator of the i-th step from here starts.
func (t *training) randomState(i int) [randomState]uint64 {
	return randomStateOf(t.engine.Seed, t.at.Step+i)
}

// randomStateOf is drawn on the host from the seed and the step, so a training that was stopped goes on with the same
// numbers.
func randomStateOf(seed, step int) (state [randomState]uint64) {
	random := rand.New(rand.NewPCG(uint64(seed), 2<<32+uint64(step)))
	for k := range state {
		state[k] = random.Uint64()
	}
	return state
}

// record keeps the losses of the steps from batch on, and tells of them.
func (t *training) record(epoch, batch int, losses []float32) error {
	for _, loss := range losses {
		if err := t.engine.Loss.checkValue(float64(loss), t.engine.summary); err != nil {
			return err
		}
	}
	good := slices.IndexFunc(losses, func(loss float32) bool { return !(math.Abs(float64(loss)) <= math.MaxFloat32) })
	if good < 0 {
		good = len(losses)
	}
	t.at.History.Losses = append(t.at.History.Losses, losses[:good]...)
	t.at.Step += good
	t.engine.Progress.Tell(Stepped{t.about, epoch + 1, batch, losses[:good], t.at.TrainSeconds})
	switch {
	case t.at.Step == 0:
		return fmt.Errorf("the loss of the first batch is %v, before any step, so the learning rate is not the cause: look for "+
			"a logarithm of 0, a division by 0 or huge values in the network's functions and first weights, the loss and the "+
			"normalisation", losses[0])
	case good < len(losses):
		return t.diverged("the loss became %v in epoch %d at batch %d", losses[good], epoch+1, batch+good)
	}
	return nil
}

// Diverged is the error of a training whose loss became infinite or NaN after at least one step.
type Diverged struct {
	error
	Run Stored // that it would have become
}

// Unwrap is the error itself.
func (d Diverged) Unwrap() error { return d.error }

// diverged is that error.
func (t *training) diverged(format string, args ...any) error {
	err := fmt.Errorf("%s: the learning rate %v is too high for this network, try a tenth of it",
		fmt.Sprintf(format, args...), t.engine.Optimizer.rate)
	place := t.engine.place.InTraining() // a finished run may stand beside it, which Fresh: true was to replace
	dir := place.Dir()
	return Diverged{err, Stored{ID: filepath.Base(dir), Dir: dir, State: Unfinished, Step: t.at.Step, place: place}}
}

// test tests the network after an epoch, keeps how well it does and returns what it gives for the test images.
func (t *training) test(ctx context.Context, epoch int) (*Predictions, error) {
	if err := t.needTesters(ctx); err != nil { // a training that went on after an epoch's last step has not been here
		return nil, err
	}
	predictions, err := t.tester.test(ctx)
	if err != nil {
		return nil, err
	}
	h := EpochHistory{
		TestLoss: predictions.Loss(), TestAccuracy: predictions.Accuracy(), TrainSeconds: t.at.TrainSeconds}
	if t.validation != nil {
		validation, err := t.validation.test(ctx)
		if err != nil {
			return nil, err
		}
		h.ValidationLoss, h.ValidationAccuracy = validation.Loss(), validation.Accuracy()
	}
	for _, loss := range []float64{h.TestLoss, h.ValidationLoss} {
		if err := t.engine.Loss.checkValue(loss, t.engine.summary); err != nil {
			return nil, err
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return nil, t.diverged("the loss in the test after epoch %d is %v", epoch+1, loss)
		}
	}
	losses := t.at.History.Losses[epoch*t.about.Batches:]
	for _, loss := range losses {
		h.TrainLoss += float64(loss)
	}
	h.TrainLoss /= float64(len(losses))
	t.at.History.Epochs = append(t.at.History.Epochs, h)
	t.engine.Progress.Tell(Tested{t.about, epoch + 1, h})
	return predictions, nil
}

func (t *training) checkpoint() error {
	t.saved = time.Now()
	variables, err := t.engine.variables(func(*model.Variable) bool { return true })
	if err != nil {
		return err
	}
	if t.best != nil {
		t.best.addTo(variables)
	}
	at := t.at
	variables[lossesSoFar] = safetensors.Float32(at.History.Losses, len(at.History.Losses))
	at.History.Losses = nil // millions would not fit into a text
	if err := t.engine.place.Save(at.Step, variables, at); err != nil {
		return err
	}
	t.kept = t.at.Step
	return nil
}

// finish writes the run's files, and the sums last: a run that has them is whole.
func (t *training) finish(kept *outcome) (*Run, error) {
	e, place := t.engine, t.engine.place
	line, err := device.Line()
	if err != nil {
		return nil, err
	}
	if err := place.WriteTensors(store.Test, kept.test, nil); err != nil {
		return nil, err
	}
	if err := place.WriteTensors(store.Model, kept.model, map[string]string{"network": t.about.Network}); err != nil {
		return nil, err
	}
	run := &Run{Task: e.Task, History: t.at.History, plan: e.plan}
	run.Result = t.result(line)
	if err := place.WriteJSON(store.History, run.History); err != nil {
		return nil, err
	}
	if err := place.WriteJSON(store.Result, run.Result); err != nil {
		return nil, err
	}
	return run, place.Finish()
}

func (t *training) result(device string) Result {
	epoch := t.engine.kept(t.at.History.Epochs)
	kept := t.at.History.Epochs[epoch]
	r := Result{
		Network: t.about.Network, Parameters: t.about.Parameters, MACs: t.about.MACs,
		Data: t.engine.Data.Description(), Recipe: t.engine.recipe(),
		TrainImages: t.about.Images, ValidationImages: t.about.ValidationImages, TestImages: t.about.TestImages,
		TestLoss: kept.TestLoss, TestAccuracy: kept.TestAccuracy,
		ValidationLoss: kept.ValidationLoss, ValidationAccuracy: kept.ValidationAccuracy,
		TrainSeconds: t.at.TrainSeconds, CompileSeconds: t.at.CompileSeconds,
		Device: device, Versions: versions(), StartedAt: time.Unix(t.at.Started, 0).UTC(),
		Input: t.engine.Data.Input(),
	}
	if t.engine.choosesEpoch() {
		r.Epoch = epoch + 1
	}
	return r
}
