package train

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train/internal/store"
)

// A stored run's model is that of the run, network, weights and all that a picture needs, without the task.
func TestModelOfAStoredRun(t *testing.T) {
	isolate(t)
	task := quick()
	task.Data = digits().Permute(dataset.Permutation(28*28, 1)).First(256)
	run := mustFit(t, task)
	mine, err := run.Model()
	if err != nil {
		t.Fatal(err)
	}
	found, err := Find(run.Dir())
	if err != nil {
		t.Fatal(err)
	}
	stored, err := found.Model()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(stored.Weights, mine.Weights) || len(stored.Weights) != 2 {
		t.Errorf("weights %v, want %v", stored.Weights, mine.Weights)
	}
	want := dataset.Input{
		Mean: []float64{0.1307}, Std: []float64{0.3081}, Permutation: dataset.Permutation(28*28, 1),
		Classes: strings.Split("0123456789", ""),
	}
	want.Height, want.Width, want.Channels = 28, 28, 1
	for what, got := range map[string]dataset.Input{"of the run": mine.Input, "stored": stored.Input} {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("input %s: %v, want %v", what, got, want)
		}
	}
	if nn.Name(stored.Net) != "Linear" {
		t.Errorf("the network is called %s", nn.Name(stored.Net))
	}
}

// Runs did not always keep how pictures reach the network. What can be known is, and the rest is said.
func TestModelOfARunOfBefore(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick())
	text, err := os.ReadFile(inRun(run, store.Result))
	if err != nil {
		t.Fatal(err)
	}
	var result map[string]any
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatal(err)
	}
	delete(result, "input")
	before, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(inRun(run, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	sum := func(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }
	for name, content := range map[string][]byte{
		store.Result: before,
		"SHA256SUMS": []byte(strings.Replace(string(sums), sum(text), sum(before), 1)),
	} {
		if err := os.WriteFile(inRun(run, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := quick().Load(); err != nil {
		t.Errorf("its task does not find it: %v", err)
	}
	found, err := Find(run.Dir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = found.Model()
	checkError(t, err, run.Dir()[strings.LastIndex(run.Dir(), "/")+1:], "does not keep the names of its classes", "Fresh: true")

	photos := dataset.CIFAR10().NormalizeRGB([3]float64{0.1, 0.2, 0.3}, [3]float64{0.4, 0.5, 0.6})
	about := description{Data: photos.Description()}
	if input, err := inputOf(about, Result{}); err != nil || !reflect.DeepEqual(input, photos.Input()) {
		t.Errorf("%v, %v, want %v", input, err, photos.Input())
	}
	about.Contents = []string{"of somebody else's CIFAR-10"}
	_, err = inputOf(about, Result{})
	checkError(t, err, "does not keep the names of its classes")
	about = description{Data: dataset.MNIST().Permute(dataset.Permutation(28*28, 1)).Description()}
	_, err = inputOf(about, Result{})
	checkError(t, err, "does not keep in which order it takes the pixels")
}
