// Command bench times what the book computes.
//
//	go run ./cmd/bench                          all of it: a table, and build/bench.json
//	go run ./cmd/bench -serve "Net, epoch"      one work: a round for each line of input, its seconds as a line of output
//	go run ./cmd/bench -describe                all works with their networks, as JSON
//	go run ./cmd/bench -agree "Net, epoch" F    weights, a batch, scores and gradients to the safetensors file F
//	go run ./cmd/bench -roofline                what the works' convolutions cost alone, and at the machine's best rate
//	go run ./cmd/bench -train Net -epochs 10    trains Net or VGG16 as the notes do; the last line is the result, as JSON
//	go run ./cmd/bench -folder build/cifar10    makes CIFAR-10 a folder of PNGs; if it is there, opens it: a line of JSON
//
// tools/bench/peers.py, gpu.py and folder.py run these side by side with PyTorch and JAX.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	benchmarks "github.com/janpfeifer/go-benchmarks"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

// work is what is timed.
type work struct {
	name  string
	net   nn.Layer
	data  dataset.Images
	batch int
	steps int // of training in a round: an epoch if 0; none, but a test, if negative
	tests int // images in that
}

// works are all of them: what the notes train, then the other networks of the zoo, small and as they were made.
func works() []work {
	mnist := normalised(dataset.MNIST())
	cifar := normalised(dataset.CIFAR10())
	all := []work{
		{"FC2Layer, epoch", zoo.FC2Layer(8), mnist, 64, 0, 0},
		{"FC2Layer, inference", zoo.FC2Layer(8), mnist, 64, -1, 1000},
		{"CNN, epoch", zoo.CNN(6), mnist, 64, 0, 0},
		{"CNN, inference", zoo.CNN(6), mnist, 64, -1, 1000},
		{"Net, epoch", zoo.Net(10), cifar, 64, 0, 0},
		{"Net, inference", zoo.Net(10), cifar, 64, -1, 1000},
		{"VGG16, step", zoo.VGG16(10), cifar, 128, 1, 0},
		{"VGG16, 100 steps", zoo.VGG16(10), cifar, 128, 100, 0},
		{"VGG16, inference", zoo.VGG16(10), cifar, 128, -1, 1000},
	}
	add := func(net nn.Layer, data dataset.Images, batch, tests int) {
		name := nn.Name(net)
		all = append(all, work{name + ", step", net, data, batch, 1, 0},
			work{name + ", inference", net, data, batch, -1, tests})
	}
	for _, net := range []nn.Layer{zoo.SmallAlexNet(10), zoo.SmallZFNet(10), zoo.SmallVGG(11, 10), zoo.SmallGoogLeNet(10),
		zoo.SmallResNet(18, 16, 10)} {
		add(net, cifar, 64, 256)
	}
	large := noise(dataset.New("photographs", cifar.Classes, 224, 224, 3, nil), 64, 32)
	for _, net := range []nn.Layer{zoo.AlexNetOneTower(10), zoo.VGG(16, 10), zoo.GoogLeNet(10, false), zoo.ResNet(18, 10),
		zoo.ResNet(50, 10), zoo.ResNet(152, 10)} {
		add(net, large, 16, 32)
	}
	return all
}

// large tells whether a round takes seconds, and compiling a minute.
func (w work) large() bool { return w.data.Height > 100 }

// forGPU tells whether a round is one for a GPU, which does a step in milliseconds.
func (w work) forGPU() bool { return w.steps > 1 }

// start makes a worker of it.
func (w work) start(precision train.Precision) (*train.Worker, error) {
	return w.task(precision).Worker()
}

// task is the training that it is part of. Momentum makes the optimizer keep the gradient of the first step, for -agree.
func (w work) task(precision train.Precision) train.Task {
	config := train.Config{Epochs: 1000, Batch: w.batch, Optimizer: train.SGD(0.001, 0.5), Seed: 1, Precision: precision}
	data := w.data
	if w.tests > 0 {
		data = data.FirstTest(w.tests)
	}
	if w.tests < 1000 {
		config.TestBatch = w.tests // all at once
	}
	return train.Task{Net: w.net, Data: data, Config: config}
}

// round does the work once.
func (w work) round(worker *train.Worker) error {
	if w.steps < 0 {
		_, err := worker.Test()
		return err
	}
	steps := w.steps
	if steps == 0 {
		steps = worker.Batches()
	}
	_, err := worker.Steps(steps)
	return err
}

func main() {
	serve := flag.String("serve", "", "the `work` to do once for each line of input")
	agree := flag.String("agree", "", "the `work` to write weights, scores and gradients of")
	out := flag.String("out", filepath.Join("build", "bench.json"), "where the results go")
	precision := flag.String("precision", "", "of convolutions, for -serve: float32 if empty, or bfloat16")
	describe := flag.Bool("describe", false, "describe the works")
	list := flag.Bool("list", false, "list the works")
	roof := flag.Bool("roofline", false, "time the works' convolutions alone")
	net := flag.String("train", "", "the `network` to train as the notes do: Net or VGG16")
	epochs := flag.Int("epochs", 10, "how long to train it")
	folder := flag.String("folder", "", "where to make a `folder` of pictures, and open it")
	command.Parse()
	for _, name := range []string{"serve", "agree", "train", "folder", "out"} {
		if command.Given(name) && flag.Lookup(name).Value.String() == "" {
			command.End(command.Wrong(fmt.Errorf("-%s is empty: name one, or leave it out", name)))
		}
	}
	var err error
	switch {
	case flag.NArg() > 0 && *agree == "":
		err = command.Wrong(fmt.Errorf("%q is not a flag: -help lists the flags", flag.Arg(0)))
	case *list:
		for _, w := range works() {
			fmt.Fprintln(printed, w.name)
		}
	case *describe:
		err = describeAll()
	case *serve != "":
		err = withWork(*serve, func(w work) error { return server(w, train.Precision(*precision)) })
	case *agree != "":
		err = withWork(*agree, func(w work) error { return w.agreement(flag.Arg(0)) })
	case *folder != "":
		err = timeFolder(*folder)
	case *roof:
		err = roofline()
	case *net != "":
		err = trainAsNotes(*net, *epochs)
	default:
		err = all(*out)
	}
	command.End(cmp.Or(err, printed.Err))
}

// printed is where all goes that is not a file.
var printed = &command.Output{Writer: os.Stdout}

// trainAsNotes trains by the recipes of notebooks 12 and 13, anew, and keeps nothing.
func trainAsNotes(name string, epochs int) error {
	runs, err := os.MkdirTemp("", "convbook-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(runs)
	os.Setenv(train.RunsEnv, runs)
	task := train.Task{Config: train.Config{Epochs: epochs, Optimizer: train.Adam(0.001), Seed: 1}}
	switch name {
	case "Net":
		task.Net, task.Data, task.Batch = zoo.Net(10), normalised(dataset.CIFAR10()), 64
	case "VGG16":
		photos := dataset.CIFAR10().NormalizeRGB([3]float64{0.4914, 0.4822, 0.4465}, [3]float64{0.2023, 0.1994, 0.2010})
		task.Net, task.Data, task.Batch = zoo.VGG16(10), photos.Augment(dataset.RandomCrop(32, 4), dataset.RandomFlip), 128
	default:
		return command.Wrong(fmt.Errorf("there is no network %q to train: there are Net and VGG16", name))
	}
	run, err := task.Fit()
	if err != nil {
		return err
	}
	return json.NewEncoder(printed).Encode(run.Result)
}

// describeAll writes what the peers must know of the works.
func describeAll() error {
	type description struct {
		Name    string         `json:"name"`
		Network nn.Description `json:"network"`
		Images  [4]int         `json:"images"` // training images, height, width, channels
		Batch   int            `json:"batch"`
		Steps   int            `json:"steps"`
		Tests   int            `json:"tests"`
	}
	var all []description
	counts := map[string]int{} // training images, by data set: each is opened once
	for _, w := range works() {
		summary, err := nn.Summarize(w.net, w.data.Height, w.data.Width, w.data.Channels)
		if err != nil {
			return err
		}
		if counts[w.data.Name] == 0 {
			train, err := w.data.Train()
			if err != nil {
				return err
			}
			counts[w.data.Name] = train.Len()
		}
		images := [4]int{counts[w.data.Name], w.data.Height, w.data.Width, w.data.Channels}
		all = append(all, description{w.name, summary.Description(), images, w.batch, w.steps, w.tests})
	}
	return json.NewEncoder(printed).Encode(all)
}

func withWork(name string, do func(work) error) error {
	var names []string
	for _, w := range works() {
		if w.name == name {
			return do(w)
		}
		names = append(names, w.name)
	}
	return command.Wrong(fmt.Errorf("there is no work %q: there is %s", name, strings.Join(names, "; ")))
}

// server does a round for each line that it reads.
func server(w work, precision train.Precision) error {
	worker, err := w.start(precision)
	if err != nil {
		return err
	}
	fmt.Fprintln(printed, "ready")
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		start := time.Now()
		if err := w.round(worker); err != nil {
			return err
		}
		fmt.Fprintln(printed, time.Since(start).Seconds())
	}
	return nil
}

// agreement writes what others must compute alike: the weights before training, the first batch as bytes, the scores of
// the test images before training, and the gradients of the first step.
//
// The images are noise, and few. In photographs, neighbours in a flat area give equal numbers but for rounding, and
// which of them a max-pool's gradient goes to is up to the last bit; and of the 20 million values that pass VGG16's ReLUs
// in a batch of 128, about one in a million is so close to 0 that rounding decides whether it passes.
//
// Nothing is dropped: that would be something else in each training. And the weights are those of PyTorch and of this
// book times √6, as He et al. draw them ("Delving Deep into Rectifiers", 2015): with smaller ones, what differs between
// images shrinks in each layer, until little but rounding decides which value a max-pool takes, and the scores are
// those of the last bias.
func (w work) agreement(path string) error {
	if w.batch = 4; !w.large() {
		w.data = noise(w.data, 1024, 1000)
	}
	if w.tests > 0 {
		w.data = w.data.FirstTest(w.tests)
	}
	var err error
	if w.net, err = undropped(w); err != nil {
		return err
	}
	task := w.task(train.Float32)
	worker, err := task.Worker()
	if err != nil {
		return err
	}
	weights, err := worker.Weights()
	if err != nil {
		return err
	}
	for name, a := range weights {
		if strings.HasSuffix(name, "/weights") {
			for i := range a.Values {
				a.Values[i] *= float32(math.Sqrt(6))
			}
		}
	}
	task.StartWeights, task.StartLast = weights, true
	if worker, err = task.Worker(); err != nil {
		return err
	}
	train, err := w.data.Train()
	if err != nil {
		return err
	}
	test, err := w.data.Test()
	if err != nil {
		return err
	}
	all := map[string]safetensors.Tensor{}
	add := func(kind string, arrays map[string]array.Array) {
		for name, a := range arrays {
			all[kind+"/"+name] = safetensors.Float32(a.Values, a.Dims...)
		}
	}
	if weights, err = worker.Weights(); err != nil {
		return err
	}
	add("weights", weights)
	answers, err := worker.Test()
	if err != nil {
		return err
	}
	all["scores"] = safetensors.Float32(answers.Outputs.Values, answers.Outputs.Dims...)
	var inOrder []int32
	for i := range test.Len() {
		inOrder = append(inOrder, int32(i))
	}
	all["test"] = pixels(w.data, test, inOrder)
	var labels []float32
	order := worker.Order(1)
	for _, i := range order {
		labels = append(labels, float32(train.Labels[i]))
	}
	all["batch"], all["labels"] = pixels(w.data, train, order), safetensors.Float32(labels, len(labels))
	if _, err := worker.Steps(1); err != nil {
		return err
	}
	gradients, err := worker.Kept("velocity")
	if err != nil {
		return err
	}
	add("gradients", gradients)
	return safetensors.Write(path, all, nil)
}

// undropped is the network with dropouts that drop nothing.
func undropped(w work) (nn.Layer, error) {
	summary, err := nn.Summarize(w.net, w.data.Height, w.data.Width, w.data.Channels)
	if err != nil {
		return nil, err
	}
	described, err := json.Marshal(summary.Description())
	if err != nil {
		return nil, err
	}
	described = regexp.MustCompile(`,"rate":[^,}]+`).ReplaceAll(described, nil)
	var d nn.Description
	if err := json.Unmarshal(described, &d); err != nil {
		return nil, err
	}
	return d.Network(nn.Name(w.net))
}

// noise is a data set of the same form, normalised alike, of random pixels.
func noise(like dataset.Images, train, test int) dataset.Images {
	random := rand.New(rand.NewPCG(1, 0))
	split := func(images int) *dataset.Split {
		s := &dataset.Split{Pixels: make([]byte, images*like.Height*like.Width*like.Channels), Labels: make([]byte, images)}
		for i := range s.Pixels {
			s.Pixels[i] = byte(random.Uint32())
		}
		for i := range s.Labels {
			s.Labels[i] = byte(random.IntN(len(like.Classes)))
		}
		return s
	}
	return normalised(dataset.New("noise", like.Classes, like.Height, like.Width, like.Channels,
		func() (*dataset.Split, *dataset.Split, error) { return split(train), split(test), nil }))
}

// normalised is the data set as the notes normalise it: peers.py does the same.
func normalised(data dataset.Images) dataset.Images {
	if data.Channels == 1 {
		return data.Normalize(0.1307, 0.3081)
	}
	return data.Normalize(0.5, 0.5)
}

// pixels are pictures of a split, from 0 to 255.
func pixels(d dataset.Images, s *dataset.Split, order []int32) safetensors.Tensor {
	size := d.Height * d.Width * d.Channels
	values := make([]float32, 0, len(order)*size)
	for _, i := range order {
		for _, p := range s.Pixels[int(i)*size:][:size] {
			values = append(values, float32(p))
		}
	}
	return safetensors.Float32(values, len(order), d.Height, d.Width, d.Channels)
}

// result is a line of build/bench.json.
type result struct {
	Name    string    `json:"name"`
	Device  string    `json:"device"`
	Median  float64   `json:"median_seconds,omitempty"`
	Seconds []float64 `json:"seconds,omitempty"` // of each round
	Bytes   int64     `json:"bytes,omitempty"`
}

// all times everything: the works, compiling them or loading what was compiled, and opening the data.
func all(out string) error {
	if err := writable(out); err != nil { // before minutes of work
		return err
	}
	line, err := device.Line()
	if err != nil {
		return err
	}
	fmt.Fprintln(printed, line)
	compiled, err := os.MkdirTemp("", "convbook-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(compiled)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, train.Signals()...)
	go func() {
		number := <-signals
		os.RemoveAll(compiled)
		os.Exit(128 + int(number.(syscall.Signal)))
	}()
	seconds := map[string][]float64{}
	var failed error
	timed := func(name string, f func() error) benchmarks.NamedFunction {
		return benchmarks.NamedFunction{Name: name, Func: func() {
			start := time.Now()
			if err := f(); err != nil && failed == nil {
				failed = fmt.Errorf("%s: %w", name, err)
			}
			seconds[name] = append(seconds[name], time.Since(start).Seconds())
		}}
	}
	run := func(functions ...benchmarks.NamedFunction) {
		benchmarks.New(functions...).WithWarmUps(1).WithDuration(5 * time.Second).WithHeader(len(seconds) == 0).Done()
	}
	for _, data := range []dataset.Images{dataset.MNIST(), dataset.CIFAR10()} {
		run(timed("open "+data.Name, func() error {
			_, err := data.Train()
			if err == nil {
				_, err = data.Test()
			}
			return err
		}))
	}
	for _, w := range works() {
		if w.large() || w.forGPU() {
			continue // `make bench-peers` and `make bench-gpu` time them
		}
		start := func() error { _, err := w.start(train.Float32); return err }
		os.Setenv("CONVBOOK_COMPILED", "off") // see lib/device/plugin
		run(timed("compile "+w.name, start))
		os.Setenv("CONVBOOK_COMPILED", compiled)
		run(timed("load compiled "+w.name, start))
		worker, err := w.start(train.Float32)
		if err != nil {
			return err
		}
		run(timed(w.name, func() error { return w.round(worker) }))
		if failed != nil {
			return failed
		}
	}
	fmt.Fprintf(printed, "memory of this process at most: %.1f GiB\n", float64(peak())/(1<<30))
	return write(out, line, seconds)
}

// writable makes the folder of a file and finds out whether the file can be written there. One that is there stays.
func writable(out string) error {
	err := os.MkdirAll(filepath.Dir(out), 0o755)
	if err == nil {
		var file *os.File
		if file, err = os.CreateTemp(filepath.Dir(out), ".bench-"); err == nil {
			file.Close()
			err = os.Remove(file.Name())
		}
	}
	info, missing := os.Lstat(out)
	if err == nil && missing == nil && !info.Mode().IsRegular() { // what is written takes its place
		err = errors.New("it is not a file")
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w: give another file with -out", out, err)
	}
	return nil
}

// write writes what each work took, but for the first time, which warmed up.
func write(out, line string, seconds map[string][]float64) error {
	results := []result{{Name: "memory of the process at most", Device: line, Bytes: peak()}}
	for _, name := range slices.Sorted(maps.Keys(seconds)) {
		rounds := seconds[name][1:]
		results = append(results, result{Name: name, Device: line, Median: median(rounds), Seconds: rounds})
	}
	content, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(out, append(content, '\n'), 0o644, renameio.WithTempDir(filepath.Dir(out)))
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[len(sorted)/2] + sorted[(len(sorted)-1)/2]) / 2
}

// peak is the most memory that this process has held, in bytes. What the system call for resources tells begins with
// the memory of the process that started this one.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	return 0
}
