package train

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
)

//go:embed testdata/short_batch.json
var shortBatch []byte

// Batches of 8, 8 and 5 images compute what PyTorch does with them: the losses, and after two epochs the weights and
// batch norm's running averages. See testdata/short_batch.py.
func TestShortBatchAsInPyTorch(t *testing.T) {
	isolate(t)
	var pytorch struct {
		Batch, Classes int
		Rate, Momentum float64
		Pixels, Labels []int
		Start, End     map[string][]float32
		Orders         [][]int32
		Losses         []float32
	}
	if err := json.Unmarshal(shortBatch, &pytorch); err != nil {
		t.Fatal(err)
	}
	split := &dataset.Split{}
	for _, pixel := range pytorch.Pixels {
		split.Pixels = append(split.Pixels, byte(pixel))
	}
	for _, label := range pytorch.Labels {
		split.Labels = append(split.Labels, byte(label))
	}
	var classes []string
	for class := range pytorch.Classes {
		classes = append(classes, strconv.Itoa(class))
	}
	data := dataset.New("noise", classes, 8, 8, 2, func() (*dataset.Split, *dataset.Split, error) { return split, split, nil })
	net := nn.Named("Small", nn.Conv(3, 3), nn.BatchNorm, nn.ReLU, nn.MaxPool(2), nn.Flatten, nn.Dense(pytorch.Classes))
	config := Config{Epochs: len(pytorch.Orders), Batch: pytorch.Batch, Optimizer: SGD(pytorch.Rate, pytorch.Momentum), Progress: Quiet}

	for _, stepsInACall := range []int{1, 2, 3} {
		worker, err := Task{Net: net, Data: data, Config: config}.Worker()
		if err != nil {
			t.Fatal(err)
		}
		trainer, vars := worker.t.trainer, worker.t.engine.vars
		for name, values := range pytorch.Start {
			v := vars.GetVariable(nn.Path(name))
			if err := v.SetValue(tensors.FromFlatDataAndDimensions(values, v.Shape().Dimensions...)); err != nil {
				t.Fatal(err)
			}
		}
		var losses []float32
		for _, order := range pytorch.Orders {
			for images := range slices.Chunk(order, stepsInACall*pytorch.Batch) {
				some, err := trainer.steps(context.Background(), portion{order: images, state: worker.t.randomState, needs: worker.t.stepNumbers})
				if err != nil {
					t.Fatal(err)
				}
				losses = append(losses, some...)
			}
		}
		check := func(what string, got, want []float32) {
			t.Helper()
			if len(got) != len(want) {
				t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
			}
			for i := range want {
				if math.Abs(float64(got[i]-want[i])) > 1e-5 {
					t.Errorf("%d steps in a call, %s %d: %v, PyTorch has %v", stepsInACall, what, i, got[i], want[i])
				}
			}
		}
		check("loss", losses, pytorch.Losses)
		for name, want := range pytorch.End {
			check(name, tensors.MustCopyFlatData[float32](vars.GetVariable(nn.Path(name)).MustValue()), want)
		}
	}
}

// However a run is cut into calls, by their length, by interrupts or by a slow machine, it is the same to the last
// bit: batch norm, dropout, augmentation and a short last batch included.
func TestHoweverARunIsCut(t *testing.T) {
	net := nn.Named("All", nn.Conv(4, 3), nn.BatchNorm, nn.ReLU, nn.MaxPool(2), nn.Flatten, nn.Dropout(0.3), nn.Dense(10))
	data := digits().First(100).Augment(dataset.RandomCrop(28, 2), dataset.RandomFlip)
	c := Task{Net: net, Data: data, Config: Config{
		Epochs: 2, Batch: 16, Optimizer: Adam(0.01), Seed: 1, Progress: Quiet}} // 6 batches of 16 and one of 4
	isolate(t)
	whole := mustFit(t, c)
	weights, err := whole.Weights("batch-norm1/variance")
	if err != nil {
		t.Fatal(err)
	}
	check := func(how string, run *Run) {
		t.Helper()
		if !slices.Equal(run.History.Losses, whole.History.Losses) || run.Result.TestLoss != whole.Result.TestLoss {
			t.Errorf("%s: losses %v, test %v; want %v, test %v",
				how, run.History.Losses, run.Result.TestLoss, whole.History.Losses, whole.Result.TestLoss)
		}
		if got, err := run.Weights("batch-norm1/variance"); err != nil || !slices.Equal(got.Values, weights.Values) {
			t.Errorf("%s: running variance %v, want %v, %v", how, got, weights, err)
		}
	}
	for _, steps := range []int{1, 3, 7} {
		isolate(t)
		c.perCall = steps
		check(fmt.Sprintf("%d steps in a call", steps), mustFit(t, c))
	}
	for step := 1; step < 14; step++ { // also after an epoch's last step, with its test still to come
		isolate(t)
		checkError(t, interruptAt(t, step, c), "interrupted")
		check(fmt.Sprintf("interrupted after step %d", step), mustFit(t, c))
	}
}

// Other contents under the same name are another data set; the same contents are the same one.
func TestDataSetIsKnownByItsContents(t *testing.T) {
	isolate(t)
	mine := func(change func(train, test *dataset.Split)) dataset.Images {
		return dataset.New("mine", dataset.MNIST().Classes, 28, 28, 1, func() (*dataset.Split, *dataset.Split, error) {
			a, b, err := open(sample.MNIST())
			if err != nil {
				return nil, nil, err
			}
			train, test := *a, *b
			train.Pixels, test.Labels = slices.Clone(a.Pixels), slices.Clone(b.Labels)
			change(&train, &test)
			return &train, &test, nil
		})
	}
	same := func(_, _ *dataset.Split) {}
	with := func(change func(train, test *dataset.Split)) Task {
		task := quick()
		task.Data = mine(change)
		return task
	}
	first := mustFit(t, with(same))
	if _, err := with(same).Load(); err != nil {
		t.Errorf("the same contents: %v", err)
	}
	for what, change := range map[string]func(train, test *dataset.Split){
		"a pixel":           func(train, _ *dataset.Split) { train.Pixels[5]++ },
		"a label":           func(_, test *dataset.Split) { test.Labels[0] = (test.Labels[0] + 1) % 10 },
		"fewer test images": func(_, test *dataset.Split) { *test = *test.Part(0, 100) },
	} {
		if _, err := with(change).Load(); err == nil {
			t.Errorf("%s changed and the run of before was loaded", what)
		}
		run := mustFit(t, with(change))
		if run.Dir() == first.Dir() {
			t.Errorf("%s changed and the run has the same folder", what)
		}
		said := run.Differs(first)
		if !strings.HasPrefix(said, "contents ") || !strings.HasSuffix(said, ", the rest the same") || strings.Count(said, "→") != 1 {
			t.Errorf("%s changed: said is %q", what, said)
		}
		predictions, err := run.Test()
		if err != nil {
			t.Fatal(err)
		}
		if predictions.Accuracy() != run.Result.TestAccuracy {
			t.Errorf("%s changed: accuracy %v, the result says %v", what, predictions.Accuracy(), run.Result.TestAccuracy)
		}
	}
}

// Classes that got other names are not answered by their old ones: the run is trained anew, once, and comes out alike.
func TestClassesThatGotOtherNames(t *testing.T) {
	isolate(t)
	task := quick()
	before := mustFit(t, task)
	task.Data.Classes = append([]string{"nought", "一", "\xff"}, task.Data.Classes[3:]...)
	if _, err := task.Load(); err == nil {
		t.Error("the run with the old names was loaded")
	}
	after := mustFit(t, task)
	stored, err := Find(after.Dir())
	if err != nil {
		t.Fatal(err)
	}
	model, err := stored.Model()
	if err != nil {
		t.Fatal(err)
	}
	if got := model.Input.Classes; got[0] != "nought" || got[1] != "一" || got[3] != before.Result.Input.Classes[3] {
		t.Errorf("a program gets the names %q", got)
	}
	if !slices.Equal(after.History.Losses, before.History.Losses) {
		t.Error("the losses are others")
	}
	if again, err := task.Load(); err != nil || again.Result.StartedAt != after.Result.StartedAt {
		t.Errorf("it was not kept: %v", err)
	}
}
