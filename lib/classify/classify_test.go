package classify

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/picture"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train"
)

// Runs are kept in a folder of the tests' own.
func TestMain(m *testing.M) {
	runs, err := os.MkdirTemp("", "classify-")
	if err != nil {
		panic(err)
	}
	os.Setenv(train.RunsEnv, runs)
	code := m.Run()
	os.RemoveAll(runs)
	os.Exit(code)
}

func digits() dataset.Images { return sample.MNIST().Normalize(0.1307, 0.3081) }

// layers are a small network with what trains and tests differently, and with several ways.
func layers() []nn.Layer {
	return []nn.Layer{nn.Conv(4, 5).Stride(2), nn.BatchNorm, nn.ReLU, nn.Residual(nn.Conv(4, 3).Padding(1)), nn.MaxPool(2),
		nn.Flatten, nn.Dropout(0.2), nn.Dense(10)}
}

// trained is a run of a second, which the tests share.
func trained(t *testing.T, net nn.Layer, data dataset.Images) *train.Run {
	t.Helper()
	run, err := train.Task{Net: net, Data: data, Config: train.Config{
		Epochs: 2, Batch: 32, Optimizer: train.SGD(0.05, 0.5), Seed: 1, Progress: train.Quiet}}.Fit()
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// usual is the run that most tests use.
func usual(t *testing.T) *train.Run { return trained(t, nn.Named("Small", layers()...), digits()) }

func classifier(t *testing.T, run *train.Run) *Classifier {
	t.Helper()
	c, err := New(run)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exported is the run as a file.
func exported(t *testing.T, run *train.Run) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "small.safetensors")
	if err := classifier(t, run).Export(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, name string) *Classifier {
	t.Helper()
	c, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pictures are the pixels of the run's test images.
func pictures(t *testing.T, run *train.Run) (pixels [][]byte, split *dataset.Split) {
	t.Helper()
	split, err := run.Task.Data.Test()
	if err != nil {
		t.Fatal(err)
	}
	size := len(split.Pixels) / split.Len()
	for i := range split.Len() {
		pixels = append(pixels, split.Pixels[i*size:(i+1)*size])
	}
	return pixels, split
}

// predictions are what the run says of itself.
func predictions(t *testing.T, run *train.Run) *train.Predictions {
	t.Helper()
	p, err := run.Test()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wrong says what is wrong with the answer for test image i.
func wrong(p *train.Predictions, i int, answer []Class) string {
	if len(answer) != len(p.Classes) || answer[0].Name != p.Classes[p.Class(i)] {
		return fmt.Sprintf("it is %v, not %s first of %d", answer, p.Classes[p.Class(i)], len(p.Classes))
	}
	for rank, class := range answer {
		index := slices.Index(p.Classes, class.Name)
		if want := p.Probability(i, index); math.Abs(class.Probability-want) > 1e-5 {
			return fmt.Sprintf("class %s has %v, want %v", class.Name, class.Probability, want)
		}
		if rank > 0 && class.Probability > answer[rank-1].Probability {
			return fmt.Sprintf("not sorted: %v", answer)
		}
	}
	return ""
}

// A run that is at hand, one that is found by the name of its folder, and a file that was exported from it answer as the
// run's own test does, whatever the number of pictures in a call.
func TestAnswersAreThoseOfTheRun(t *testing.T) {
	permuted := trained(t, nn.Named("Single", nn.Flatten, nn.Dense(10), nn.LogSoftmax),
		digits().Permute(dataset.Permutation(28*28, 3)))
	for _, run := range []*train.Run{usual(t), permuted} {
		p := predictions(t, run)
		pixels, _ := pictures(t, run)
		for what, c := range map[string]*Classifier{
			"the run": classifier(t, run), "its folder": open(t, run.Dir()), "a file of a file": open(t, again(t, open(t, exported(t, run)))),
		} {
			for _, n := range []int{1, 3, 100} {
				answers, err := c.ClassifyPixels(pixels[:n])
				if err != nil {
					t.Fatal(err)
				}
				for i, answer := range answers {
					if wrong := wrong(p, i, answer); wrong != "" {
						t.Errorf("%s, %d pictures, test image %d: %s", what, n, i, wrong)
						break
					}
				}
			}
		}
	}
}

// again exports what was opened.
func again(t *testing.T, c *Classifier) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "again.safetensors")
	if err := c.Export(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// A picture goes through a file as it does through memory.
func TestPicturesAsFiles(t *testing.T) {
	run := usual(t)
	c, p := classifier(t, run), predictions(t, run)
	_, split := pictures(t, run)
	for i := range 20 {
		var file bytes.Buffer
		if err := png.Encode(&file, split.Image(i)); err != nil {
			t.Fatal(err)
		}
		img, err := picture.Decode(&file)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Classify(img)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := wrong(p, i, answer); wrong != "" {
			t.Errorf("test image %d: %s", i, wrong)
		}
	}
}

// Files of all sizes reach the network as they did in its training, from a folder, with the middle cut out of them.
func TestFilesOfAFolder(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		class := []string{"stripes", "noise"}[i%2]
		img := image.NewRGBA(image.Rect(0, 0, 20+random.IntN(40), 20+random.IntN(40)))
		for p := range img.Pix {
			if img.Pix[p] = byte(random.IntN(256)); class == "stripes" {
				img.Pix[p] = byte(p / img.Stride % 2 * 255)
			}
		}
		var file bytes.Buffer
		if err := jpeg.Encode(&file, img, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, class, fmt.Sprintf("%d.jpg", i)), file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data := dataset.Folder(dir, picture.Frame{Height: 12, Width: 16, Channels: 3, Shorter: 18}).Normalize(0.5, 0.25)
	run := trained(t, nn.Named("Stripes", nn.Conv(4, 3), nn.ReLU, nn.Flatten, nn.Dense(2)), data)
	c, p := open(t, exported(t, run)), predictions(t, run)
	_, split := pictures(t, run)
	for i := range split.Len() {
		img, err := picture.Open(filepath.Join(dir, split.Name(i)))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Classify(img)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := wrong(p, i, answer); wrong != "" {
			t.Errorf("%s: %s", split.Name(i), wrong)
		}
	}
	if split.Len() == 0 {
		t.Error("there is nothing to compare")
	}
}

// Many goroutines ask at the same time, for one picture and for several, and each gets its own answers.
func TestManyAtTheSameTime(t *testing.T) {
	run := usual(t)
	c, p := classifier(t, run), predictions(t, run)
	pixels, _ := pictures(t, run)
	var all sync.WaitGroup
	for seed := range 100 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(seed)))
			for range 10 {
				first := random.IntN(len(pixels))
				n := min(1+random.IntN(3)*random.IntN(40), len(pixels)-first)
				answers, err := c.ClassifyPixels(pixels[first : first+n])
				if err != nil {
					t.Error(err)
					return
				}
				for i, answer := range answers {
					if wrong := wrong(p, first+i, answer); wrong != "" {
						t.Errorf("test image %d: %s", first+i, wrong)
					}
				}
			}
		})
	}
	all.Wait()
	for busy := true; busy; { // it ends by itself: nobody has to close it
		runtime.Gosched()
		c.mutex.Lock()
		busy = c.busy
		c.mutex.Unlock()
	}
	if len(c.waiting) > 0 {
		t.Errorf("%d still wait", len(c.waiting))
	}
}

// halved is a network with code of the test's own.
func halved() nn.Layer {
	half := nn.Func("half", func(x *graph.Node) *graph.Node { return graph.MulScalar(x, 0.5) })
	return nn.Named("Halved", nn.Flatten, half, nn.Dense(10))
}

// A network with a function works where the function is, and is refused in a line where it is not.
func TestFunctions(t *testing.T) {
	run := trained(t, halved(), digits())
	c, p := classifier(t, run), predictions(t, run)
	pixels, _ := pictures(t, run)
	answers, err := c.ClassifyPixels(pixels[:1])
	if err != nil {
		t.Fatal(err)
	}
	if wrong := wrong(p, 0, answers[0]); wrong != "" {
		t.Error(wrong)
	}
	const want = "the layer half is code of the program that declared the network"
	_, err = Open(run.Dir())
	checkError(t, err, want)
	checkError(t, c.Export(filepath.Join(t.TempDir(), "x.safetensors")), "Halved cannot be exported: "+want)
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line with %q", err, want)
	}
}

// What is wrong with a file is said in a line that begins with its name.
func TestFilesThatCannotBeUsed(t *testing.T) {
	run := usual(t)
	good, err := os.ReadFile(exported(t, run))
	if err != nil {
		t.Fatal(err)
	}
	tensors, metadata, err := safetensors.Read(exported(t, run))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bad.safetensors")
	content := func(content []byte) func() error { return func() error { return os.WriteFile(path, content, 0o644) } }
	// with writes a good file with something else in its metadata.
	with := func(key, old, new string) func() error {
		return func() error {
			other := map[string]string{}
			for k, v := range metadata {
				other[k] = v
			}
			if !strings.Contains(other[key], old) {
				t.Fatalf("no %s in %s", old, other[key])
			}
			other[key] = strings.Replace(other[key], old, new, 1)
			return safetensors.Write(path, tensors, other)
		}
	}
	// weights writes a good file with other values for one variable.
	weights := func(name string, t safetensors.Tensor) func() error {
		return func() error {
			other := map[string]safetensors.Tensor{}
			for k, v := range tensors {
				other[k] = v
			}
			other[name] = t
			return safetensors.Write(path, other, metadata)
		}
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	nan := make([]float32, 10)
	nan[3] = float32(math.NaN())
	for want, write := range map[string]func() error{
		"not a safetensors file: it has 0 bytes":  content(nil),
		"not a safetensors file: its header":      content([]byte("a picture, perhaps, or a letter")),
		"cut short":                               content(good[:len(good)/2]),
		"damaged: its SHA-256":                    content(flipped),
		`it is in format "2", and this version`:   with(formatKey, "1", "2"),
		"its network: ":                           with(networkKey, "{", "["),
		"its input: ":                             with(inputKey, "{", "["),
		"brought to 2 channels":                   with(inputKey, `"channels":1`, `"channels":2`),
		"brought to 100000×28 pixels":             with(inputKey, `"height":28`, `"height":100000`),
		"for pictures of [28 28 1], its input":    with(inputKey, `"height":28`, `"height":29`),
		"there are 9 names of classes":            with(inputKey, `"0",`, ""),
		"normalised by 1 means and 0 standard":    with(inputKey, `"std"`, `"other"`),
		"a standard deviation of 0":               with(inputKey, `"std":[0.3081]`, `"std":[0]`),
		"this version of the book has no layer":   with(networkKey, `"kind":"relu"`, `"kind":"swish"`),
		"no layer is as large as max-pool":        with(networkKey, `"kernel":2`, `"kernel":2000000000`),
		"the window does not fit":                 with(networkKey, `"kernel":5`, `"kernel":400`),
		"as this version of the book does not":    with(networkKey, `"trainable":true`, `"trainable":false`),
		"cannot add [12 12 4] to [12 12 5]":       with(networkKey, `"filters":4`, `"filters":5`),
		"dense1/bias of Small has the dimensions": weights("dense1/bias", safetensors.Float32(make([]float32, 9), 1, 9)),
		"Small has no other/weights":              weights("other/weights", safetensors.Float32(make([]float32, 1), 1)),
		"Small has the value NaN in dense1/bias":  weights("dense1/bias", safetensors.Float32(nan, 1, 10)),
		"a tensor of type I16":                    weights("dense1/bias", safetensors.Tensor{DType: "I16", Dims: []int{10}, Bytes: make([]byte, 20)}),
		"it holds weights without a network":      func() error { return safetensors.Write(path, tensors, nil) },
		"no such file or directory":               func() error { return nil },
		"not a file":                              func() error { return os.Mkdir(path, 0o755) },
	} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := write(); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		checkError(t, err, want)
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("error %v does not name the file", err)
		}
	}
}

// What can be opened by a name, and what cannot.
func TestNames(t *testing.T) {
	_, err := Open("no such run")
	checkError(t, err, `"no such run" is no file, and there is no run "no such run"`)
	t.Chdir(t.TempDir())
	run := usual(t)
	stored, err := train.Find(run.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if err := stored.SetName("my best"); err != nil {
		t.Fatal(err)
	}
	if c := open(t, "my best"); c.String() != classifier(t, run).String() {
		t.Errorf("its name opens %v", c)
	}
	if err := os.Mkdir("my best", 0o755); err != nil { // a folder here changes nothing
		t.Fatal(err)
	}
	open(t, "my best")
	elsewhere := filepath.Join(t.TempDir(), filepath.Base(run.Dir()))
	if err := os.CopyFS(elsewhere, os.DirFS(run.Dir())); err != nil {
		t.Fatal(err)
	}
	_, err = Open(elsewhere)
	checkError(t, err, "is not in the folder of runs: set CONVBOOK_RUNS")
	c := classifier(t, run)
	_, err = c.ClassifyPixels([][]byte{make([]byte, 783)})
	checkError(t, err, "a picture of 783 bytes: Small takes 784")
	if none, err := c.ClassifyAll(nil); err != nil || len(none) != 0 {
		t.Errorf("no pictures: %v, %v", none, err)
	}
	if want := "Small, 1710 parameters: pictures of 28×28×1 into 10 classes"; c.String() != want {
		t.Errorf("it is %q, want %q", c, want)
	}
}

func TestWithoutARunOrANetwork(t *testing.T) {
	_, err := New(nil)
	checkError(t, err, "this is not a finished run: get one with Fit or Load")
	_, err = Of(train.Model{Input: digits().Input()})
	checkError(t, err, "the network is nil: give a layer")
}

// A network whose weights are finite can still give what is not a number. That is an error, not an answer.
func TestAnswersThatAreNoNumbers(t *testing.T) {
	input := digits().Input()
	weights := map[string]array.Array{"dense1/weights": array.New(make([]float32, 7840), 784, 10), "dense1/bias": array.New(make([]float32, 10), 10)}
	for want, value := range map[string]float32{"+Inf": math.MaxFloat32, "-Inf": -math.MaxFloat32} {
		for i := range weights["dense1/weights"].Values {
			weights["dense1/weights"].Values[i] = value
		}
		c, err := Of(train.Model{Net: nn.Sequential(nn.Flatten, nn.Dense(10)), Input: input, Weights: weights})
		if err != nil {
			t.Fatal(err)
		}
		white := bytes.Repeat([]byte{255}, 784)
		_, err = c.ClassifyPixels([][]byte{white})
		checkError(t, err, "sequential gives "+want+" for a picture")
	}
}
