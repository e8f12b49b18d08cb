package train

import (
	"crypto/sha256"
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

	"github.com/google/renameio/v2"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/internal/env"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
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
// differently than before, so that stored runs of before do not count.
const format = 1

// Run is a training, finished, with its network.
type Run struct {
	Result  Result
	History History

	net    nn.Layer
	data   dataset.Images
	config Config
	trace  *nn.Trace
	dir    string
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
	Format      int    `json:"format"`
	Network     string `json:"network"`
	Fingerprint string `json:"fingerprint"`
	Dataset     string `json:"dataset"`
	Config      string `json:"config"`
}

// newRun describes a run and names its folder; nothing is read or written.
func newRun(net nn.Layer, data dataset.Images, c Config) (*Run, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	trace, err := nn.Summary(net, data.Height, data.Width, data.Channels)
	if err != nil {
		return nil, err
	}
	runs, err := RunsFolder()
	if err != nil {
		return nil, err
	}
	r := &Run{net: net, data: data, config: c, trace: trace}
	text, err := json.Marshal(r.describe())
	if err != nil {
		return nil, err
	}
	label := regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(trace.Network+"-"+data.Name, "-")
	r.dir = filepath.Join(runs, fmt.Sprintf("%s-%x", label, sha256.Sum256(text))[:len(label)+1+12])
	return r, nil
}

func (r *Run) describe() description {
	return description{format, r.trace.Network, r.trace.Fingerprint(), r.data.String(), r.config.key()}
}

// Dir is the run's folder.
func (r *Run) Dir() string { return r.dir }

// Load returns the finished run with these settings from disk, and an error if there is none.
func Load(net nn.Layer, data dataset.Images, c Config) (*Run, error) {
	r, err := newRun(net, data, c)
	if err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s was not trained on %s with these settings yet (%s): run the cell with train.Fit first",
				r.trace.Network, r.data.Name, r.config.key())
		}
		return nil, err
	}
	return r, nil
}

// load reads a finished run, or returns fs.ErrNotExist.
func (r *Run) load() error {
	if err := r.readJSON("result.json", &r.Result); err != nil {
		return err
	}
	if err := r.readJSON("history.json", &r.History); err != nil {
		return err
	}
	now := time.Now()
	os.Chtimes(r.dir, now, now) // shows which runs are in use, and which nobody asked for in a long time; no matter if it fails
	_, err := os.Stat(r.path(modelFile))
	return err
}

// Files of a finished run beside result.json, history.json and config.json.
const (
	modelFile = "model.safetensors" // the network's variables
	testFile  = "test.safetensors"  // what the network gives for each test image
)

func (r *Run) path(name string) string { return filepath.Join(r.dir, name) }

func (r *Run) readJSON(name string, v any) error {
	text, err := os.ReadFile(r.path(name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s is damaged (%w): remove the folder and train again", r.path(name), err)
	}
	return nil
}

func (r *Run) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return r.cannotWrite(renameio.WriteFile(r.path(name), append(text, '\n'), 0o644))
}

// cannotWrite explains an error of writing into the run's folder.
func (r *Run) cannotWrite(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot keep the run in %s: %w: make room or writable there, or set %s to another folder", r.dir, err, RunsEnv)
}

// Weights returns a variable of the trained network by its name, such as conv1/weights, with its dimensions: [kernel, kernel, channels, filters] of a convolution, [inputs, units] of a dense layer.
func (r *Run) Weights(name string) (values []float32, dims []int, err error) {
	tensors, _, err := safetensors.Read(r.path(modelFile))
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
	tensors, _, err := safetensors.Read(r.path(testFile))
	if err != nil {
		return nil, err
	}
	outputs, err := tensors["outputs"].Float32s()
	if err != nil {
		return nil, err
	}
	losses, err := tensors["losses"].Float32s()
	if err != nil {
		return nil, err
	}
	_, test, err := r.data.Open()
	if err != nil {
		return nil, err
	}
	return &Predictions{outputs, losses, test.Labels, r.data.Classes}, nil
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
	_, test, err := r.data.Open()
	if err != nil {
		return nil, err
	}
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
		outputs, losses, err := tester.test()
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
