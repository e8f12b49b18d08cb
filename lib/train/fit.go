package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
)

// ErrInterrupted is the error of a training that was interrupted. What it learned is kept.
var ErrInterrupted = errors.New("interrupted")

// Fit trains the network on the data set's training images and tests it on its test images after every epoch. A run
// with the same network, data and settings that is on disk is returned at once, its progress printed again; one that
// was interrupted goes on where its last checkpoint stands, with the same result as if it had not been.
//
// An interrupt (the stop button, Ctrl-C, a closed terminal) is heard within a second, whatever is being computed. It keeps
// what was learned and returns ErrInterrupted. A loss that is not a number ends the training with an error. Nothing that
// was stored before is lost either way.
func Fit(net nn.Layer, data dataset.Images, config Config) (*Run, error) {
	stops := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as it is under nohup
		stops = append(stops, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), stops...)
	defer stop()
	return fit(ctx, net, data, config)
}

func fit(ctx context.Context, net nn.Layer, data dataset.Images, config Config) (*Run, error) {
	r, err := newRun(ctx, net, data, config)
	if err != nil {
		return nil, err
	}
	if !r.config.Fresh {
		if run, err := r.stored(ctx); run != nil || err != nil {
			return run, err
		}
	}
	unlock, err := r.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	fresh := r.config.Fresh
	if r.finished() {
		if err := r.install(); err != nil {
			return nil, err
		}
		fresh = false
	}
	if !fresh {
		if run, err := r.stored(ctx); run != nil || err != nil { // another process may have trained it meanwhile
			return run, err
		}
	}
	name := r.dir
	r.dir += trainingSuffix
	t, err := newTraining(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := t.run(ctx); err != nil {
		return nil, err
	}
	r.dir = name
	if err := r.install(); err != nil {
		return nil, err
	}
	return r, nil
}

// stored is the run with its progress printed again if it is finished, and nil if it is not.
func (r *Run) stored(ctx context.Context) (*Run, error) {
	err := r.load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := r.replay(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// lock makes sure that one process at a time trains the run. Others wait for it and then find it done.
func (r *Run) lock(ctx context.Context) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(r.dir), 0o755); err != nil {
		return nil, r.cannotWrite(err)
	}
	lock := flock.New(r.dir + ".lock")
	got, err := lock.TryLock()
	if err == nil && !got {
		fmt.Fprintln(r.config.Out, "another process is training this run: waiting for it")
		got, err = lock.TryLockContext(ctx, 200*time.Millisecond)
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w while another process trains this run", ErrInterrupted)
	case err != nil:
		return nil, r.cannotWrite(err)
	}
	return lock.Unlock, nil
}

// training is a run while it is being trained.
type training struct {
	*Run
	backend compute.Backend
	store   *model.Store
	trainer *trainer
	tester  *tester // nil before needTester
	images  int     // training images
	at      position
	saved   time.Time // when the last checkpoint was written
}

// newTraining opens the data and the backend, creates the variables, finds the checkpoint to go on from and compiles.
func newTraining(ctx context.Context, r *Run) (*training, error) {
	t, err := prepare(ctx, r)
	if err != nil {
		return nil, err
	}
	line, err := device.Line()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(r.config.Out, "%s, %d parameters, on %s\n", r.trace.Network, r.trace.Parameters(), line)
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, r.cannotWrite(err)
	}
	r.sweep()
	if err := r.write(configFile, r.about); err != nil {
		return nil, err
	}
	if t.at, err = r.resume(t.store, t.batches()); err != nil {
		return nil, err
	}
	if t.at.Step == 0 {
		t.at.Started = time.Now().Unix()
	} else {
		fmt.Fprintf(r.config.Out, "going on after step %d of %d\n", t.at.Step, r.config.Epochs*t.batches())
	}
	return t, t.compile(ctx)
}

// prepare opens the data and the backend, makes sure that the settings fit the data and creates the variables.
func prepare(ctx context.Context, r *Run) (*training, error) {
	backend, err := device.Open()
	if err != nil {
		return nil, err
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if err := r.config.checkData(r.data, r.trainSplit, r.trace.Network, r.trace.Output); err != nil {
		return nil, err
	}
	t := &training{Run: r, backend: backend, images: r.trainSplit.Len(), saved: time.Now()}
	t.store, err = newStore(r, backend)
	return t, err
}

// newStore creates all variables of the network and the optimizer.
func newStore(r *Run, backend compute.Backend) (*model.Store, error) {
	store := model.NewStore()
	if err := r.trace.Initialize(store, backend, r.config.Seed); err != nil {
		return nil, oneLine(err)
	}
	addSlots(store, r.config.Optimizer)
	return store, nil
}

// stepsPerCall is how many steps a call does at most. More would not be faster.
const stepsPerCall = 100

// compile prepares the program that trains.
func (t *training) compile(ctx context.Context) (err error) {
	start := time.Now()
	t.trainer, err = attend(ctx, func() (*trainer, error) {
		split, err := upload(t.backend, t.data, t.trainSplit)
		if err != nil {
			return nil, err
		}
		return newTrainer(t.backend, t.store, t.net, t.data, t.config, split, t.capacity())
	})
	t.at.CompileSeconds += seconds(start)
	return err
}

// needTester prepares the program that tests, if it is not there yet. That happens after the first loss, which comes
// earlier for it: XLA uses all cores for one program, so that two at the same time are not ready sooner. It does not
// happen while training goes on, which would seem slower than it is.
func (t *training) needTester(ctx context.Context) (err error) {
	if t.tester != nil {
		return nil
	}
	start := time.Now()
	t.tester, err = attend(ctx, func() (*tester, error) {
		split, err := upload(t.backend, t.data, t.testSplit)
		if err != nil {
			return nil, err
		}
		return newTester(t.backend, t.store, t.net, t.data, t.config, split, look{batch: t.config.TestBatch})
	})
	t.at.CompileSeconds += seconds(start)
	return err
}

// batches is the number of batches in an epoch, the last one perhaps short.
func (t *training) batches() int { return (t.images + t.config.Batch - 1) / t.config.Batch }

// run trains from where the training stands to its end. An interrupt keeps what was learned until then.
func (t *training) run(ctx context.Context) error {
	err := t.epochs(ctx)
	if !errors.Is(err, ErrInterrupted) {
		return err
	}
	if t.at.Step == 0 {
		return fmt.Errorf("%w before the first step", err)
	}
	if err := t.checkpoint(); err != nil {
		return err
	}
	epoch := len(t.at.History.Epochs)
	return fmt.Errorf("%w after batch %d of %d in epoch %d: run it again to go on from there",
		err, t.at.Step-epoch*t.batches(), t.batches(), epoch+1)
}

func (t *training) epochs(ctx context.Context) error {
	for epoch := len(t.at.History.Epochs); epoch < t.config.Epochs; epoch++ {
		if err := t.epoch(ctx, epoch); err != nil {
			return err
		}
		last := epoch == t.config.Epochs-1
		if err := t.testAfter(ctx, epoch, last); err != nil {
			return err
		}
		if !last {
			if err := t.checkpoint(); err != nil {
				return err
			}
		}
	}
	return t.finish()
}

// call is how long one call should take, so an interrupt is heard and progress is seen soon.
const call = time.Second / 2

// epoch does the epoch's remaining steps.
func (t *training) epoch(ctx context.Context, epoch int) error {
	order := epochOrder(t.images, t.config.Seed, epoch)
	random := t.data.Random(order, t.config.Seed, epoch)
	numbers := t.data.RandomNumbers()
	steps := 1                  // at first: the line of the first loss comes soon, and shows how long a step takes
	ofStep := time.Duration(-1) // unknown
	for {
		batch := t.at.Step - epoch*t.batches()
		if batch == t.batches() {
			return nil
		}
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		toLine := t.config.LogEvery - batch%t.config.LogEvery
		if batch%t.config.LogEvery == 0 {
			toLine = 1
		}
		steps = min(steps, toLine, t.batches()-batch, t.trainer.capacity)
		start := time.Now()
		from, to := batch*t.config.Batch, min((batch+steps)*t.config.Batch, t.images)
		long := ofStep < 0 || ofStep > patience
		losses, err := t.trainer.steps(ctx, long, order[from:to], random[from*numbers:to*numbers], t.randomState, t.scalars)
		if err != nil {
			return err
		}
		took := time.Since(start)
		if err := t.record(epoch, batch, losses); err != nil {
			return err
		}
		t.at.Step += steps
		t.at.TrainSeconds += took.Seconds()
		ofStep = took / time.Duration(steps)
		steps = int(call/ofStep) + 1
		if time.Since(t.saved) > t.config.SaveEvery {
			if err := t.checkpoint(); err != nil {
				return err
			}
		}
		if err := t.needTester(ctx); err != nil {
			return err
		}
	}
}

// scalars are the numbers that the optimizer needs for the i-th step from where the training stands.
func (t *training) scalars(i int) []float64 {
	step := t.at.Step + i
	return t.config.Optimizer.stepScalars(t.config.Schedule.factor(step, t.batches(), t.config.Epochs), step+1)
}

// randomState is where the random generator of the i-th step from here starts: drawn on the host from the seed and the
// step, so that a training that was stopped goes on with the same numbers.
func (t *training) randomState(i int) (state [randomState]uint64) {
	random := rand.New(rand.NewPCG(uint64(t.config.Seed), 2<<32+uint64(t.at.Step+i)))
	for k := range state {
		state[k] = random.Uint64()
	}
	return state
}

// epochOrder is the order in which an epoch takes the images, a function of the seed and the epoch's number.
func epochOrder(images, seed, epoch int) []int32 {
	order := make([]int32, images)
	for i := range order {
		order[i] = int32(i)
	}
	random := rand.New(rand.NewPCG(uint64(seed), uint64(epoch)))
	random.Shuffle(images, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// record keeps the losses of the steps from batch on, and prints the progress line if one is due.
func (t *training) record(epoch, batch int, losses []float32) error {
	for i, loss := range losses {
		if math.IsNaN(float64(loss)) || math.IsInf(float64(loss), 0) {
			return fmt.Errorf("the loss became %v in epoch %d at batch %d: the learning rate %v is too high for this network, try a tenth of it",
				loss, epoch+1, batch+i, t.config.Optimizer.rate)
		}
		t.at.History.Losses = append(t.at.History.Losses, loss)
		printLine(t.config, epoch, batch+i, t.batches(), t.images, loss)
	}
	return nil
}

// printLine prints a line of progress if one is due.
func printLine(c Config, epoch, batch, batches, images int, loss float32) {
	if batch%c.LogEvery == 0 {
		fmt.Fprintln(c.Out, c.Line(Step{Epoch: epoch + 1, Epochs: c.Epochs, Batch: batch, Batches: batches,
			Seen: batch * c.Batch, Images: images, Loss: float64(loss)}))
	}
}

// testAfter tests the network after an epoch. The last time it keeps what the network gives for each image.
func (t *training) testAfter(ctx context.Context, epoch int, keep bool) error {
	if err := t.needTester(ctx); err != nil { // a training that went on after an epoch's last step has not been here
		return err
	}
	outputs, losses, err := t.tester.test(ctx)
	if err != nil {
		return err
	}
	p := &Predictions{outputs, losses, t.testSplit.Labels, t.data.Classes}
	if math.IsNaN(p.Loss()) {
		return fmt.Errorf("the test loss after epoch %d is not a number: the learning rate %v is too high for this network, try a tenth of it",
			epoch+1, t.config.Optimizer.rate)
	}
	var sum float64
	epochLosses := t.at.History.Losses[epoch*t.batches():]
	for _, loss := range epochLosses {
		sum += float64(loss)
	}
	t.at.History.Epochs = append(t.at.History.Epochs,
		EpochHistory{sum / float64(len(epochLosses)), p.Loss(), p.Accuracy(), t.at.TrainSeconds})
	printTest(t.config, p.Loss(), p.Accuracy(), t.testSplit.Len())
	if !keep {
		return nil
	}
	return t.cannotWrite(safetensors.Write(t.path(testFile), map[string]safetensors.Tensor{
		"outputs": safetensors.Float32(outputs, t.testSplit.Len(), len(t.data.Classes)),
		"losses":  safetensors.Float32(losses, t.testSplit.Len()),
	}, nil))
}

// printTest prints the closing line in the notes' form.
func printTest(c Config, loss, accuracy float64, images int) {
	fmt.Fprintf(c.Out, "\nTest set: Average loss: %.4f, Accuracy: %.0f/%d (%.0f%%)\n\n", loss, accuracy*float64(images)/100, images, accuracy)
}

func (t *training) checkpoint() error {
	t.saved = time.Now()
	return t.save(t.store, t.at)
}

// finish writes the result, and the sums last: a run that has them is whole.
func (t *training) finish() error {
	model, err := variables(t.store, func(v *model.Variable) bool { return nn.Owns(v) })
	if err != nil {
		return err
	}
	if err := safetensors.Write(t.path(modelFile), model, map[string]string{"network": t.trace.Network}); err != nil {
		return t.cannotWrite(err)
	}
	t.History = t.at.History
	if err := t.writeJSON(historyFile, t.History); err != nil {
		return err
	}
	line, err := device.Line()
	if err != nil {
		return err
	}
	last := t.History.Epochs[len(t.History.Epochs)-1]
	t.Result = Result{
		Network: t.trace.Network, Parameters: t.trace.Parameters(), Dataset: t.data.String(), Config: t.config.key(),
		Seed: t.config.Seed, Epochs: t.config.Epochs, TestLoss: last.TestLoss, TestAccuracy: last.TestAccuracy,
		TrainSeconds: t.at.TrainSeconds, CompileSeconds: t.at.CompileSeconds, Device: line, Versions: versions(),
		StartedAt: time.Unix(t.at.Started, 0).UTC(),
	}
	if err := t.writeJSON(resultFile, t.Result); err != nil {
		return err
	}
	return t.writeSums()
}

// replay prints a stored run's progress as it was printed when it was trained.
func (r *Run) replay(ctx context.Context) error {
	fmt.Fprintf(r.config.Out, "%s, %d parameters, trained on %s in %.1f s on %s (stored; Fresh: true trains again)\n",
		r.Result.Network, r.Result.Parameters, r.Result.StartedAt.Local().Format("2006-01-02 15:04"), r.Result.TrainSeconds, r.Result.Device)
	if err := r.open(ctx); err != nil {
		return err
	}
	batches := len(r.History.Losses) / r.config.Epochs
	for epoch, e := range r.History.Epochs {
		for batch, loss := range r.History.Losses[epoch*batches:][:batches] {
			printLine(r.config, epoch, batch, batches, r.trainSplit.Len(), loss)
		}
		printTest(r.config, e.TestLoss, e.TestAccuracy, r.testSplit.Len())
	}
	return nil
}

// capacity is how many steps a call does. A loop pays for small networks; a step of a large one takes so long that the
// call costs nothing beside it, and XLA computes it faster outside of a loop.
func (t *training) capacity() int {
	if t.trace.MACs()*t.config.Batch > 1e9 {
		return 1
	}
	return min(stepsPerCall, t.batches())
}
