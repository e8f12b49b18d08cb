package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

// Who trains.
const (
	ours  = "convbook"
	peers = "PyTorch"
)

// formats are raised when one of them trains differently than before: rows with a lower number count no more.
var formats = map[string]int{ours: 2, peers: 1}

// Work is a training by what decides its result. tools/bench/claims.py reads it, too.
type Work struct {
	Who     string   `json:"who"`
	Format  int      `json:"format"`
	Network string   `json:"network"` // see networks
	Data    Data     `json:"data"`
	Recipe  Recipe   `json:"recipe"`
	Seed    int      `json:"seed"`
	Start   *Work    `json:"start,omitempty"`  // whose weights are the initial ones
	Freeze  []string `json:"freeze,omitempty"` // layers that keep them
	Whiten  int      `json:"whiten,omitempty"` // training images whose patches the first convolution whitens and keeps whitening; 0: it learns
}

// Data is what is learned and tested.
type Data struct {
	Set      string    `json:"set"`                 // see sets
	Classes  []string  `json:"classes,omitempty"`   // in use; all if none is named
	PerClass int       `json:"per_class,omitempty"` // training images of each class, drawn by the seed; all if 0
	First    int       `json:"first,omitempty"`     // training images; all if 0
	Tests    int       `json:"tests,omitempty"`     // test images; all if 0
	Mean     []float64 `json:"mean"`                // of the pixels that are normalised
	Std      []float64 `json:"std"`
	Permuted bool      `json:"permuted,omitempty"` // the pixels, in the order that belongs to the seed
	Crop     int       `json:"crop,omitempty"`     // pixels by which training images are moved at most
	Reflects bool      `json:"reflects,omitempty"` // what comes in from outside then is the image's mirror image, and not black
	Flip     string    `json:"flip,omitempty"`     // how they are turned: random or alternate
}

// Recipe is how it is learned.
type Recipe struct {
	Epochs    int     `json:"epochs"`
	Batch     int     `json:"batch"`
	Loss      string  `json:"loss"` // negative log-likelihood or cross-entropy
	Smoothing float64 `json:"smoothing,omitempty"`
	Optimizer string  `json:"optimizer"` // SGD, Adam or Muon
	Rate      float64 `json:"rate"`
	Momentum  float64 `json:"momentum,omitempty"`
	Decay     float64 `json:"decay,omitempty"`
	Turn      float64 `json:"turn,omitempty"`      // rate of Muon's filters, if they keep their size
	WarmUp    float64 `json:"warm_up,omitempty"`   // share of the steps of one cycle; no cycle if 0
	Linear    bool    `json:"linear,omitempty"`    // the rate falls to 0 in a straight line; without this and a cycle it is constant
	Precision string  `json:"precision,omitempty"` // bfloat16, or float32 if empty
}

// networks are those that the claims are about, by the names of their works.
var networks = map[string]nn.Layer{
	"FC2Layer":    zoo.FC2Layer(8),
	"CNN":         zoo.CNN(6),
	"Net":         zoo.Net(10),
	"VGG16":       zoo.VGG16(10),
	"SpeedNet":    zoo.SpeedNet(10),
	withoutNorm:   vgg16WithoutNorm(),
	withReLU:      speedNetWithReLU(),
	"plain-6":     tower(2, false),
	"plain-14":    tower(6, false),
	"plain-26":    tower(12, false),
	"plain-50":    tower(24, false),
	"residual-6":  tower(2, true),
	"residual-14": tower(6, true),
	"residual-26": tower(12, true),
	"residual-50": tower(24, true),
}

const withoutNorm = "VGG16-without-batch-norm"

// vgg16WithoutNorm is zoo.VGG16 with nothing between a convolution and its ReLU.
func vgg16WithoutNorm() nn.Layer {
	var layers []nn.Layer
	for _, filters := range []int{64, zoo.M, 128, zoo.M, 256, 256, zoo.M, 512, 512, zoo.M, 512, 512, zoo.M} {
		if filters == zoo.M {
			layers = append(layers, nn.MaxPool(2))
		} else {
			layers = append(layers, nn.Conv(filters, 3).Padding(1), nn.ReLU)
		}
	}
	return nn.Named(withoutNorm, append(layers, nn.Flatten, nn.Dense(10))...)
}

const withReLU = "SpeedNet-with-ReLU"

// speedNetWithReLU is zoo.SpeedNet with the corner in its activations.
func speedNetWithReLU() nn.Layer {
	norm := nn.BatchNorm.NoScale()
	layers := []nn.Layer{nn.Conv(24, 2).NoBias(), nn.ReLU}
	for _, filters := range []int{64, 256, 256} {
		layers = append(layers,
			nn.Conv(filters, 3).Padding(1).NoBias(), nn.MaxPool(2), norm, nn.ReLU,
			nn.Conv(filters, 3).Padding(1).NoBias(), norm, nn.ReLU)
	}
	return nn.Named(withReLU, append(layers, nn.MaxPool(3), nn.Flatten, nn.Dense(10), nn.Times(1./9))...)
}

// tower is the tower of notebook 06: so many blocks of two convolutions, with a shortcut around each or not.
func tower(blocks int, residual bool) nn.Layer {
	layers := []nn.Layer{nn.Conv(16, 3).Stride(2).Padding(1).NoBias(), nn.BatchNorm, nn.ReLU, nn.MaxPool(2)}
	conv := nn.Conv(16, 3).Padding(1).NoBias()
	for range blocks {
		inside := []nn.Layer{conv, nn.BatchNorm, nn.ReLU, conv, nn.BatchNorm}
		if residual {
			inside = []nn.Layer{nn.Residual(inside...)}
		}
		layers = append(append(layers, inside...), nn.ReLU)
	}
	name := map[bool]string{false: "plain", true: "residual"}[residual]
	return nn.Named(fmt.Sprintf("%s-%d", name, 2*blocks+2), append(layers, nn.GlobalAvgPool, nn.Dense(10))...)
}

// sets are the data sets, and how PyTorch's side finds their files.
var sets = map[string]struct {
	open  func() dataset.Images
	fetch func() (folder string, err error)
}{
	"MNIST":        {dataset.MNIST, dataset.FetchMNIST},
	"CIFAR-10":     {dataset.CIFAR10, dataset.FetchCIFAR10},
	"MNIST sample": {sample.MNIST, nil}, // for tests
}

// key identifies the training.
func (w Work) key() string {
	text, err := json.Marshal(w)
	if err != nil {
		panic(err) // strings and numbers can be written
	}
	return string(text)
}

// String names it for people.
func (w Work) String() string {
	text := fmt.Sprintf("%s: %s on %s, %s, seed %d", w.Who, w.Network, w.Data, w.Recipe, w.Seed)
	if w.Start != nil {
		text += ", from what was learned of " + strings.Join(w.Start.Data.Classes, ", ")
	}
	if len(w.Freeze) > 0 {
		text += ", frozen " + strings.Join(w.Freeze, " ")
	}
	return text
}

func (d Data) String() string {
	s := d.Set
	if len(d.Classes) > 0 {
		s += ", " + strings.Join(d.Classes, ", ")
	}
	if d.PerClass > 0 {
		s += fmt.Sprintf(", %d images of each", d.PerClass)
	}
	if d.First > 0 {
		s += fmt.Sprintf(", first %d images", d.First)
	}
	if d.Permuted {
		s += ", pixels permuted"
	}
	return s
}

// String is the recipe as README's table has it.
func (r Recipe) String() string {
	all := train.Recipe{Epochs: r.Epochs, Batch: r.Batch, Loss: r.Loss, Smoothing: r.Smoothing, Optimizer: r.Optimizer, Rate: r.Rate,
		Momentum: r.Momentum, Decay: r.Decay, Turn: r.Turn, WarmUp: r.WarmUp, Precision: r.Precision}
	switch {
	case r.WarmUp > 0:
		all.Schedule = "one cycle"
	case r.Linear:
		all.Schedule = "linear"
	}
	return all.ButSeed()
}

// permutation is the order of the pixels, nil if they stay as they are.
func (w Work) permutation() []int {
	if !w.Data.Permuted {
		return nil
	}
	images := sets[w.Data.Set].open()
	return dataset.Permutation(images.Height*images.Width, w.Seed)
}

// images is the data set as a notebook describes it.
func (w Work) images() (dataset.Images, error) {
	d := w.Data
	images := sets[d.Set].open().First(d.First).FirstTest(d.Tests).PerClass(d.PerClass, w.Seed).Permute(w.permutation())
	if len(d.Classes) > 0 {
		images = images.Only(d.Classes...)
	}
	if len(d.Mean) == 1 {
		images = images.Normalize(d.Mean[0], d.Std[0])
	} else {
		images = images.NormalizeRGB([3]float64(d.Mean), [3]float64(d.Std))
	}
	var changes []dataset.Augmentation
	if d.Crop > 0 {
		crop := dataset.RandomCrop
		if d.Reflects {
			crop = dataset.ReflectedCrop
		}
		changes = append(changes, crop(images.Height, d.Crop))
	}
	switch d.Flip {
	case "":
	case "random":
		changes = append(changes, dataset.RandomFlip)
	case "alternate":
		changes = append(changes, dataset.AlternateFlip)
	default:
		return images, fmt.Errorf("there is no flip %q", d.Flip)
	}
	return images.Augment(changes...), nil
}

// task is the work as a notebook describes it.
func (w Work) task(ctx context.Context) (t train.Task, err error) {
	t.Net = networks[w.Network]
	if n := len(w.Data.Classes); n > 0 && w.Network == "Net" { // no other is trained on some of the classes
		t.Net = zoo.Net(n)
	}
	if t.Data, err = w.images(); err != nil {
		return t, err
	}
	if t.Config, err = w.config(); err != nil {
		return t, err
	}
	if w.Whiten > 0 {
		return t, whiten(&t, w.Whiten)
	}
	if w.Start == nil {
		return t, nil
	}
	start, err := w.Start.task(ctx)
	if err != nil {
		return t, err
	}
	t.Freeze = w.Freeze
	t.Start, err = start.FitContext(ctx)
	return t, err
}

// whiten lets the task's first convolution whiten, as notebook 15 does, by the patches of the first images.
func whiten(t *train.Task, images int) error {
	training, err := t.Data.Train()
	if err != nil {
		return err
	}
	filters, err := training.Part(0, images).Whitening(2)
	t.StartWeights, t.Freeze = map[string]array.Array{"conv1/weights": filters}, []string{"conv1"}
	return err
}

// config is the recipe as a notebook writes it.
func (w Work) config() (c train.Config, err error) {
	r := w.Recipe
	c = train.Config{Epochs: r.Epochs, Batch: r.Batch, Seed: w.Seed, Precision: train.Precision(r.Precision),
		Progress: train.Quiet}
	switch r.Loss {
	case "negative log-likelihood":
		c.Loss = train.NLL
	case "cross-entropy":
		c.Loss = train.CrossEntropy
	default:
		return c, fmt.Errorf("there is no loss %q", r.Loss)
	}
	if r.Smoothing > 0 {
		c.Loss = c.Loss.Smooth(r.Smoothing)
	}
	switch r.Optimizer {
	case "SGD":
		c.Optimizer = train.SGD(r.Rate, r.Momentum)
	case "Adam":
		c.Optimizer = train.Adam(r.Rate)
	case "Muon":
		c.Optimizer = train.Muon(r.Rate, r.Decay)
		if r.Momentum > 0 {
			c.Optimizer = c.Optimizer.Momentum(r.Momentum)
		}
		if r.Turn > 0 {
			c.Optimizer = c.Optimizer.Turn(r.Turn)
		}
	default:
		return c, fmt.Errorf("there is no optimizer %q", r.Optimizer)
	}
	if r.WarmUp > 0 {
		c.Schedule = train.OneCycle(r.WarmUp)
	}
	if r.Linear {
		c.Schedule = train.Linear()
	}
	return c, nil
}

// train does the work and returns its row.
func (w Work) train(ctx context.Context) (Row, error) {
	row := Row{Work: w}
	do := w.fit
	if w.Who == peers {
		do = w.trainPyTorch
	}
	err := do(ctx, &row)
	return row, err
}

// fit trains as a notebook does, unless a notebook or an earlier call has. Processor, other work and commit are known
// only of what is trained here from beginning to end.
func (w Work) fit(ctx context.Context, row *Row) error {
	task, err := w.task(ctx)
	if err != nil {
		return err
	}
	_, absent := task.Load()
	before := cpuTimes()
	run, err := task.FitContext(ctx)
	if err != nil {
		return err
	}
	r := run.Result
	if absent != nil && !r.StartedAt.Before(before.at.Truncate(time.Second)) { // a run knows the second in which it began
		row.here(before, 0)
	}
	row.Parameters, row.Device, row.Date = r.Parameters, r.Device, r.StartedAt.Format(time.DateOnly)
	row.Accuracy, row.Loss, row.Seconds = r.TestAccuracy, r.TestLoss, r.TrainSeconds
	row.TrainLoss = run.History.Epochs[len(run.History.Epochs)-1].TrainLoss
	row.Versions = map[string]string{"go": r.Versions.Go, "gomlx": r.Versions.GoMLX, "go-xla": r.Versions.GoXLA}
	if w.Network == "SpeedNet" {
		looks, err := run.TestFlipped()
		if err != nil {
			return err
		}
		row.TwoLooks = looks.Accuracy()
	}
	backend, err := device.Open()
	if err != nil {
		return err
	}
	if device.OneDNN(backend) {
		row.Versions["onednn"] = pinned("onednn-cpu-gomp")
	}
	return nil
}

// trainPyTorch lets tools/bench/claims.py do the work.
func (w Work) trainPyTorch(ctx context.Context, row *Row) error {
	folder, err := sets[w.Data.Set].fetch()
	if err != nil {
		return err
	}
	images := sets[w.Data.Set].open()
	summary, err := nn.Summarize(networks[w.Network], images.Height, images.Width, images.Channels)
	if err != nil {
		return err
	}
	checkpoint, err := w.checkpoint()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(checkpoint), 0o755); err != nil {
		return err
	}
	lock := flock.New(checkpoint + ".lock")
	if got, err := lock.TryLock(); err != nil {
		return err
	} else if !got {
		return errors.New("another process does it: wait until that ends")
	}
	defer lock.Unlock()
	_, fresh := os.Stat(checkpoint)
	asked, err := json.Marshal(map[string]any{"work": w, "network": summary.Description(), "folder": folder,
		"permutation": w.permutation(), "checkpoint": checkpoint})
	if err != nil {
		return err
	}
	python := filepath.Join("build", "peers", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		return fmt.Errorf("PyTorch is not in build/peers: run `make peers`")
	}
	runtime.LockOSThread() // Pdeathsig is about the thread
	defer runtime.UnlockOSThread()
	command := exec.CommandContext(ctx, python, filepath.Join("tools", "bench", "claims.py"))
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // it never outlives this program
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	var out, told bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(asked), &out, &told
	before, now := cpuTimes(), time.Now()
	err = command.Run()
	if ctx.Err() != nil {
		return errors.New("interrupted: run it again to go on after the last whole epoch")
	}
	if err != nil {
		return fmt.Errorf("tools/bench/claims.py: %w: %s", err, reason(told.String()))
	}
	if err := json.Unmarshal(out.Bytes(), row); err != nil {
		return fmt.Errorf("tools/bench/claims.py printed %q: %w", out.String(), err)
	}
	if fresh != nil {
		row.here(before, command.ProcessState.UserTime()+command.ProcessState.SystemTime())
	}
	row.Date = now.UTC().Format(time.DateOnly)
	return nil
}

// forget removes what a training would go on from that has its row.
func (w Work) forget() {
	if path, err := w.checkpoint(); err == nil && w.Who == peers {
		os.Remove(path)
		os.Remove(path + ".lock")
	}
}

// reason is the line that says why a Python program ended: the exception's first, for hints may follow, else the last.
func reason(told string) string {
	lines := strings.Split(strings.TrimSpace(told), "\n")
	for _, line := range slices.Backward(lines) {
		if raised.MatchString(line) {
			return line
		}
	}
	return lines[len(lines)-1]
}

// raised matches the first line of an uncaught exception, such as torch.AcceleratorError: CUDA error: out of memory.
var raised = regexp.MustCompile(`^[\w.]*(Error|Exception|Interrupt): `)

// checkpoint is the file from which PyTorch's training goes on.
func (w Work) checkpoint() (string, error) {
	cache, err := os.UserCacheDir()
	sum := sha256.Sum256([]byte(w.key()))
	return filepath.Join(cache, "convbook", "peers", hex.EncodeToString(sum[:8])+".pt"), err
}

// here notes what is known of a training that began when the times were before and has just ended.
func (r *Row) here(before times, child time.Duration) {
	r.Processor, r.Vectors, r.Cores = cpu("model name"), vectors(), runtime.NumCPU()
	r.Others, r.Commit = before.others(cpuTimes(), child), commit()
}

// times are where the processor's time went, of all programs and of this one, since some start.
type times struct {
	at        time.Time
	busy, own time.Duration
}

// cpuTimes reads them. Busy is 0 where the system does not tell.
func cpuTimes() times {
	t := times{at: time.Now()}
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		line, _, _ := strings.Cut(string(stat), "\n") // cpu user nice system idle iowait irq softirq steal …
		for i, field := range strings.Fields(line) {
			if ticks, err := strconv.Atoi(field); err == nil && i != 4 && i != 5 && i <= 8 {
				t.busy += time.Duration(ticks) * 10 * time.Millisecond // Linux counts in hundredths of a second for all programs
			}
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err == nil {
		t.own = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return t
}

// others is how many processors other programs than this one and its child kept busy from t to then; nil if not known.
func (t times) others(then times, child time.Duration) *float64 {
	if t.busy == 0 || !then.at.After(t.at) {
		return nil
	}
	others := (then.busy - t.busy - (then.own - t.own) - child).Seconds() / then.at.Sub(t.at).Seconds()
	others = math.Round(100*max(others, 0)) / 100
	return &others
}

// cpu is what Linux says of the processor under that name.
func cpu(key string) string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	if found := regexp.MustCompile(`(?m)^` + key + `\s*: (.*)$`).FindSubmatch(info); found != nil {
		return string(found[1])
	}
	return runtime.GOARCH
}

// vectors are the widest that the processor computes with.
func vectors() string {
	flags := strings.Fields(cpu("flags"))
	switch {
	case slices.Contains(flags, "avx512f"):
		return "AVX-512"
	case slices.Contains(flags, "avx2"):
		return "AVX2"
	}
	return runtime.GOARCH
}

// pinned is a package's version in tools/requirements/book.txt.
func pinned(name string) string {
	text, _ := os.ReadFile(filepath.Join("tools", "requirements", "book.txt"))
	if found := regexp.MustCompile(`(?m)^` + name + `==(\S+)`).FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return "unknown"
}

// commit is the source's, with a plus sign where files differ from it that decide results.
func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return ""
	}
	commit := strings.TrimSpace(string(out))
	if exec.Command("git", "diff", "--quiet", "HEAD", "--", "lib", "cmd", "tools", "go.mod").Run() != nil {
		commit += "+"
	}
	return commit
}
