package main

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/array"
	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/pytorch"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

// trained is a run of a second, in a folder of the test's own.
func trained(t *testing.T) *train.Run {
	t.Helper()
	t.Setenv(train.RunsEnv, t.TempDir())
	run, err := train.Task{
		Net: zoo.FC2Layer(8), Data: sample.MNIST(),
		Config: train.Config{Epochs: 1, Batch: 64, Optimizer: train.SGD(0.0001, 0), Progress: train.Quiet},
	}.Fit()
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// does runs the command, which must work, and returns what it prints.
func does(t *testing.T, arguments ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(arguments, &out); err != nil {
		t.Fatalf("%q: %v", arguments, err)
	}
	return out.String()
}

// fails runs the command, which must say in a line what is wrong.
func fails(t *testing.T, want string, arguments ...string) {
	t.Helper()
	var out bytes.Buffer
	err := run(arguments, &out)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q: error %v, want %q in one line", arguments, err, want)
	}
}

// What is printed where there is no room is an error.
func TestNoRoom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.safetensors")
	c, err := classify.New(trained(t))
	if err == nil {
		err = c.Export(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, arguments := range [][]string{{"-from", file, "-picture", blank(t)}, {"-help"}} {
		if err := run(arguments, full); !errors.Is(err, syscall.ENOSPC) || command.Status(err) != 1 {
			t.Errorf("%q: error %v", arguments, err)
		}
	}
}

// The status is 2 where the flags or what they name are wrong, and 1 for what fails.
func TestStatus(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	for want, all := range map[int][][]string{
		1: {{"-network", "CNN", "-from", "x", "-picture", "/nosuch.png"}},
		2: {{}, {"-nothing"}, {"-from", "x"}, {"-from", "x", "-check", "x"}, {"-network", "CNN", "-width", "0", "-from", "x", "-check"},
			{"-from", "nobody", "-check"}, {"-network", "nosuch", "-from", "x", "-check"}, {"-from", "x", "-to", t.TempDir()}},
	} {
		for _, arguments := range all {
			if err := run(arguments, io.Discard); command.Status(err) != want {
				t.Errorf("%q: %v with status %d, want %d", arguments, err, command.Status(err), want)
			}
		}
	}
}

// blank is a picture's file.
func blank(t *testing.T) string {
	t.Helper()
	var dot bytes.Buffer
	if err := png.Encode(&dot, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "blank.png")
	if err := os.WriteFile(file, dot.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func tensorsOf(t *testing.T, file string) map[string]safetensors.Tensor {
	t.Helper()
	tensors, _, err := safetensors.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return tensors
}

// A run becomes a file for PyTorch, which has the notes' names, and that becomes the run's own file again.
func TestThereAndBack(t *testing.T) {
	run := trained(t)
	folder := t.TempDir()
	theirs, ours := filepath.Join(folder, "theirs.safetensors"), filepath.Join(folder, "ours.safetensors")
	model := filepath.Join(run.Dir(), "model.safetensors")

	if got := does(t, "-from", "FC2Layer", "-to", theirs); !strings.Contains(got, "FC2Layer, 6 arrays with 6442 parameters") {
		t.Errorf("said %q", got)
	}
	state := tensorsOf(t, theirs)
	want := []string{"network.0.bias", "network.0.weight", "network.2.bias", "network.2.weight", "network.4.bias", "network.4.weight"}
	if got := slices.Sorted(maps.Keys(state)); !slices.Equal(got, want) {
		t.Errorf("the file for PyTorch has %v", got)
	}
	if dims := state["network.0.weight"].Dims; !slices.Equal(dims, []int{8, 784}) {
		t.Errorf("network.0.weight is %v", dims)
	}
	does(t, "-network", "FC2Layer", "-from", theirs, "-to", ours)
	if got, want := tensorsOf(t, ours), tensorsOf(t, model); !reflect.DeepEqual(got, want) {
		t.Error("the weights came back as others")
	}
	for _, from := range []string{theirs, ours, model} {
		does(t, "-network", "FC2Layer", "-from", from, "-check")
	}
	again := filepath.Join(folder, "again.safetensors")
	does(t, "-network", "FC2Layer", "-from", model, "-to", again)
	if !reflect.DeepEqual(tensorsOf(t, again), state) {
		t.Error("a run and its model.safetensors give different files")
	}
	exported := filepath.Join(folder, "exported.safetensors")
	c, err := classify.New(run)
	if err == nil {
		err = c.Export(exported)
	}
	if err != nil {
		t.Fatal(err)
	}
	id := filepath.Base(run.Dir())
	fails(t, id+" is a run, which says itself of which network it is", "-network", "FC2Layer", "-from", id, "-check")
	fromExported := filepath.Join(folder, "from-exported.safetensors")
	does(t, "-from", exported, "-to", fromExported)
	if !reflect.DeepEqual(tensorsOf(t, fromExported), state) {
		t.Error("a run and the file it was exported to give different files")
	}
	if got := does(t, "-from", exported, "-picture", blank(t)); strings.Count(got, "%") != 5 {
		t.Errorf("a picture's classes are %q", got)
	}
	fails(t, ours+" is there already", "-network", "FC2Layer", "-from", theirs, "-to", ours)
	fails(t, "no such file or directory", "-network", "FC2Layer", "-from", theirs, "-to", filepath.Join(folder, "none", "x.safetensors"))

	fails(t, "these are not the weights of FC2Layer: network.0.weight is [8 784] instead of [12 784]",
		"-network", "FC2Layer", "-width", "12", "-from", theirs, "-check")
	fails(t, "ours.safetensors: dense1/weights of FC2Layer has the dimensions [784 12]", "-network", "FC2Layer", "-width", "12", "-from", ours, "-check")
	fails(t, "it lacks conv1.weight, conv1.bias, conv2.weight and 5 more; it has network.0.bias", "-network", "CNN", "-from", theirs, "-check")

	damaged := tensorsOf(t, ours)
	damaged["/net/dense1/bias"] = safetensors.Float32([]float32{0, 1, float32(math.NaN()), 3, 4, 5, 6, 7}, 1, 8)
	file := filepath.Join(folder, "nan.safetensors")
	if err := safetensors.Write(file, damaged, nil); err != nil {
		t.Fatal(err)
	}
	fails(t, "nan.safetensors: dense1/bias has numbers that are not finite, such as NaN", "-network", "FC2Layer", "-from", file, "-check")
}

// Weights for ImageNet's classes become a file that a program opens, with the names of the classes and torchvision's
// preprocessing.
func TestImageNet(t *testing.T) {
	net, image, err := zoo.Named("ResNet-18", 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := nn.Summarize(net, image...)
	if err != nil {
		t.Fatal(err)
	}
	weights := map[string]array.Array{}
	for _, v := range summary.Variables {
		weights[v.Name] = array.New(make([]float32, v.Size()), v.Dims...)
	}
	folder := t.TempDir()
	theirs, ours := filepath.Join(folder, "theirs.safetensors"), filepath.Join(folder, "ours.safetensors")
	if err := pytorch.Write(theirs, weights, net, image...); err != nil {
		t.Fatal(err)
	}
	does(t, "-network", "ResNet-18", "-from", theirs, "-check")
	does(t, "-network", "ResNet-18", "-from", theirs, "-to", ours)
	c, err := classify.Open(ours)
	if want := "ResNet-18, 11689512 parameters: pictures of 224×224×3 into 1000 classes"; err != nil || c.String() != want {
		t.Errorf("it is %v, %v, want %s", c, err, want)
	}
}

func TestWhatCannotBe(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, picture := write("text.safetensors", "no weights"), blank(t)
	none := filepath.Join(folder, "none.safetensors")

	fails(t, "-from is missing", "-check")
	fails(t, "one of -check, -to and -picture", "-from", text)
	fails(t, "one of -check, -to and -picture", "-from", text, "-check", "-picture", picture)
	fails(t, `"x" stands alone`, "-from", text, "-check", "x")
	fails(t, "-help lists the flags", "-nothing")
	fails(t, "-width is 0: it must be at least 1", "-network", "CNN", "-width", "0", "-from", text, "-check")
	fails(t, "-classes is 0: it must be at least 1", "-network", "CNN", "-classes", "0", "-from", text, "-check")
	fails(t, "Net has no -width: leave it out", "-network", "Net", "-width", "3", "-from", text, "-check")
	fails(t, "CNN has 10 classes, and -classes says 5: leave it out", "-network", "CNN", "-classes", "5", "-from", text, "-check")
	fails(t, "there is no network \"nosuch\"", "-network", "nosuch", "-width", "3", "-from", text, "-check")
	fails(t, "must be at least 1", "-network", "CNN", "-width", "-1", "-from", text, "-check")
	fails(t, "-classes and -width are about a network that -network names", "-classes", "5", "-from", trained(t).Dir(), "-check")
	fails(t, "text.safetensors: not a safetensors file", "-from", text, "-check")
	state := filepath.Join(folder, "state.safetensors")
	if err := safetensors.Write(state, map[string]safetensors.Tensor{"fc.bias": safetensors.Float32([]float32{1}, 1)}, nil); err != nil {
		t.Fatal(err)
	}
	fails(t, "weights without a network", "-from", state, "-check")
	fails(t, "name the network with -network", "-from", state, "-check")
	fails(t, `there is no run "nothing"`, "-from", "nothing", "-check")
	fails(t, `there is no network "VGG": there is FC2Layer, CNN`, "-network", "VGG", "-from", text, "-check")
	fails(t, "text.safetensors: ", "-network", "CNN", "-from", text, "-check")
	fails(t, "-picture needs weights for ImageNet's classes", "-network", "FC2Layer", "-from", filepath.Join(trained(t).Dir(), "model.safetensors"), "-picture", picture)
	fails(t, "text.safetensors: it is not a picture", "-network", "ResNet-18", "-from", text, "-picture", text)
	fails(t, "none.safetensors: no such file", "-network", "CNN", "-from", none, "-check")
	for _, what := range [][]string{{"-check"}, {"-picture", picture}} {
		fails(t, "torchvision has it as VGG16_Weights.IMAGENET1K_V1; in Python",
			append([]string{"-network", "VGG-16", "-from", none}, what...)...)
	}
}
