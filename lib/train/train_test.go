package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train/internal/store"
	"example.org/convbook/lib/zoo"
)

// What the examples train is not kept.
func TestMain(m *testing.M) {
	runs, err := os.MkdirTemp("", "train-")
	if err != nil {
		panic(err)
	}
	os.Setenv(RunsEnv, runs)
	code := m.Run()
	os.RemoveAll(runs)
	os.Exit(code)
}

// digits is the small sample of MNIST, normalised.
func digits() dataset.Images {
	return sample.MNIST().Normalize(0.1307, 0.3081)
}

func linear() nn.Layer {
	return nn.Named("Linear", nn.Flatten, nn.Dense(10), nn.LogSoftmax)
}

// quick is a training of a second on the sample: 8 batches of 64 an epoch, one at a time.
func quick() Task {
	return Task{Net: linear(), Data: digits(), Config: Config{
		Epochs: 2, Batch: 64, Loss: NLL, Optimizer: SGD(0.05, 0.5), Seed: 1, Progress: Quiet, perCall: 1}}
}

// of is the task with another network.
func (t Task) of(net nn.Layer) Task {
	t.Net = net
	return t
}

// isolate keeps the test's runs in a folder of its own.
func isolate(t *testing.T) (runs string) {
	t.Helper()
	runs = t.TempDir()
	t.Setenv(RunsEnv, runs)
	return runs
}

// open reads both splits.
func open(data dataset.Images) (train, test *dataset.Split, err error) {
	if train, err = data.Train(); err != nil {
		return nil, nil, err
	}
	test, err = data.Test()
	return train, test, err
}

func mustFit(t *testing.T, task Task) *Run {
	t.Helper()
	run, err := task.FitContext(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func mustPlan(t *testing.T, task Task) *plan {
	t.Helper()
	p, err := task.plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stopAt interrupts a training after the given step.
type stopAt struct {
	Progress
	step int
	stop context.CancelFunc
}

func (s stopAt) Tell(e Event) {
	s.Progress.Tell(e)
	if e, ok := e.(Stepped); ok && (e.Epoch-1)*e.Batches+e.Batch+len(e.Losses) >= s.step {
		s.stop()
	}
}

// interruptAt does the task until the given step and stops there.
func interruptAt(t *testing.T, step int, task Task) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	task.Progress, task.perCall = stopAt{task.Progress, step, cancel}, 1
	_, err := task.FitContext(ctx)
	return err
}

// inRun is a file of a finished run, and inTraining one of the run while it is trained.
func inRun(r *Run, name string) string { return filepath.Join(r.Dir(), name) }

func inTraining(p *plan, name string) string { return filepath.Join(p.place.Dir()+".training", name) }

// checkpoints lists those of the run while it is trained, the newest last.
func checkpoints(p *plan) []string {
	paths, _ := filepath.Glob(inTraining(p, "checkpoint-*.safetensors"))
	return paths
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func checkError(t *testing.T, err error, wants ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", wants)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}

// A linear classifier trained by Fit and by the sums written out here in float64: the same losses, step by step, the
// same weights and the same test result. The last batch of an epoch is short.
func TestFitAgainstWrittenOutSums(t *testing.T) {
	isolate(t)
	const batch, rate, momentum, epochs = 100, 0.05, 0.5, 2 // 512 images: five batches of 100 and one of 12
	task := quick()
	task.Config = Config{Epochs: epochs, Batch: batch, Loss: NLL, Optimizer: SGD(rate, momentum), Seed: 5, Progress: Quiet, TestBatch: 100}
	run := mustFit(t, task)

	train, test, err := open(task.Data)
	if err != nil {
		t.Fatal(err)
	}
	const inputs, classes = 784, 10
	start := initial(t, task)
	weights, bias := start["dense1/weights"], start["dense1/bias"]
	pixel := func(s *dataset.Split, i, p int) float64 { return (float64(s.Pixels[i*inputs+p])/255 - 0.1307) / 0.3081 }
	probabilities := func(s *dataset.Split, i int) []float64 {
		scores := make([]float64, classes)
		sum := 0.0
		for c := range scores {
			scores[c] = bias[c]
			for p := range inputs {
				scores[c] += pixel(s, i, p) * weights[p*classes+c]
			}
			sum += math.Exp(scores[c])
		}
		for c := range scores {
			scores[c] = math.Exp(scores[c]) / sum
		}
		return scores
	}
	velocityW, velocityB := make([]float64, inputs*classes), make([]float64, classes)
	var losses []float64
	for epoch := range epochs {
		order := shuffled(train.Len(), 5, epoch)
		for from := 0; from < len(order); from += batch {
			images := order[from:min(from+batch, len(order))]
			n := float64(len(images))
			gradientW, gradientB := make([]float64, inputs*classes), make([]float64, classes)
			loss := 0.0
			for _, i := range images {
				ps := probabilities(train, int(i))
				label := int(train.Labels[i])
				loss -= math.Log(ps[label]) / n
				for c := range classes {
					d := ps[c]
					if c == label {
						d--
					}
					gradientB[c] += d / n
					for p := range inputs {
						gradientW[p*classes+c] += d * pixel(train, int(i), p) / n
					}
				}
			}
			losses = append(losses, loss)
			for k := range weights {
				velocityW[k] = momentum*velocityW[k] + gradientW[k]
				weights[k] -= rate * velocityW[k]
			}
			for k := range bias {
				velocityB[k] = momentum*velocityB[k] + gradientB[k]
				bias[k] -= rate * velocityB[k]
			}
		}
	}
	if len(run.History.Losses) != 12 || len(losses) != 12 {
		t.Fatalf("%d steps, want 12", len(run.History.Losses))
	}
	for i, want := range losses {
		if got := float64(run.History.Losses[i]); math.Abs(got-want) > 1e-4*(1+want) {
			t.Errorf("loss of step %d: %v, want %v", i, got, want)
		}
	}
	got, err := run.Weights("dense1/weights")
	if err != nil || !slices.Equal(got.Dims, []int{inputs, classes}) {
		t.Fatal(got.Dims, err)
	}
	for k := range weights {
		if math.Abs(float64(got.Values[k])-weights[k]) > 1e-4 {
			t.Fatalf("weight %d: %v, want %v", k, got.Values[k], weights[k])
		}
	}
	loss, correct := 0.0, 0
	for i := range test.Len() {
		ps := probabilities(test, i)
		loss -= math.Log(ps[test.Labels[i]]) / float64(test.Len())
		if slices.Index(ps, slices.Max(ps)) == int(test.Labels[i]) {
			correct++
		}
	}
	if math.Abs(run.Result.TestLoss-loss) > 1e-4 || run.Result.TestAccuracy != 100*float64(correct)/256 {
		t.Errorf("test loss %v, accuracy %v; want %v, %v", run.Result.TestLoss, run.Result.TestAccuracy, loss, 100*float64(correct)/256)
	}
}

// initial returns the initial values of a task's variables by their names.
func initial(t *testing.T, task Task) map[string][]float64 {
	t.Helper()
	e, err := mustPlan(t, task).untrained(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	arrays, err := e.arrays(func(v nn.Variable) string { return nn.Path(v.Name) })
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{}
	for name, a := range arrays {
		values[name] = a.Float64s()
	}
	return values
}

func TestLosses(t *testing.T) {
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	scores := [][]float32{{1, 2, 3}, {0, 0, 0}, {-1, 5, 500}}
	labels := []int32{0, 2, 1}
	outputs, err := graph.CallOnceN(backend, func(scores, labels *graph.Node) []*graph.Node {
		return []*graph.Node{
			CrossEntropy.each(scores, labels),
			NLL.each(graph.LogSoftmax(scores), labels),
			CrossEntropy.each(graph.LogSoftmax(scores), labels),
			MSE.each(scores, labels),
		}
	}, scores, labels)
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{math.Log(math.Exp(1)+math.Exp(2)+math.Exp(3)) - 1, math.Log(3), 495}
	sum := math.Exp(1) + math.Exp(2) + math.Exp(3)
	p, q, r := math.Exp(1)/sum, math.Exp(2)/sum, math.Exp(3)/sum
	squares := []float64{((1-p)*(1-p) + q*q + r*r) / 3, (1./9 + 1./9 + 4./9) / 3, 2. / 3}
	for i, what := range []string{"cross-entropy", "NLL of a log-softmax", "cross-entropy of a log-softmax", "MSE"} {
		if what == "MSE" {
			want = squares
		}
		for k, got := range tensors.MustCopyFlatData[float32](outputs[i]) {
			if math.Abs(float64(got)-want[k]) > 1e-5*(1+want[k]) {
				t.Errorf("%s of image %d: %v, want %v", what, k, got, want[k])
			}
		}
	}
}

func TestSameSeedSameLosses(t *testing.T) {
	isolate(t)
	c := quick()
	first := mustFit(t, c.of(zoo.CNN(2)))
	c.Fresh = true
	second := mustFit(t, c.of(zoo.CNN(2)))
	if !slices.Equal(first.History.Losses, second.History.Losses) {
		t.Error("the same seed gives other losses")
	}
	c.Seed = 2
	if slices.Equal(first.History.Losses, mustFit(t, c.of(zoo.CNN(2))).History.Losses) {
		t.Error("another seed gives the same losses")
	}
}

func TestStoredRunIsReturnedAndPrintedAgain(t *testing.T) {
	runs := isolate(t)
	c := quick()
	var first, second bytes.Buffer
	c.Progress = LinesTo(&first, 1)
	trained := mustFit(t, c)
	c.Progress = LinesTo(&second, 1)
	started := time.Now()
	stored := mustFit(t, c)
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("the stored run took %v", took)
	}
	if !slices.Equal(trained.History.Losses, stored.History.Losses) || trained.Result.TestAccuracy != stored.Result.TestAccuracy {
		t.Error("the stored run is another one")
	}
	_, firstLines, _ := strings.Cut(first.String(), "\n")
	heading, secondLines, _ := strings.Cut(second.String(), "\n")
	if firstLines != secondLines || !strings.Contains(heading, "stored; Fresh: true trains again") {
		t.Errorf("printed first\n%s\nand then\n%s", &first, &second)
	}
	for _, want := range []string{
		"Linear, 7850 parameters, on xla:cpu",
		"Epoch 1/2  Train: [0/512 (0%)]\tLoss: 2.",
		"Epoch 2/2  Train: [448/512 (88%)]\tLoss: ",
		fmt.Sprintf("\nTest set: Average loss: %.4f, Accuracy: %.0f/256 (%.0f%%)\n\n", trained.Result.TestLoss, 2.56*trained.Result.TestAccuracy, trained.Result.TestAccuracy),
	} {
		if !strings.Contains(first.String(), want) {
			t.Errorf("printed\n%s\nwant %q in it", &first, want)
		}
	}
	loaded, err := c.Load()
	if err != nil || !reflect.DeepEqual(loaded.Result, stored.Result) {
		t.Errorf("loaded %+v, %v", loaded, err)
	}
	files, _ := filepath.Glob(filepath.Join(runs, "Linear-MNIST-sample-*", "*"))
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(file))
	}
	if got := strings.Join(names, " "); got != "SHA256SUMS config.json history.json model.safetensors result.json test.safetensors" {
		t.Errorf("the run's folder holds %s", got)
	}
	text, _ := os.ReadFile(filepath.Join(stored.Dir(), "result.json"))
	for _, key := range []string{"network", "parameters", "data", "recipe", "train_images", "test_images", "test_loss", "test_accuracy",
		"train_seconds", "compile_seconds", "device", "versions", "started_at"} {
		if !strings.Contains(string(text), `"`+key+`": `) {
			t.Errorf("result.json lacks %s", key)
		}
	}
}

func TestWhatMakesAnotherRun(t *testing.T) {
	isolate(t)
	name := func(change func(task *Task)) string {
		task := quick()
		change(&task)
		return mustPlan(t, task).place.Dir()
	}
	first := name(func(*Task) {})
	for what, change := range map[string]func(task *Task){
		"network":       func(task *Task) { task.Net = zoo.CNN(6) },
		"size":          func(task *Task) { task.Net = zoo.CNN(7) },
		"normalisation": func(task *Task) { task.Data = sample.MNIST() },
		"permutation":   func(task *Task) { task.Data = digits().Permute(dataset.Permutation(784, 1)) },
		"fewer images":  func(task *Task) { task.Data = digits().First(99) },
		"validation":    func(task *Task) { task.Data = digits().Validate(99) },
		"epochs":        func(task *Task) { task.Epochs = 3 },
		"batch":         func(task *Task) { task.Batch = 32 },
		"rate":          func(task *Task) { task.Optimizer = SGD(0.01, 0.5) },
		"momentum":      func(task *Task) { task.Optimizer = SGD(0.05, 0.9) },
		"loss":          func(task *Task) { task.Loss = CrossEntropy },
		"seed":          func(task *Task) { task.Seed = 2 },
		"augmentation":  func(task *Task) { task.Data = digits().Augment(dataset.RandomFlip) },
		"smoothing":     func(task *Task) { task.Loss = NLL.Smooth(0.1) },
		"weight decay":  func(task *Task) { task.Optimizer = task.Optimizer.WeightDecay(0.1) },
		"optimizer":     func(task *Task) { task.Optimizer = Adam(0.05) },
		"Muon":          func(task *Task) { task.Optimizer = Muon(0.05, 0.1) },
		"decay":         func(task *Task) { task.Optimizer = Muon(0.05, 0.2) },
		"turn":          func(task *Task) { task.Optimizer = Muon(0.05, 0.1).Turn(0.2) },
		"schedule":      func(task *Task) { task.Schedule = Cosine() },
		"line":          func(task *Task) { task.Schedule = Linear() },
		"warm-up":       func(task *Task) { task.Schedule = OneCycle(0.3) },
	} {
		if name(change) == first {
			t.Errorf("another %s is the same run", what)
		}
	}
	if a, b := name(func(task *Task) { task.Schedule = OneCycle(0.3) }), name(func(task *Task) { task.Schedule = OneCycle(0.2) }); a == b {
		t.Error("another warm-up is the same run")
	}
	if a, b := name(func(task *Task) { task.Optimizer = Muon(0.05, 0.1) }), name(func(task *Task) { task.Optimizer = Muon(0.05, 0.2) }); a == b {
		t.Error("another decay of Muon is the same run")
	}
	if a, b := name(func(task *Task) { task.Optimizer = Muon(0.05, 0.1) }), name(func(task *Task) { task.Optimizer = Muon(0.05, 0.1).Turn(0.2) }); a == b {
		t.Error("Muon that turns filters is the same run")
	}
	other := name(func(task *Task) {
		task.TestBatch, task.Progress, task.SaveEvery, task.Fresh = 7, LinesTo(os.Stderr, 7), time.Hour, true
	})
	if other != first {
		t.Error("how progress is shown and kept makes another run")
	}
}

func TestInterruptedRunGoesOnExactly(t *testing.T) {
	isolate(t)
	c := quick()
	whole := mustFit(t, c)
	isolate(t)
	err := interruptAt(t, 3, c)
	checkError(t, err, "interrupted after batch 3 of 8 in epoch 1", "run it again to go on")
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("%v is not ErrInterrupted", err)
	}
	if _, err := c.Load(); err == nil {
		t.Error("an interrupted run was loaded as finished")
	}
	checkError(t, interruptAt(t, 11, c), "interrupted after batch 3 of 8 in epoch 2")
	var out bytes.Buffer
	c.Progress = LinesTo(&out, 1)
	resumed := mustFit(t, c)
	if !slices.Equal(whole.History.Losses, resumed.History.Losses) || whole.Result.TestLoss != resumed.Result.TestLoss {
		t.Errorf("losses\n%v, test %v\nwant\n%v, test %v", resumed.History.Losses, resumed.Result.TestLoss, whole.History.Losses, whole.Result.TestLoss)
	}
	if !strings.Contains(out.String(), "going on after step 11 of 16") {
		t.Errorf("printed\n%s", &out)
	}
}

// pressed is a context that is cancelled when somebody waits for that.
type pressed struct{ context.Context }

func (pressed) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// A step that takes long is left alone after an interrupt: with the variables as they were, or without them where a
// checkpoint has them.
func TestInterruptDuringALongStep(t *testing.T) {
	before := patience
	defer func() { patience = before }()
	c := quick().of(nn.Named("slow", nn.Conv(32, 5).Padding(2), nn.Conv(32, 5).Padding(2), nn.Flatten, nn.Dense(10), nn.LogSoftmax))
	c.Batch = 256
	isolate(t)
	whole := mustFit(t, c)
	for what, steps := range map[string]int{"at a checkpoint": 0, "behind a checkpoint": 1} {
		t.Run(what, func(t *testing.T) {
			isolate(t)
			checkError(t, interruptAt(t, 1, c), "interrupted after batch 1 of 2 in epoch 1")
			now := untested(t, c).t
			if err := errors.Join(now.resume(), now.compile(t.Context())); err != nil {
				t.Fatal(err)
			}
			for range steps {
				losses, err := now.trainer.steps(t.Context(), now.portion(now.order(0), 1, 1))
				if err == nil {
					err = now.record(0, 1, losses)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			patience = 0
			next := now.portion(now.order(0), 1, 1)
			next.interrupted = now.onInterrupt(time.Hour)
			_, err := now.trainer.steps(pressed{t.Context()}, next)
			patience = before
			if !errors.Is(err, ErrInterrupted) {
				t.Fatalf("a step that was interrupted gave the error %v", err)
			}
			_, err = now.end(nil, err)
			checkError(t, err, fmt.Sprintf("interrupted after batch %d of 2 in epoch 1", 1+steps))
			resumed := mustFit(t, c)
			if !slices.Equal(whole.History.Losses, resumed.History.Losses) || whole.Result.TestLoss != resumed.Result.TestLoss {
				t.Errorf("losses %v, want %v", resumed.History.Losses, whole.History.Losses)
			}
		})
	}
}

func TestDamagedCheckpointFallsBack(t *testing.T) {
	c := quick()
	c.Epochs = 3
	isolate(t)
	whole := mustFit(t, c)
	for what, damage := range map[string]func(content []byte) []byte{
		"truncated":   func(content []byte) []byte { return content[:len(content)/2] },
		"bit-flipped": func(content []byte) []byte { content[len(content)-9] ^= 1; return content },
		"empty":       func([]byte) []byte { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			isolate(t)
			checkError(t, interruptAt(t, 20, c), "interrupted")
			paths := checkpoints(mustPlan(t, c))
			if len(paths) != 2 {
				t.Fatalf("checkpoints: %v", paths)
			}
			content, _ := os.ReadFile(paths[1])
			os.WriteFile(paths[1], damage(content), 0o644)
			var out bytes.Buffer
			again := c
			again.Progress = LinesTo(&out, 1)
			resumed := mustFit(t, again)
			if !slices.Equal(whole.History.Losses, resumed.History.Losses) {
				t.Error("the losses differ from an uninterrupted run's")
			}
			if !strings.Contains(out.String(), "set aside, going on from the checkpoint before it\n") || !strings.Contains(out.String(), "going on after step 16 of 24") {
				t.Errorf("printed\n%s", &out)
			}
		})
	}
}

func TestCheckpointOfAnotherRun(t *testing.T) {
	isolate(t)
	c := quick()
	whole := mustFit(t, c)
	other := c
	other.Seed = 2
	checkError(t, interruptAt(t, 3, other), "interrupted")
	path := checkpoints(mustPlan(t, other))[0]
	moved := inTraining(whole.plan, filepath.Base(path))
	os.MkdirAll(filepath.Dir(moved), 0o755)
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c.Progress, c.Fresh = LinesTo(&out, 1), true
	run := mustFit(t, c)
	if !strings.Contains(out.String(), moved+": it is of another run; set aside") {
		t.Errorf("printed\n%s", &out)
	}
	if !slices.Equal(run.History.Losses, whole.History.Losses) {
		t.Error("the losses differ from an uninterrupted run's")
	}
}

func TestLossThatIsNotANumber(t *testing.T) {
	isolate(t)
	good := quick()
	stored := mustFit(t, good)
	c := quick()
	c.Optimizer = SGD(1e20, 0.5)
	_, err := c.of(zoo.CNN(2)).FitContext(context.Background())
	checkError(t, err, "the loss became", "in epoch 1 at batch", "learning rate 1e+20 is too high", "try a tenth of it")
	// The epoch's only step is what spoils the weights.
	c.Epochs, c.Batch, c.Optimizer = 1, 512, SGD(3e38, 0)
	_, err = c.FitContext(context.Background())
	checkError(t, err, "the loss in the test after epoch 1 is NaN", "learning rate 3e+38 is too high")
	if _, err := good.Load(); err != nil {
		t.Errorf("the run that was stored before: %v", err)
	}
	if _, err := os.Stat(filepath.Join(stored.Dir(), "result.json")); err != nil {
		t.Error(err)
	}
}

// Before any step no learning rate can be the cause, so the training has not diverged.
func TestFirstLossThatIsNotANumber(t *testing.T) {
	isolate(t)
	for value, of := range map[string]func(*graph.Node) *graph.Node{
		"-Inf": graph.Log, "+Inf": func(zero *graph.Node) *graph.Node { return graph.Neg(graph.Log(zero)) },
		"NaN": func(zero *graph.Node) *graph.Node { return graph.Div(zero, zero) },
	} {
		c := quick()
		c.Loss = LossFunc("wrong", func(outputs, _ *graph.Node) *graph.Node {
			return of(graph.MulScalar(graph.ReduceSum(outputs, -1), 0))
		})
		_, err := c.FitContext(context.Background())
		checkError(t, err, "the loss of the first batch is "+value+", before any step, so the learning rate is not the cause: look for")
		if errors.As(err, new(Diverged)) {
			t.Errorf("%v has diverged", err)
		}
	}
}

// onePixel has a batch norm whose maps are of one pixel.
func onePixel() nn.Layer {
	return nn.Named("Small", nn.Conv(4, 28), nn.BatchNorm, nn.Flatten, nn.Dense(10), nn.LogSoftmax)
}

// What a failed Fit or Load returns, and what is made by hand, is refused in a line.
func TestRunByHand(t *testing.T) {
	isolate(t)
	for _, r := range []*Run{nil, {}, {Task: quick()}} {
		var errs []error
		for _, f := range []func() (*Predictions, error){r.Test, r.TestFlipped, func() (*Predictions, error) { return r.TestAsInTraining(2) },
			func() (*Predictions, error) { return r.TestOn(&dataset.Split{Labels: []byte{1}}) }} {
			_, err := f()
			errs = append(errs, err)
		}
		_, weights := r.Weights("dense1/weights")
		_, probe := r.Probe()
		_, model := r.Model()
		_, activations := r.Activations(&dataset.Split{Labels: []byte{1}}, 0)
		for _, err := range append(errs, weights, probe, model, activations) {
			if err == nil || err.Error() != "this is not a finished run: get one with Fit or Load" {
				t.Errorf("error %v", err)
			}
		}
		if r.Dir() != "" || r.Differs(r) != "" {
			t.Errorf("it is in %q and differs by %q", r.Dir(), r.Differs(r))
		}
	}
	for _, try := range []func(Task) error{
		func(t Task) error { _, err := t.Fit(); return err },
		func(t Task) error { _, err := t.Load(); return err },
		func(t Task) error { _, err := t.Worker(); return err },
		func(t Task) error { _, err := t.Gradients(); return err },
	} {
		checkError(t, try(Task{}), "the task has no network: set Net")
	}
	run := mustFit(t, quick())
	_, err := run.Activations(nil, 0)
	checkError(t, err, "there is no split: get one with Train, Validation or Test of the data set")
}

func TestSettingsThatCannotWork(t *testing.T) {
	isolate(t)
	for want, change := range map[string]func(c *Task){
		"epochs is 0: it must be at least 1":                              func(c *Task) { c.Epochs = 0 },
		"epochs is -1":                                                    func(c *Task) { c.Epochs = -1 },
		"batch is 0: it must be at least 1":                               func(c *Task) { c.Batch = 0 },
		"batch is 513, more than the 512 training images of MNIST sample": func(c *Task) { c.Batch = 513 },
		"learning rate is -0.1: it must be above 0":                       func(c *Task) { c.Optimizer = SGD(-0.1, 0) },
		"learning rate is 0":                                              func(c *Task) { c.Optimizer = SGD(0, 0) },
		"learning rate is 1e-60, which is 0 as a float32":                 func(c *Task) { c.Optimizer = Adam(1e-60) },
		"learning rate is 1e+60, which is +Inf as a float32":              func(c *Task) { c.Optimizer = SGD(1e60, 0) },
		"filters turn by 1e+60: it must be above 0 and finite":            func(c *Task) { c.Optimizer = Muon(0.1, 0).Turn(1e60) },
		"L2 penalty is 1e+60: it must be at least 0 and finite":           func(c *Task) { c.Optimizer = SGD(0.1, 0).WeightDecay(1e60) },
		"learning rate is NaN":                                            func(c *Task) { c.Optimizer = SGD(math.NaN(), 0) },
		"momentum is 1: it must be at least 0 and below 1":                func(c *Task) { c.Optimizer = SGD(0.1, 1) },
		"momentum of Muon is 1: it must be above 0 and below 1":           func(c *Task) { c.Optimizer = Muon(0.1, 0).Momentum(1) },
		"momentum of Muon is 0: it must be above 0 and below 1":           func(c *Task) { c.Optimizer = Muon(0.1, 0).Momentum(0) },
		"Adam cannot turn filters: Muon can":                              func(c *Task) { c.Optimizer = Adam(0.1).Turn(0.2) },
		"filters turn by 0: it must be above 0 and finite":                func(c *Task) { c.Optimizer = Muon(0.1, 0).Turn(0) },
		"filters turn by NaN: it must be above 0 and finite":              func(c *Task) { c.Optimizer = Muon(0.1, 0).Turn(math.NaN()) },
		"Adam has no momentum to set: Muon has":                           func(c *Task) { c.Optimizer = Adam(0.1).Momentum(0.9) },
		"no optimizer: set one":                                           func(c *Task) { c.Optimizer = Optimizer{} },
		"L2 penalty is -1: it must be at least 0":                         func(c *Task) { c.Optimizer = SGD(0.1, 0).WeightDecay(-1) },
		"gradients are clipped to norm 0: it must be above 0 and finite":  func(c *Task) { c.Optimizer = SGD(0.1, 0).Clip(0) },
		"gradients are clipped to norm +Inf":                              func(c *Task) { c.Optimizer = Adam(0.1).Clip(math.Inf(1)) },
		"gradients are clipped to norm NaN":                               func(c *Task) { c.Optimizer = Adam(0.1).Clip(math.NaN()) },
		"gradients are clipped to norm 1e-60":                             func(c *Task) { c.Optimizer = Adam(0.1).Clip(1e-60) },
		"labels are smoothed by 1: it must be at least 0 and below 1":     func(c *Task) { c.Loss = NLL.Smooth(1) },
		"labels cannot be smoothed for the mean squared error":            func(c *Task) { c.Loss = MSE.Smooth(0.1) },
		"learning rate is +Inf: it must be above 0":                       func(c *Task) { c.Optimizer = Adam(math.Inf(1)) },
		"weight decay is +Inf":                                            func(c *Task) { c.Optimizer = Muon(0.1, math.Inf(1)) },
		"AdamW has the weight decay 0.1, apart from the gradients, and WeightDecay(0.2) adds an L2 penalty to them: leave one of the two out": func(c *Task) {
			c.Optimizer = AdamW(0.01, 0.1).WeightDecay(0.2)
		},
		"Muon has the weight decay 0.1, apart":                          func(c *Task) { c.Optimizer = Muon(0.01, 0.1).WeightDecay(0.2) },
		"progress to no writer: give LinesTo one, such as os.Stdout":    func(c *Task) { c.Progress = LinesTo(nil, 1) },
		"progress every 0 steps: it must be at least 1":                 func(c *Task) { c.Progress = Dots(0) },
		"a checkpoint every -1s":                                        func(c *Task) { c.SaveEvery = -time.Second },
		"the warm-up is 1 of all steps: it must be above 0 and below 1": func(c *Task) { c.Schedule = OneCycle(1) },
		`the schedule "down" gives -0.5 of the learning rate when 0.5 of the training is done: it must be at least 0 and`: func(c *Task) {
			c.Schedule = ScheduleFunc("down", func(done float64) float64 { return min(1, math.Floor(4-4*done)-1.5) })
		},
		`the schedule "root" gives NaN of the learning rate when 0 of the`: func(c *Task) {
			c.Schedule = ScheduleFunc("root", func(done float64) float64 { return math.Sqrt(done - 0.5) })
		},
		`the schedule "inverse" gives +Inf of the learning rate when 0 of the`: func(c *Task) {
			c.Schedule = ScheduleFunc("inverse", func(done float64) float64 { return 1 / done })
		},
		"a schedule of your own has a name and a function: train.ScheduleFunc": func(c *Task) { c.Schedule = ScheduleFunc("none", nil) },
		"a loss of your own has a name and a function: train.LossFunc":         func(c *Task) { c.Loss = LossFunc("none", nil) },
		"an optimizer of your own has a name and a function: train.OptimizerFunc": func(c *Task) {
			c.Optimizer = OptimizerFunc("none", 0.1, nil)
		},
		`the optimizer "twice" keeps two arrays of the same name`: func(c *Task) {
			c.Optimizer = OptimizerFunc("twice", 0.1, func(p Parameter) (*graph.Node, []*graph.Node) { return p.Value, p.Kept }, "m", "m")
		},
		`the optimizer "slash" keeps ["a/b"]: names must not be empty and have no slash`: func(c *Task) {
			c.Optimizer = OptimizerFunc("slash", 0.1, func(p Parameter) (*graph.Node, []*graph.Node) { return p.Value, p.Kept }, "a/b")
		},
		`the optimizer "few", for dense1/weights: it keeps 0 arrays, and names 1`: func(c *Task) {
			c.Optimizer = OptimizerFunc("few", 0.1, func(p Parameter) (*graph.Node, []*graph.Node) { return p.Value, nil }, "m")
		},
		`the optimizer "nothing", for dense1/weights: it gives nil, and must give arrays of the parameter's dimensions, (Float32)[784, `: func(c *Task) {
			c.Optimizer = OptimizerFunc("nothing", 0.1, func(Parameter) (*graph.Node, []*graph.Node) { return nil, nil })
		},
		`the optimizer "scalar", for dense1/weights: it gives (Float32), and must`: func(c *Task) {
			c.Optimizer = OptimizerFunc("scalar", 0.1, func(p Parameter) (*graph.Node, []*graph.Node) { return p.Rate, nil })
		},
		"own SGD has no momentum to set: Muon has": func(c *Task) { c.Optimizer = ownSGD(0.1, 0.5).Momentum(0.5) },
		`the loss "all", for 11 images of 10 classes: it gives (Float32)[11, 10], and must give a number for each image`: func(c *Task) {
			c.Loss = LossFunc("all", func(outputs, _ *graph.Node) *graph.Node { return outputs })
		},
		`the loss "sum", for 11 images of 10 classes: it gives (Float32), and`: func(c *Task) {
			c.Loss = LossFunc("sum", func(outputs, _ *graph.Node) *graph.Node { return graph.ReduceAllSum(outputs) })
		},
		`the loss "nothing", for 11 images of 10 classes: it gives nil`: func(c *Task) {
			c.Loss = LossFunc("nothing", func(_, _ *graph.Node) *graph.Node { return nil })
		},
		`the loss "mixed", for 11 images of 10 classes: data types`: func(c *Task) { c.Loss = LossFunc("mixed", graph.Mul) },
		"labels cannot be smoothed for the mixed":                   func(c *Task) { c.Loss = LossFunc("mixed", graph.Mul).Smooth(0.1) },
		"512 training images in batches of 73, a batch is one image, and batch-norm1 of Small needs more than one value": func(c *Task) {
			c.Net, c.Batch = onePixel(), 73
		},
		"512 training images in batches of 1, a batch is one image, and batch-norm1": func(c *Task) { c.Net, c.Batch = onePixel(), 1 },
		"the task has no network: set Net":                                           func(c *Task) { c.Net = nil },
		"precision is \"float8\": it must be train.Float32":                          func(c *Task) { c.Precision = "float8" },
		"test batch is -1":        func(c *Task) { c.TestBatch = -1 },
		"progress every -1 steps": func(c *Task) { c.Progress = Lines(-1) },
	} {
		c := quick()
		change(&c)
		_, err := c.FitContext(context.Background())
		checkError(t, err, want)
	}
	_, err := quick().of(nn.Sequential(nn.Flatten, nn.Dense(128))).FitContext(context.Background())
	checkError(t, err, "gives [128] values for an image, but MNIST sample has 10 classes: end the network with nn.Dense(10)")
	_, err = quick().of(nn.Named("Guesser", nn.Auxiliary(0.3, nn.Flatten, nn.Dense(5)), nn.Flatten, nn.Dense(10))).
		FitContext(context.Background())
	checkError(t, err, "an auxiliary classifier of Guesser gives [5] values for an image, but MNIST sample has 10 classes: end it with nn.Dense(10)")
	_, err = quick().of(nn.Named("Huge", nn.Flatten, nn.Dense(1<<40), nn.Dense(10), nn.LogSoftmax)).FitContext(context.Background())
	checkError(t, err, "the weights of Huge and their gradients take 6512640.0 GiB, and this machine has ", // 795·2⁴⁰·8 bytes
		" GiB of memory: make the network smaller; most are in dense1/weights, [784 1099511627776]")
	_, err = quick().of(nn.Named("N", nn.Conv(10, 29))).FitContext(context.Background())
	checkError(t, err, "N, layer conv1, on images of 28×28×1", "the window does not fit")
	few := quick()
	few.Data = few.Data.First(1000)
	_, err = few.FitContext(context.Background())
	checkError(t, err, "cannot use the first 1000")
	t.Setenv(RunsEnv, "/proc/convbook")
	_, err = quick().FitContext(context.Background())
	checkError(t, err, "cannot keep the run in /proc/convbook/Linear-MNIST-sample-", "set "+RunsEnv+" to another folder")
	t.Setenv(RunsEnv, "runs")
	_, err = quick().FitContext(context.Background())
	checkError(t, err, "CONVBOOK_RUNS=runs is not an absolute path")
}

func TestLoadWithoutRun(t *testing.T) {
	isolate(t)
	_, err := quick().Load()
	checkError(t, err, "Linear was not trained on MNIST sample with these settings yet", "train it with Fit first")
	checkError(t, interruptAt(t, 3, quick()), "interrupted")
	_, err = quick().Load()
	checkError(t, err, "the training of Linear on MNIST sample with these settings (2 epochs", "stands after step 3: finish it with Fit")
}

// The second of two processes waits for the first and then finds the run done.
func TestTwoProcessesTrainOneRun(t *testing.T) {
	isolate(t)
	c := quick()
	other := flock.New(mustPlan(t, c).place.Dir() + ".lock")
	if err := other.Lock(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	c.Progress = LinesTo(&out, 1)
	_, err := c.FitContext(ctx)
	checkError(t, err, "interrupted while another process trains this run")
	if !strings.Contains(out.String(), "another process is training this run: waiting for it") {
		t.Errorf("printed %q", &out)
	}
	time.AfterFunc(300*time.Millisecond, func() { other.Unlock() })
	mustFit(t, c)
}

func TestTestAndActivationsAgree(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick().of(zoo.CNN(2)))
	predictions, err := run.Test()
	if err != nil {
		t.Fatal(err)
	}
	if predictions.Accuracy() != run.Result.TestAccuracy || math.Abs(predictions.Loss()-run.Result.TestLoss) > 1e-9 {
		t.Errorf("accuracy %v and loss %v, the result says %v and %v", predictions.Accuracy(), predictions.Loss(), run.Result.TestAccuracy, run.Result.TestLoss)
	}
	test, err := digits().Test()
	if err != nil {
		t.Fatal(err)
	}
	activations, err := run.Activations(test, 3)
	if err != nil {
		t.Fatal(err)
	}
	if a := activations[0]; a.Layer.Path != "conv1" || !slices.Equal(a.Values.Dims, []int{24, 24, 2}) {
		t.Errorf("first: %s %v", a.Layer.Path, a.Values.Dims)
	}
	for class, got := range activations[len(activations)-1].Values.Values {
		if want := predictions.Outputs.At(3, class); math.Abs(float64(got-want)) > 1e-4 {
			t.Errorf("class %d: %v, the test gave %v", class, got, want)
		}
	}
	_, err = run.Activations(test, 256)
	checkError(t, err, "there is no image 256: the split has 256")
	_, err = run.Weights("conv9/weights")
	checkError(t, err, `CNN has no variable "conv9/weights": it has conv1/weights, conv1/bias`)
}

// Several goroutines may ask a run that was loaded without opening its data, as one on a published data set is: all use
// the same splits. go test -race tells more.
func TestRunIsAskedByMany(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick())
	run.plan.splits = nil
	opened := make([]*dataset.Split, 8)
	var group sync.WaitGroup
	for i := range opened {
		group.Go(func() {
			if p, err := run.Test(); err != nil || p.Accuracy() != run.Result.TestAccuracy {
				t.Errorf("accuracy %v (%v), the result says %v", p.Accuracy(), err, run.Result.TestAccuracy)
			}
			opened[i] = run.plan.splits.test
		})
	}
	group.Wait()
	for _, split := range opened {
		if split != opened[0] {
			t.Fatal("the data were opened more than once")
		}
	}
}

// What a flipped test says of an image is the mean of what the network gives for it and for its mirror image, made
// here.
func TestTestFlipped(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick().of(zoo.CNN(2)))
	flipped, err := run.TestFlipped()
	if err != nil {
		t.Fatal(err)
	}
	test, err := digits().Test()
	if err != nil {
		t.Fatal(err)
	}
	mirror := *test
	mirror.Pixels = slices.Clone(test.Pixels)
	for row := range slices.Chunk(mirror.Pixels, 28) {
		slices.Reverse(row)
	}
	for _, i := range []int{0, 7, test.Len() - 1} {
		var outputs [][]float32
		for _, split := range []*dataset.Split{test, &mirror} {
			activations, err := run.Activations(split, i)
			if err != nil {
				t.Fatal(err)
			}
			outputs = append(outputs, activations[len(activations)-1].Values.Values)
		}
		for class := range 10 {
			want := (outputs[0][class] + outputs[1][class]) / 2
			if got := flipped.Outputs.At(i, class); math.Abs(float64(got-want)) > 1e-4 {
				t.Errorf("image %d, class %d: %v, want %v", i, class, got, want)
			}
		}
		// A loss is that of the probabilities.
		if got, want := float64(flipped.Losses[i]), -math.Log(flipped.Probability(i, int(flipped.Labels[i]))); math.Abs(got-want) > 1e-5 {
			t.Errorf("image %d has the loss %v, want %v", i, got, want)
		}
	}
}

// Dropout drops other values in every batch, as it does in training: copies of one image get as many answers as there
// are batches, those of a batch being different too.
func TestDropoutInTestAsInTraining(t *testing.T) {
	isolate(t)
	task := quick().of(nn.Named("Dropping", nn.Flatten, nn.Dropout(0.5), nn.Dense(10)))
	task.Loss = CrossEntropy
	task.Data = dataset.New("copies", digits().Classes, 28, 28, 1, func() (train, test *dataset.Split, err error) {
		if train, err = digits().Train(); err != nil {
			return nil, nil, err
		}
		pixels := slices.Repeat(train.Pixels[:784], 10)
		return train, &dataset.Split{Pixels: pixels, Labels: make([]byte, 10)}, nil
	})
	run := mustFit(t, task)
	for _, batch := range []int{1, 4, 10} {
		p, err := run.TestAsInTraining(batch)
		if err != nil {
			t.Fatal(err)
		}
		different := map[string]bool{}
		for i := range 10 {
			different[fmt.Sprint(p.Outputs.Row(i).Values)] = true
		}
		if len(different) != 10 {
			t.Errorf("in batches of %d, ten copies of an image get %d answers", batch, len(different))
		}
	}
}

// A network that was not told that training is over normalises a batch by that batch's own mean and variance, worked
// out here by hand; one that behaves in training as in testing says the same as ever.
func TestTestAsInTraining(t *testing.T) {
	isolate(t)
	plain := mustFit(t, quick())
	usual, err := plain.Test()
	if err != nil {
		t.Fatal(err)
	}
	unswitched, err := plain.TestAsInTraining(20)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range usual.Outputs.Values {
		if got := unswitched.Outputs.Values[i]; math.Abs(float64(got-want)) > 1e-4 {
			t.Fatalf("without batch norm output %d is %v, want %v", i, got, want)
		}
	}

	small := mustFit(t, quick().of(onePixel()))
	_, err = small.TestAsInTraining(85)
	checkError(t, err, "of 256 test images in batches of 85, a batch is one image, and batch-norm1 of Small needs more")
	if _, err := small.TestAsInTraining(128); err != nil {
		t.Error(err)
	}

	task := quick().of(nn.Named("normalised", nn.BatchNorm, nn.Flatten, nn.Dense(10)))
	task.Loss = CrossEntropy
	run := mustFit(t, task)
	const batch = 32
	got, err := run.TestAsInTraining(batch)
	if err != nil {
		t.Fatal(err)
	}
	test, err := digits().Test()
	if err != nil {
		t.Fatal(err)
	}
	variable := func(name string) []float32 {
		values, err := run.Weights(name)
		if err != nil {
			t.Fatal(err)
		}
		return values.Values
	}
	scale, shift := float64(variable("batch-norm1/scale")[0]), float64(variable("batch-norm1/shift")[0])
	weights, bias := variable("dense1/weights"), variable("dense1/bias")
	size := len(test.Pixels) / test.Len()
	second := test.Pixels[batch*size : 2*batch*size]
	var x []float64
	var mean, variance float64
	for _, p := range second {
		x = append(x, (float64(p)/255-0.1307)/0.3081)
		mean += x[len(x)-1] / float64(len(second))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x))
	}
	for _, i := range []int{0, 1, batch - 1} {
		for class := range 10 {
			want := float64(bias[class])
			for j, v := range x[i*size : (i+1)*size] {
				want += float64(weights[j*10+class]) * (scale*(v-mean)/math.Sqrt(variance+1e-5) + shift)
			}
			if got := float64(got.Outputs.At(batch+i, class)); math.Abs(got-want) > 1e-3 {
				t.Errorf("image %d, class %d: %v, want %v", batch+i, class, got, want)
			}
		}
	}
	if _, err := run.TestAsInTraining(0); err == nil || !strings.Contains(err.Error(), "batch is 0") {
		t.Errorf("batches of 0: error %v", err)
	}
}

func TestPredictions(t *testing.T) {
	p := &Predictions{
		Outputs: array.New([]float32{
			3, 1, 2,
			0, 5, 5,
			-1, -2, -3}, 3, 3),
		Losses:  []float32{0.5, 2, 1},
		Labels:  []byte{0, 2, 1},
		Classes: []string{"a", "b", "c"},
	}
	if p.Class(0) != 0 || p.Class(1) != 1 || p.Class(2) != 0 {
		t.Errorf("classes %d %d %d", p.Class(0), p.Class(1), p.Class(2))
	}
	if p.Correct() != 1 || math.Abs(p.Accuracy()-100./3) > 1e-9 || math.Abs(p.Loss()-3.5/3) > 1e-6 {
		t.Errorf("%d correct, accuracy %v, loss %v", p.Correct(), p.Accuracy(), p.Loss())
	}
	if got, want := fmt.Sprint(p.Confusion()), "[[1 0 0] [1 0 0] [0 1 0]]"; got != want {
		t.Errorf("confusion %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(p.PerClass()), "[100 0 0]"; got != want {
		t.Errorf("%s %% right by class, want %s", got, want)
	}
	// The probabilities of a are 0.67, 0.003 and 0.67, a little more for the third; of c 0.24, 0.498 and 0.09.
	if got := p.Surest(); !slices.Equal(got, []int{0, 1, 1}) {
		t.Errorf("surest %v", got)
	}
	if !slices.Equal(p.Worst(2), []int{1, 2}) || len(p.Worst(9)) != 3 || len(p.Worst(-1)) != 0 {
		t.Errorf("worst %v", p.Worst(9))
	}
	if got, want := p.Probability(0, 2), math.Exp(2)/(math.Exp(1)+math.Exp(2)+math.Exp(3)); math.Abs(got-want) > 1e-6 {
		t.Errorf("probability %v, want %v", got, want)
	}
}

// The order of an epoch is a permutation that the seed and the epoch decide.
func TestEpochOrder(t *testing.T) {
	a := shuffled(1000, 1, 0)
	if slices.Equal(a, shuffled(1000, 1, 1)) || slices.Equal(a, shuffled(1000, 2, 0)) || !slices.Equal(a, shuffled(1000, 1, 0)) {
		t.Error("the order does not depend on seed and epoch alone")
	}
	slices.Sort(a)
	for i, image := range a {
		if int(image) != i {
			t.Fatalf("image %d is missing", i)
		}
	}
}

// A model file that is not the network's is noticed.
func TestModelOfAnotherNetwork(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick())
	test, _ := digits().Test()
	if err := safetensors.Write(inRun(run, store.Model), map[string]safetensors.Tensor{"x": safetensors.Float32([]float32{1}, 1)}, nil); err != nil {
		t.Fatal(err)
	}
	_, err := sealed(t, run).Activations(test, 0)
	checkError(t, err, "is of another network: ", "needs values for dense1/weights, of dimensions [784 10]")
}

// A training program that was loaded, with its loop and the variables' memory given to it, trains to the last bit as
// one that was just compiled. With batches of 512 there is one step in an epoch, and so no loop.
func TestKeptProgramsTrainAlike(t *testing.T) {
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	if !device.IsCPU(backend) {
		t.Skip("programs are kept for the processor only")
	}
	isolate(t)
	folder := t.TempDir()
	t.Setenv("CONVBOOK_COMPILED", folder)
	programs := func() map[string]fs.FileInfo {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]fs.FileInfo{}
		for _, entry := range entries {
			if all[entry.Name()], err = entry.Info(); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	for _, batch := range []int{64, 512} {
		c := quick()
		c.Batch, c.Fresh = batch, true
		fresh := mustFit(t, c.of(zoo.CNN(2)))
		before := programs()
		longAgo := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		for name := range before {
			if err := os.Chtimes(filepath.Join(folder, name), longAgo, longAgo); err != nil {
				t.Fatal(err)
			}
		}
		loaded := mustFit(t, c.of(zoo.CNN(2)))
		used := 0
		for name, after := range programs() {
			if before[name] == nil || !os.SameFile(before[name], after) {
				t.Errorf("batches of %d: %s was compiled again", batch, name)
			}
			if after.ModTime().After(longAgo) {
				used++
			}
		}
		if used < 2 {
			t.Errorf("batches of %d: %d programs were loaded, want the one that trains and the one that tests", batch, used)
		}
		if !slices.Equal(fresh.History.Losses, loaded.History.Losses) {
			t.Errorf("batches of %d: losses %v, freshly compiled %v", batch, loaded.History.Losses, fresh.History.Losses)
		}
		if a, b := fresh.History.Epochs[1], loaded.History.Epochs[1]; a.TestLoss != b.TestLoss || a.TestAccuracy != b.TestAccuracy {
			t.Errorf("batches of %d: test %v, freshly compiled %v", batch, b, a)
		}
	}
}

// An augmentation of one's own trains as the library's does.
func TestAugmentFunc(t *testing.T) {
	isolate(t)
	task := quick()
	task.Data = digits().Augment(dataset.RandomFlip)
	want := mustFit(t, task)
	task.Data = digits().Augment(dataset.AugmentFunc("flip", 1, func(pictures, random *graph.Node) *graph.Node {
		chosen := graph.Reshape(graph.LessThan(random, graph.Const(random.Graph(), float32(0.5))), -1, 1, 1, 1)
		return graph.Where(graph.BroadcastToDims(chosen, pictures.Shape().Dimensions...), graph.Reverse(pictures, 2), pictures)
	}))
	run := mustFit(t, task)
	if !slices.Equal(run.History.Losses, want.History.Losses) || run.Result.TestLoss != want.Result.TestLoss {
		t.Errorf("losses %v and test loss %v, want %v and %v", run.History.Losses, run.Result.TestLoss,
			want.History.Losses, want.Result.TestLoss)
	}
	if run.Dir() == want.Dir() {
		t.Errorf("both are stored in %s", run.Dir())
	}
}
