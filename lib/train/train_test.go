package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/zoo"
)

func ExampleFit() {
	data := dataset.MNIST().Normalize(0.1307, 0.3081)
	run, err := Fit(zoo.CNN(6), data, Config{Epochs: 1, Batch: 64, Loss: NLL, Optimizer: SGD(0.01, 0.5), Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Result.TestAccuracy)
}

// digits is the small sample of MNIST, normalised.
func digits() dataset.Images {
	return sample.MNIST().Normalize(0.1307, 0.3081)
}

func linear() nn.Layer {
	return nn.Named("Linear", nn.Flatten, nn.Dense(10), nn.LogSoftmax)
}

// quick is a training of a second on the sample: 8 batches of 64 an epoch.
func quick() Config {
	return Config{Epochs: 2, Batch: 64, Loss: NLL, Optimizer: SGD(0.05, 0.5), Seed: 1, LogEvery: 1, Out: io.Discard}
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

func mustFit(t *testing.T, net nn.Layer, data dataset.Images, c Config) *Run {
	t.Helper()
	run, err := fit(context.Background(), net, data, c)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// unfinished is the run as it stands while it is trained.
func unfinished(r *Run) *Run {
	training := *r
	training.dir += trainingSuffix
	return &training
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
	data := digits()
	config := Config{Epochs: epochs, Batch: batch, Loss: NLL, Optimizer: SGD(rate, momentum), Seed: 5, Out: io.Discard, TestBatch: 100}
	run := mustFit(t, linear(), data, config)

	train, test, err := open(data)
	if err != nil {
		t.Fatal(err)
	}
	const inputs, classes = 784, 10
	start := newStoreOf(t, run)
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
		order := epochOrder(train.Len(), 5, epoch)
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
	got, dims, err := run.Weights("dense1/weights")
	if err != nil || !slices.Equal(dims, []int{inputs, classes}) {
		t.Fatal(dims, err)
	}
	for k := range weights {
		if math.Abs(float64(got[k])-weights[k]) > 1e-4 {
			t.Fatalf("weight %d: %v, want %v", k, got[k], weights[k])
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

// newStoreOf returns the initial values of a run's variables by their names.
func newStoreOf(t *testing.T, r *Run) map[string][]float64 {
	t.Helper()
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	store, err := newStore(r, backend)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{}
	for _, v := range r.trace.Variables {
		for _, x := range tensors.MustCopyFlatData[float32](store.GetVariable(nn.Path(v.Name)).MustValue()) {
			values[v.Name] = append(values[v.Name], float64(x))
		}
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
	outputs, err := graph.ExecOnceN(backend, func(scores, labels *graph.Node) []*graph.Node {
		return []*graph.Node{
			CrossEntropy.test(scores, labels),
			NLL.test(graph.LogSoftmax(scores), labels),
			CrossEntropy.test(graph.LogSoftmax(scores), labels),
			MSE.test(scores, labels),
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
	first := mustFit(t, zoo.CNN(6), digits(), c)
	c.Fresh = true
	second := mustFit(t, zoo.CNN(6), digits(), c)
	if !slices.Equal(first.History.Losses, second.History.Losses) {
		t.Error("the same seed gives other losses")
	}
	c.Seed = 2
	if slices.Equal(first.History.Losses, mustFit(t, zoo.CNN(6), digits(), c).History.Losses) {
		t.Error("another seed gives the same losses")
	}
}

func TestStoredRunIsReturnedAndPrintedAgain(t *testing.T) {
	runs := isolate(t)
	c := quick()
	var first, second bytes.Buffer
	c.Out = &first
	trained := mustFit(t, linear(), digits(), c)
	c.Out = &second
	started := time.Now()
	stored := mustFit(t, linear(), digits(), c)
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
	loaded, err := Load(linear(), digits(), c)
	if err != nil || loaded.Result != stored.Result {
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
	for _, key := range []string{"network", "parameters", "dataset", "config", "seed", "epochs", "test_loss", "test_accuracy",
		"train_seconds", "compile_seconds", "device", "versions", "started_at"} {
		if !strings.Contains(string(text), `"`+key+`": `) {
			t.Errorf("result.json lacks %s", key)
		}
	}
}

func TestWhatMakesAnotherRun(t *testing.T) {
	isolate(t)
	base := quick()
	name := func(net nn.Layer, data dataset.Images, change func(c *Config)) string {
		c := base
		change(&c)
		run, err := newRun(context.Background(), net, data, c)
		if err != nil {
			t.Fatal(err)
		}
		return run.Dir()
	}
	same := func(*Config) {}
	first := name(linear(), digits(), same)
	for what, other := range map[string]string{
		"network":       name(zoo.CNN(6), digits(), same),
		"size":          name(zoo.CNN(7), digits(), same),
		"normalisation": name(linear(), sample.MNIST(), same),
		"permutation":   name(linear(), digits().Permute(dataset.Permutation(784, 1)), same),
		"fewer images":  name(linear(), digits().First(99), same),
		"epochs":        name(linear(), digits(), func(c *Config) { c.Epochs = 3 }),
		"batch":         name(linear(), digits(), func(c *Config) { c.Batch = 32 }),
		"rate":          name(linear(), digits(), func(c *Config) { c.Optimizer = SGD(0.01, 0.5) }),
		"momentum":      name(linear(), digits(), func(c *Config) { c.Optimizer = SGD(0.05, 0.9) }),
		"loss":          name(linear(), digits(), func(c *Config) { c.Loss = CrossEntropy }),
		"seed":          name(linear(), digits(), func(c *Config) { c.Seed = 2 }),
		"augmentation":  name(linear(), digits().Augment(dataset.RandomFlip), same),
		"smoothing":     name(linear(), digits(), func(c *Config) { c.Loss = NLL.Smooth(0.1) }),
		"nesterov":      name(linear(), digits(), func(c *Config) { c.Optimizer = Nesterov(0.05, 0.5) }),
		"decay":         name(linear(), digits(), func(c *Config) { c.Optimizer = c.Optimizer.WeightDecay(0.1) }),
		"optimizer":     name(linear(), digits(), func(c *Config) { c.Optimizer = Adam(0.05) }),
		"schedule":      name(linear(), digits(), func(c *Config) { c.Schedule = Cosine() }),
	} {
		if other == first {
			t.Errorf("another %s is the same run", what)
		}
	}
	if other := name(linear(), digits(), func(c *Config) { c.LogEvery, c.TestBatch, c.Out = 7, 7, os.Stderr }); other != first {
		t.Error("how progress is shown makes another run")
	}
}

// interruptAt trains the linear network until the given step and stops there.
func interruptAt(t *testing.T, step int, c Config) error {
	t.Helper()
	return interruptFitAt(t, step, linear(), digits(), c)
}

func interruptFitAt(t *testing.T, step int, net nn.Layer, data dataset.Images, c Config) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.Line = func(s Step) string {
		if (s.Epoch-1)*s.Batches+s.Batch == step-1 {
			cancel()
		}
		return s.String()
	}
	_, err := fit(ctx, net, data, c)
	return err
}

func TestInterruptedRunGoesOnExactly(t *testing.T) {
	isolate(t)
	c := quick()
	whole := mustFit(t, linear(), digits(), c)
	isolate(t)
	err := interruptAt(t, 3, c)
	checkError(t, err, "interrupted after batch 3 of 8 in epoch 1", "run it again to go on")
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("%v is not ErrInterrupted", err)
	}
	if _, err := Load(linear(), digits(), c); err == nil {
		t.Error("an interrupted run was loaded as finished")
	}
	checkError(t, interruptAt(t, 11, c), "interrupted after batch 3 of 8 in epoch 2")
	var out bytes.Buffer
	c.Out = &out
	resumed := mustFit(t, linear(), digits(), c)
	if !slices.Equal(whole.History.Losses, resumed.History.Losses) || whole.Result.TestLoss != resumed.Result.TestLoss {
		t.Errorf("losses\n%v, test %v\nwant\n%v, test %v", resumed.History.Losses, resumed.Result.TestLoss, whole.History.Losses, whole.Result.TestLoss)
	}
	if !strings.Contains(out.String(), "going on after step 11 of 16") {
		t.Errorf("printed\n%s", &out)
	}
}

func TestDamagedCheckpointFallsBack(t *testing.T) {
	c := quick()
	c.Epochs = 3
	isolate(t)
	whole := mustFit(t, linear(), digits(), c)
	for what, damage := range map[string]func(content []byte) []byte{
		"truncated":   func(content []byte) []byte { return content[:len(content)/2] },
		"bit-flipped": func(content []byte) []byte { content[len(content)-9] ^= 1; return content },
		"empty":       func([]byte) []byte { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			isolate(t)
			checkError(t, interruptAt(t, 20, c), "interrupted")
			run, _ := newRun(context.Background(), linear(), digits(), c)
			checkpoints := unfinished(run).checkpoints()
			if len(checkpoints) != 2 {
				t.Fatalf("checkpoints: %v", checkpoints)
			}
			content, _ := os.ReadFile(checkpoints[0])
			os.WriteFile(checkpoints[0], damage(content), 0o644)
			var out bytes.Buffer
			again := c
			again.Out = &out
			resumed := mustFit(t, linear(), digits(), again)
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
	whole := mustFit(t, linear(), digits(), c)
	other := c
	other.Seed = 2
	checkError(t, interruptAt(t, 3, other), "interrupted")
	training := unfinished(whole)
	stranger, _ := newRun(context.Background(), linear(), digits(), other)
	path := unfinished(stranger).checkpoints()[0]
	os.MkdirAll(training.Dir(), 0o755)
	moved := training.path(filepath.Base(path))
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c.Out, c.Fresh = &out, true
	run := mustFit(t, linear(), digits(), c)
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
	stored := mustFit(t, linear(), digits(), good)
	c := quick()
	c.Optimizer = SGD(1e20, 0.5)
	_, err := fit(context.Background(), zoo.CNN(6), digits(), c)
	checkError(t, err, "the loss became", "in epoch 1 at batch", "learning rate 1e+20 is too high", "try a tenth of it")
	if _, err := Load(linear(), digits(), good); err != nil {
		t.Errorf("the run that was stored before: %v", err)
	}
	if _, err := os.Stat(filepath.Join(stored.Dir(), "result.json")); err != nil {
		t.Error(err)
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	isolate(t)
	for want, change := range map[string]func(c *Config){
		"epochs is 0: it must be at least 1":                              func(c *Config) { c.Epochs = 0 },
		"epochs is -1":                                                    func(c *Config) { c.Epochs = -1 },
		"batch is 0: it must be at least 1":                               func(c *Config) { c.Batch = 0 },
		"batch is 513, more than the 512 training images of MNIST sample": func(c *Config) { c.Batch = 513 },
		"learning rate is -0.1: it must be above 0":                       func(c *Config) { c.Optimizer = SGD(-0.1, 0) },
		"learning rate is 0":                                              func(c *Config) { c.Optimizer = SGD(0, 0) },
		"learning rate is NaN":                                            func(c *Config) { c.Optimizer = SGD(math.NaN(), 0) },
		"momentum is 1: it must be at least 0 and below 1":                func(c *Config) { c.Optimizer = SGD(0.1, 1) },
		"no optimizer: set one":                                           func(c *Config) { c.Optimizer = Optimizer{} },
		"weight decay is -1: it must be at least 0":                       func(c *Config) { c.Optimizer = SGD(0.1, 0).WeightDecay(-1) },
		"labels are smoothed by 1: it must be at least 0 and below 1":     func(c *Config) { c.Loss = NLL.Smooth(1) },
		"labels cannot be smoothed for the mean squared error":            func(c *Config) { c.Loss = MSE.Smooth(0.1) },
		"learning rate is +Inf: it must be above 0":                       func(c *Config) { c.Optimizer = Adam(math.Inf(1)) },
		"weight decay is +Inf":                                            func(c *Config) { c.Optimizer = AdamW(0.1, math.Inf(1)) },
		"the learning rate changes times +Inf":                            func(c *Config) { c.Schedule = Stairs(1, math.Inf(1)) },
		"a checkpoint every -1s":                                          func(c *Config) { c.SaveEvery = -time.Second },
		"the warm-up is 1 of all steps: it must be above 0 and below 1":   func(c *Config) { c.Schedule = OneCycle(1) },
		"the factor must be above 0 and finite, the epochs at least 1":    func(c *Config) { c.Schedule = Stairs(0, 0.1) },
		"test batch is -1":                                                func(c *Config) { c.TestBatch = -1 },
		"progress every -1 steps":                                         func(c *Config) { c.LogEvery = -1 },
	} {
		c := quick()
		change(&c)
		_, err := fit(context.Background(), linear(), digits(), c)
		checkError(t, err, want)
	}
	_, err := fit(context.Background(), nn.Sequential(nn.Flatten, nn.Dense(128)), digits(), quick())
	checkError(t, err, "gives [128] values for an image, but MNIST sample has 10 classes: end the network with nn.Dense(10)")
	_, err = fit(context.Background(), nn.Named("N", nn.Conv(10, 29)), digits(), quick())
	checkError(t, err, "N, layer conv1, on images of 28×28×1", "the window does not fit")
	_, err = fit(context.Background(), linear(), digits().First(1000), quick())
	checkError(t, err, "cannot use the first 1000")
	t.Setenv(RunsEnv, "/proc/convbook")
	_, err = fit(context.Background(), linear(), digits(), quick())
	checkError(t, err, "cannot keep the run in /proc/convbook/Linear-MNIST-sample-", "set "+RunsEnv+" to another folder")
	t.Setenv(RunsEnv, "runs")
	_, err = fit(context.Background(), linear(), digits(), quick())
	checkError(t, err, "CONVBOOK_RUNS=runs is not an absolute path")
}

func TestLoadWithoutRun(t *testing.T) {
	isolate(t)
	_, err := Load(linear(), digits(), quick())
	checkError(t, err, "Linear was not trained on MNIST sample with these settings yet", "run the cell with train.Fit first")
}

// The second of two processes waits for the first and then finds the run done.
func TestTwoProcessesTrainOneRun(t *testing.T) {
	isolate(t)
	c := quick()
	run, _ := newRun(context.Background(), linear(), digits(), c)
	other := flock.New(run.Dir() + ".lock")
	if err := other.Lock(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	c.Out = &out
	_, err := fit(ctx, linear(), digits(), c)
	checkError(t, err, "interrupted while another process trains this run")
	if !strings.Contains(out.String(), "another process is training this run: waiting for it") {
		t.Errorf("printed %q", &out)
	}
	time.AfterFunc(300*time.Millisecond, func() { other.Unlock() })
	mustFit(t, linear(), digits(), c)
}

func TestTestAndActivationsAgree(t *testing.T) {
	isolate(t)
	run := mustFit(t, zoo.CNN(6), digits(), quick())
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
	if a := activations[0]; a.Layer != "conv1" || !slices.Equal(a.Dims, []int{24, 24, 6}) || len(a.Values) != 24*24*6 {
		t.Errorf("first: %s %v, %d values", a.Layer, a.Dims, len(a.Values))
	}
	for class, got := range activations[len(activations)-1].Values {
		if want := predictions.Outputs[3*10+class]; math.Abs(float64(got-want)) > 1e-4 {
			t.Errorf("class %d: %v, the test gave %v", class, got, want)
		}
	}
	_, err = run.Activations(test, 256)
	checkError(t, err, "there is no image 256: the split has 256")
	_, _, err = run.Weights("conv9/weights")
	checkError(t, err, `CNN has no variable "conv9/weights": it has conv1/weights, conv1/bias`)
}

// What a flipped test says of an image is the mean of what the network gives for it and for its mirror image, made here.
func TestTestFlipped(t *testing.T) {
	isolate(t)
	run := mustFit(t, zoo.CNN(6), digits(), quick())
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
			outputs = append(outputs, activations[len(activations)-1].Values)
		}
		for class := range 10 {
			want := (outputs[0][class] + outputs[1][class]) / 2
			if got := flipped.Outputs[i*10+class]; math.Abs(float64(got-want)) > 1e-4 {
				t.Errorf("image %d, class %d: %v, want %v", i, class, got, want)
			}
		}
	}
}

// A network that was not told that training is over normalises a batch by that batch's own mean and variance, worked out
// here by hand; one that behaves in training as in testing says the same as ever.
func TestTestAsInTraining(t *testing.T) {
	isolate(t)
	plain := mustFit(t, linear(), digits(), quick())
	usual, err := plain.Test()
	if err != nil {
		t.Fatal(err)
	}
	unswitched, err := plain.TestAsInTraining(20)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range usual.Outputs {
		if got := unswitched.Outputs[i]; math.Abs(float64(got-want)) > 1e-4 {
			t.Fatalf("without batch norm output %d is %v, want %v", i, got, want)
		}
	}

	config := quick()
	config.Loss = CrossEntropy
	run := mustFit(t, nn.Named("normalised", nn.BatchNorm, nn.Flatten, nn.Dense(10)), digits(), config)
	const batch = 20
	got, err := run.TestAsInTraining(batch)
	if err != nil {
		t.Fatal(err)
	}
	test, err := digits().Test()
	if err != nil {
		t.Fatal(err)
	}
	variable := func(name string) []float32 {
		values, _, err := run.Weights(name)
		if err != nil {
			t.Fatal(err)
		}
		return values
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
			if got := float64(got.Outputs[(batch+i)*10+class]); math.Abs(got-want) > 1e-3 {
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
		Outputs: []float32{
			3, 1, 2,
			0, 5, 5,
			-1, -2, -3},
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
	if !slices.Equal(p.Worst(2), []int{1, 2}) || len(p.Worst(9)) != 3 {
		t.Errorf("worst %v", p.Worst(9))
	}
	if got, want := p.Probability(0, 2), math.Exp(2)/(math.Exp(1)+math.Exp(2)+math.Exp(3)); math.Abs(got-want) > 1e-6 {
		t.Errorf("probability %v, want %v", got, want)
	}
}

// The order of an epoch is a permutation that the seed and the epoch decide.
func TestEpochOrder(t *testing.T) {
	a := epochOrder(1000, 1, 0)
	if slices.Equal(a, epochOrder(1000, 1, 1)) || slices.Equal(a, epochOrder(1000, 2, 0)) || !slices.Equal(a, epochOrder(1000, 1, 0)) {
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
	run := mustFit(t, linear(), digits(), quick())
	test, _ := digits().Test()
	if err := safetensors.Write(run.path(modelFile), map[string]safetensors.Tensor{"x": safetensors.Float32([]float32{1}, 1)}, nil); err != nil {
		t.Fatal(err)
	}
	_, err := run.Activations(test, 0)
	checkError(t, err, "is of another network: there is no dense1/weights of dimensions [784 10]")
}

// A training program that was loaded, with its loop and the variables' memory given to it, trains to the last bit as one
// that was just compiled. With batches of 512 there is one step in an epoch, and so no loop.
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
		fresh := mustFit(t, zoo.CNN(2), digits(), c)
		before := programs()
		longAgo := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		for name := range before {
			if err := os.Chtimes(filepath.Join(folder, name), longAgo, longAgo); err != nil {
				t.Fatal(err)
			}
		}
		loaded := mustFit(t, zoo.CNN(2), digits(), c)
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
