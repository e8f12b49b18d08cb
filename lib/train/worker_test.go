package train

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
)

// A worker's training is Fit's, and it tests on whatever it is given.
func TestWorker(t *testing.T) {
	isolate(t)
	task := quick()
	run := mustFit(t, task)
	worker, err := task.Worker()
	if err != nil {
		t.Fatal(err)
	}
	losses, err := worker.Steps(3)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := worker.Steps(2*worker.Batches() - 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := append(losses, rest...); !slices.Equal(got, run.History.Losses) {
		t.Errorf("losses %v, Fit has %v", got, run.History.Losses)
	}
	predictions, err := worker.Test()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := run.Test(); err != nil || !reflect.DeepEqual(predictions, want) {
		t.Errorf("tested %v, Fit has %v", predictions.Accuracy(), want.Accuracy())
	}
	test, err := task.Data.Test()
	if err != nil {
		t.Fatal(err)
	}
	half, err := worker.TestOn(test.Part(0, 128))
	if err != nil || len(half.Labels) != 128 || !slices.Equal(half.Outputs.Values, predictions.Outputs.Values[:1280]) {
		t.Errorf("tested on a half: %v, %v", half, err)
	}
	again, err := task.Data.Test() // the same pictures at another address
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err = worker.TestOn(again.Part(0, 128)); err != nil {
			t.Fatal(err)
		}
	}
	other, err := worker.TestOn(again.Part(128, 256))
	if err != nil || !slices.Equal(other.Outputs.Values, predictions.Outputs.Values[1280:]) {
		t.Errorf("tested on the other half: %v, %v", other, err)
	}
	if n := len(worker.testers); n != 2 {
		t.Errorf("%d programs test two halves", n)
	}
	classes := task.Data.Classes // in another order there, and each is still what it is
	turned, err := task.Data.Only(append(slices.Clone(classes[1:]), classes[0])...).Test()
	if err != nil {
		t.Fatal(err)
	}
	if p, err := worker.TestOn(turned); err != nil || p.Accuracy() != predictions.Accuracy() || slices.Equal(turned.Labels, p.Labels) {
		t.Errorf("with other labels %v, %v, want %v", p.Accuracy(), err, predictions.Accuracy())
	}
	_, err = worker.TestOn(nil)
	checkError(t, err, "there is no split: get one with Train, Validation or Test of the data set")
	_, err = worker.TestOn(test.Part(5, 5))
	checkError(t, err, "0 images in 0 bytes: Linear takes some of 28×28×1")
	_, err = worker.TestOn(&dataset.Split{Pixels: make([]byte, 100), Labels: make([]byte, 2)})
	checkError(t, err, "2 images in 100 bytes: Linear takes some of 28×28×1")
	_, err = worker.TestOn(&dataset.Split{Pixels: make([]byte, 2*28*28), Labels: []byte{9, 10}})
	checkError(t, err, "image 1 has the label 10: the 10 classes of MNIST sample have the labels 0 to 9")
	weights, err := worker.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dense1/weights", "dense1/bias"} {
		if want, err := run.Weights(name); err != nil || !reflect.DeepEqual(weights[name], want) {
			t.Errorf("%s: %v, Fit has %v", name, weights[name], want)
		}
	}
	_, err = worker.Kept("mean")
	checkError(t, err, `SGD keeps no "mean": it keeps velocity`)
}

// A run tests on any split as a training does on its own.
func TestRunTestsOnAnySplit(t *testing.T) {
	isolate(t)
	task := modern() // its training pictures are changed at random, those that are tested are not
	task.Data = task.Data.Validate(112)
	task.TestBatch = 100
	run := mustFit(t, task)
	train, test, err := open(task.Data)
	if err != nil {
		t.Fatal(err)
	}
	validation, err := task.Data.Validation()
	if err != nil {
		t.Fatal(err)
	}
	again, err := run.TestOn(test)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := run.Test(); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("on the test images: %v, want %v", again, want)
	}
	on, err := run.TestOn(validation)
	if err != nil {
		t.Fatal(err)
	}
	last := run.History.Epochs[1]
	if on.Loss() != last.ValidationLoss || on.Accuracy() != last.ValidationAccuracy {
		t.Errorf("on the validation images: %v, %v, want %+v", on.Loss(), on.Accuracy(), last)
	}
	counted := 0
	for class, given := range on.Confusion() {
		counted += given[class]
	}
	if len(on.Labels) != 112 || counted != on.Correct() {
		t.Errorf("of %d validation images %d are on the diagonal, and %d correct", len(on.Labels), counted, on.Correct())
	}
	worker, err := task.Worker()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worker.Steps(2 * worker.Batches()); err != nil {
		t.Fatal(err)
	}
	want, err := worker.TestOn(train)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := task.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := loaded.TestOn(train); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("on the training images: %v, a worker says %v", got, want)
	}
	_, err = run.TestOn(nil)
	checkError(t, err, "there is no split: get one with Train, Validation or Test of the data set")
	_, err = run.TestOn(test.Part(5, 5))
	checkError(t, err, "0 images in 0 bytes: Modern takes some of 28×28×1")
	_, err = run.TestOn(&dataset.Split{Pixels: make([]byte, 28*28), Labels: []byte{10}})
	checkError(t, err, "image 0 has the label 10: the 10 classes of MNIST sample have the labels 0 to 9")
}

// Muon keeps a momentum for the weights of convolutions, and what Adam keeps for all others.
func TestKeptByMuon(t *testing.T) {
	isolate(t)
	task := quick().of(nn.Named("Small", nn.Conv(2, 5).Stride(4), nn.Flatten, nn.Dense(10)))
	task.Loss, task.Optimizer = CrossEntropy, Muon(0.01, 0.1)
	worker := untested(t, task)
	for name, want := range map[string][]string{
		"momentum": {"conv1/weights"},
		"variance": {"conv1/bias", "dense1/bias", "dense1/weights"},
	} {
		kept, err := worker.Kept(name)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range kept {
			names = append(names, name)
		}
		slices.Sort(names)
		if !slices.Equal(names, want) {
			t.Errorf("%s of %v, want of %v", name, names, want)
		}
	}
	_, err := worker.Kept("velocity")
	checkError(t, err, `Muon keeps no "velocity": it keeps mean, variance, momentum`)
}

// Beyond the last epoch the last step's rate holds, so a rate that falls does not fall below 0 and climb.
func TestStepsBeyondTheLastEpoch(t *testing.T) {
	task := quick()
	task.Schedule = ScheduleFunc("table", func(done float64) float64 { return []float64{1, 0.5, 0.25, 0}[int(4*done)] })
	worker := untested(t, task)
	if err := worker.t.compile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := worker.Steps(task.Epochs * worker.Batches()); err != nil {
		t.Fatal(err)
	}
	before, err := worker.Weights()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worker.Steps(3); err != nil {
		t.Fatal(err)
	}
	if after, err := worker.Weights(); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("at the rate 0 the weights changed, %v", err)
	}
	if got := len(worker.Order(math.MaxInt)); got != worker.t.about.Images {
		t.Errorf("an epoch's order has %d images, want %d", got, worker.t.about.Images)
	}
}

// A function that fails only at a step of this training is found before the training.
func TestScheduleThatFailsAtAStep(t *testing.T) {
	isolate(t)
	task := quick()
	task.Epochs = 401
	steps := 401 * mustPlan(t, task).batches()
	task.Schedule = ScheduleFunc("hole", func(done float64) float64 {
		if done == float64(steps-1)/float64(steps) {
			return math.NaN()
		}
		return 1
	})
	_, err := task.Fit()
	checkError(t, err, `the schedule "hole" gives NaN of the learning rate when 1 of the training is done: it must be at least 0 and finite`)
}
