package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/internal/env"
	"example.org/convbook/lib/nn"
)

// RunsEnv names the folder of runs. It is convbook/runs in the user's cache folder if not set.
const RunsEnv = "CONVBOOK_RUNS"

// RunsFolder is where runs are kept.
func RunsFolder() (string, error) {
	if dir, err := env.Folder(RunsEnv); dir != "" || err != nil {
		return dir, err
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder for runs (%w): set %s to a folder", err, RunsEnv)
	}
	return filepath.Join(dir, "convbook", "runs"), nil
}

// format is the version of what a run's result depends on beside its settings: raised when this package trains
// differently than before or keeps other files, so stored runs of before do not count.
const format = 2

// Run is a training, finished, with its network.
type Run struct {
	Result  Result
	History History

	net    nn.Layer
	data   dataset.Images
	config Config
	trace  *nn.Summary
	dir    string // where its files are, or will be
	about  []byte // its config.json

	trainSplit, testSplit *dataset.Split // nil before open
}

// Result is what a run says of itself in its result.json.
type Result struct {
	Network        string    `json:"network"`
	Parameters     int       `json:"parameters"`
	Dataset        string    `json:"dataset"`
	Config         string    `json:"config"`
	Seed           int       `json:"seed"`
	Epochs         int       `json:"epochs"`
	TestLoss       float64   `json:"test_loss"`
	TestAccuracy   float64   `json:"test_accuracy"`   // percent
	TrainSeconds   float64   `json:"train_seconds"`   // without compiling and testing
	CompileSeconds float64   `json:"compile_seconds"` // little where the programs were kept from before
	Device         string    `json:"device"`
	Versions       Versions  `json:"versions"`
	StartedAt      time.Time `json:"started_at"`
}

// Versions of what computed a run.
type Versions struct {
	Go    string `json:"go"`
	GoMLX string `json:"gomlx"`
	GoXLA string `json:"go_xla"`
}

// History is how a run went.
type History struct {
	Losses []float32      `json:"losses"` // of each step's batch, before the step
	Epochs []EpochHistory `json:"epochs"`
}

// EpochHistory is where a run stood after an epoch.
type EpochHistory struct {
	TrainLoss    float64 `json:"train_loss"` // mean over the epoch's steps, while they changed the network
	TestLoss     float64 `json:"test_loss"`
	TestAccuracy float64 `json:"test_accuracy"` // percent
	TrainSeconds float64 `json:"train_seconds"` // since the start, without compiling and testing
}

// description is a run's config.json: all that decides its result.
type description struct {
	Format      int      `json:"format"`
	Network     string   `json:"network"`
	Fingerprint string   `json:"fingerprint"`
	Dataset     string   `json:"dataset"`
	Contents    []string `json:"contents,omitempty"` // of a data set that its name does not identify: the splits' sums
	Config      string   `json:"config"`
}

// newRun describes a run and names its folder; nothing is written, and nothing is read but a data set of the user's own.
func newRun(ctx context.Context, net nn.Layer, data dataset.Images, c Config) (*Run, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	trace, err := nn.Summarize(net, data.Height, data.Width, data.Channels)
	if err != nil {
		return nil, err
	}
	runs, err := RunsFolder()
	if err != nil {
		return nil, err
	}
	r := &Run{net: net, data: data, config: c, trace: trace}
	identity, err := json.Marshal(trace.Description())
	if err != nil {
		return nil, err
	}
	about := description{Format: format, Network: trace.Network, Fingerprint: sum(identity), Dataset: data.String(), Config: c.key()}
	if !data.Published() {
		if err := r.open(ctx); err != nil {
			return nil, err
		}
		about.Contents = []string{r.trainSplit.Sum(), r.testSplit.Sum()}
	}
	if r.about, err = json.MarshalIndent(about, "", "  "); err != nil {
		return nil, err
	}
	label := regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(trace.Network+"-"+data.Name, "-")
	label = label[:min(len(label), longestLabel)]
	r.dir = filepath.Join(runs, label+"-"+sum(r.about)[:12])
	return r, nil
}

// longestLabel is how much of a run's folder's name tells people what is in it.
const longestLabel = 60

// open opens the data, once.
func (r *Run) open(ctx context.Context) error {
	if r.trainSplit != nil {
		return nil
	}
	type splits struct{ train, test *dataset.Split }
	both, err := attend(ctx, func() (splits, error) {
		train, test, err := r.data.Open()
		return splits{train, test}, err
	})
	if err != nil {
		return err
	}
	r.trainSplit, r.testSplit = both.train, both.test
	return nil
}

// Dir is the run's folder.
func (r *Run) Dir() string { return r.dir }

// Load returns the finished run with these settings from disk, and an error if there is none.
func Load(net nn.Layer, data dataset.Images, c Config) (*Run, error) {
	r, err := newRun(context.Background(), net, data, c)
	if err != nil {
		return nil, err
	}
	err = r.load()
	if errors.Is(err, fs.ErrNotExist) && r.finished() {
		if unlock, locked := r.lock(context.Background()); locked == nil {
			defer unlock()
			if r.finished() { // it was not another process that was just about to do it
				if err := r.install(); err != nil {
					return nil, err
				}
			}
			err = r.load()
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s was not trained on %s with these settings yet (%s): run the cell with train.Fit first",
			r.trace.Network, r.data.Name, r.config.key())
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Weights returns a variable of the trained network by its name, such as conv1/weights, with its dimensions: [kernel,
// kernel, channels, filters] of a convolution, [inputs, units] of a dense layer.
func (r *Run) Weights(name string) (values []float32, dims []int, err error) {
	tensors, err := r.readTensors(modelFile)
	if err != nil {
		return nil, nil, err
	}
	t, ok := tensors[nn.Path(name)]
	if !ok {
		var names []string
		for _, v := range r.trace.Variables {
			names = append(names, v.Name)
		}
		return nil, nil, fmt.Errorf("%s has no variable %q: it has %s", r.trace.Network, name, strings.Join(names, ", "))
	}
	values, err = t.Float32s()
	return values, t.Dims, err
}

// Test returns what the trained network gives for every test image.
func (r *Run) Test() (*Predictions, error) {
	tensors, err := r.readTensors(testFile)
	if err != nil {
		return nil, err
	}
	if err := r.open(context.Background()); err != nil {
		return nil, err
	}
	p := &Predictions{Labels: r.testSplit.Labels, Classes: r.data.Classes}
	for name, values := range map[string]*[]float32{"outputs": &p.Outputs, "losses": &p.Losses} {
		if *values, err = tensors[name].Float32s(); err != nil {
			return nil, r.damaged("%s, %s: %w", testFile, name, err)
		}
	}
	if len(p.Losses) != len(p.Labels) || len(p.Outputs) != len(p.Labels)*len(p.Classes) {
		return nil, r.damaged("%s has %d outputs and %d losses for %d test images of %d classes",
			testFile, len(p.Outputs), len(p.Losses), len(p.Labels), len(p.Classes))
	}
	return p, nil
}

// TestFlipped is Test with two looks at every image, at itself and at its mirror image: the outputs are the means of
// both.
func (r *Run) TestFlipped() (*Predictions, error) {
	return r.test(look{batch: r.config.TestBatch, flips: true})
}

// TestAsInTraining is Test with a network that was not told that training is over: batch norm takes mean and variance from
// so many test images at a time, not the averages that training kept, and dropout drops. It is what PyTorch does where
// net.eval() is forgotten. A prediction then depends on which other images are in its batch.
func (r *Run) TestAsInTraining(batch int) (*Predictions, error) {
	if batch < 1 {
		return nil, fmt.Errorf("batch is %d: it must be at least 1", batch)
	}
	return r.test(look{batch: batch, training: true})
}

// test looks at the test images in another way than the one whose predictions are stored.
func (r *Run) test(look look) (*Predictions, error) {
	backend, err := device.Open()
	if err != nil {
		return nil, err
	}
	store, err := r.store()
	if err != nil {
		return nil, err
	}
	if err := r.open(context.Background()); err != nil {
		return nil, err
	}
	test := r.testSplit
	p := &Predictions{Labels: test.Labels, Classes: r.data.Classes}
	whole := test.Len() - test.Len()%min(look.batch, test.Len())
	for _, part := range []*dataset.Split{test.Part(0, whole), test.Part(whole, test.Len())} { // the last batch may be short
		if part.Len() == 0 {
			continue
		}
		split, err := upload(backend, r.data, part)
		if err != nil {
			return nil, err
		}
		tester, err := newTester(backend, store, r.net, r.data, r.config, split, look)
		if err != nil {
			return nil, err
		}
		outputs, losses, err := tester.test(context.Background())
		if err != nil {
			return nil, err
		}
		p.Outputs, p.Losses = append(p.Outputs, outputs...), append(p.Losses, losses...)
	}
	return p, nil
}

// versions reads what this program was built from.
func versions() Versions {
	v := Versions{Go: strings.TrimPrefix(runtime.Version(), "go")}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			switch dep.Path {
			case "github.com/gomlx/gomlx":
				v.GoMLX = dep.Version
			case "github.com/gomlx/go-xla":
				v.GoXLA = dep.Version
			}
		}
	}
	return v
}
