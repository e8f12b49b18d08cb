package train

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train/internal/store"
)

// fitful is a training whose learning rate is so high that its accuracy goes up and down: 7 batches an epoch.
func fitful() Task {
	task := quick().of(nn.Named("Fitful", nn.Conv(2, 5).Stride(4), nn.BatchNorm, nn.ReLU, nn.Flatten, nn.Dense(10)))
	task.Loss, task.Optimizer, task.Epochs = CrossEntropy, SGD(0.1, 0.9), 9
	task.Data = task.Data.Validate(112)
	return task
}

// accuracies are those on the validation images after each epoch.
func accuracies(h History) (all []float64) {
	for _, e := range h.Epochs {
		all = append(all, e.ValidationAccuracy)
	}
	return all
}

// sameFiles makes sure that two runs keep the same network and the same of the test images, to the last bit.
func sameFiles(t *testing.T, what string, a, b *Run) {
	t.Helper()
	for _, name := range []string{store.Model, store.Test} {
		x, err := os.ReadFile(inRun(a, name))
		if err != nil {
			t.Fatal(err)
		}
		if y, err := os.ReadFile(inRun(b, name)); err != nil || !bytes.Equal(x, y) {
			t.Errorf("%s: %s differs, %v", what, name, err)
		}
	}
}

// The best epoch has the highest accuracy, then the lowest loss, then the lowest number.
func TestBestEpoch(t *testing.T) {
	epoch := func(accuracy, loss float64) EpochHistory {
		return EpochHistory{ValidationAccuracy: accuracy, ValidationLoss: loss, TestAccuracy: 100 - accuracy}
	}
	epochs := []EpochHistory{epoch(50, 2), epoch(70, 1), epoch(60, 0.5), epoch(70, 0.9), epoch(70, 0.9), epoch(70, 1.5)}
	for n, want := range []int{0, 1, 1, 3, 3, 3} {
		if got := best(epochs[:n+1]); got != want {
			t.Errorf("of the first %d the best is %d, want %d", n+1, got, want)
		}
	}
	// Without a better one since: 0, 0, 1, 0, 1, 2 epochs.
	for patience, want := range map[int]int{0: 6, 1: 3, 2: 6, 3: 6} {
		c := Config{Epochs: 6, Patience: patience}
		n := 1
		for !c.over(epochs[:n]) {
			n++
		}
		if n != want {
			t.Errorf("with patience %d it ends after epoch %d, want %d", patience, n, want)
		}
	}
	if (Config{Epochs: 7, Patience: 2}).over(epochs) != true || (Config{Epochs: 7, Patience: 3}).over(epochs) {
		t.Error("it ends at the wrong epoch")
	}
}

// A run that keeps its best epoch is the run of that many epochs, to the last bit.
func TestKeepsTheBestEpoch(t *testing.T) {
	isolate(t)
	whole := mustFit(t, fitful())
	at := best(whole.History.Epochs)
	if at == 0 || at > 5 {
		t.Fatalf("the best of %v is epoch %d: the test needs a later one, and some after it", accuracies(whole.History), at+1)
	}
	task := fitful()
	task.Keep = BestEpoch
	kept := mustFit(t, task)
	if !slices.Equal(kept.History.Losses, whole.History.Losses) || len(kept.History.Epochs) != 9 {
		t.Error("keeping the best epoch changes the training")
	}
	short := fitful()
	short.Epochs = at + 1
	same := mustFit(t, short)
	sameFiles(t, "a run of so many epochs", kept, same)
	r, want := kept.Result, kept.History.Epochs[at]
	if r.Epoch != at+1 || r.TestLoss != want.TestLoss || r.TestAccuracy != want.TestAccuracy ||
		r.ValidationLoss != want.ValidationLoss || r.ValidationAccuracy != want.ValidationAccuracy {
		t.Errorf("the result %+v is not that of epoch %d, %+v", r, at+1, want)
	}
	if predictions, err := kept.Test(); err != nil || predictions.Loss() != r.TestLoss {
		t.Errorf("what is kept of the test images is of another epoch, %v", err)
	}
	if whole.Result.Epoch != 0 {
		t.Errorf("a run without Keep says that its epoch is %d", whole.Result.Epoch)
	}
	sameLoaded(t, kept)
}

// sameLoaded makes sure that a run is loaded as it was trained.
func sameLoaded(t *testing.T, run *Run) {
	t.Helper()
	loaded, err := run.Task.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(loaded.Result, run.Result) || !reflect.DeepEqual(loaded.History, run.History) {
		t.Errorf("loaded %+v, want %+v", loaded.Result, run.Result)
	}
}

// A training that has patience ends where it should, with the run of that many epochs.
func TestPatience(t *testing.T) {
	isolate(t)
	whole := mustFit(t, fitful())
	patient := fitful()
	patient.Keep, patient.Patience = BestEpoch, 2
	early := mustFit(t, patient)
	stop := 0
	for n := 3; n <= 9 && stop == 0; n++ { // neither of two epochs is better than the best one before
		if best(whole.History.Epochs[:n]) == n-3 {
			stop = n
		}
	}
	if stop == 0 || stop == 9 {
		t.Fatalf("with %v it does not end early", accuracies(whole.History))
	}
	if n := len(early.History.Epochs); n != stop || !slices.Equal(early.History.Losses, whole.History.Losses[:7*n]) {
		t.Errorf("it ended after epoch %d of %v, want %d", n, accuracies(whole.History), stop)
	}
	until := fitful()
	until.Epochs, until.Keep = stop, BestEpoch
	sameFiles(t, "one that ended early", early, mustFit(t, until))

	last := patient
	last.Keep = LastEpoch
	ended := mustFit(t, last)
	until.Keep = LastEpoch
	sameFiles(t, "one that ended early and keeps the last epoch", ended, mustFit(t, until))
	if ended.Result.Epoch != stop {
		t.Errorf("it says that it is of epoch %d, want %d", ended.Result.Epoch, stop)
	}
	sameLoaded(t, early)
	sameLoaded(t, ended)
}

// A training is resumed exactly where it stopped before, at and after its best epoch, and where it was killed before it
// could save what it did since the last checkpoint.
func TestBestEpochIsResumedExactly(t *testing.T) {
	isolate(t)
	patient := fitful()
	patient.Keep, patient.Patience = BestEpoch, 2
	early := mustFit(t, patient)
	at, stop := early.Result.Epoch, len(early.History.Epochs)
	isolate(t)
	for _, step := range []int{7*at - 4, 7 * at, 7*at + 2, 7*stop - 1} {
		if err := interruptAt(t, step, patient); err == nil {
			t.Fatalf("was not interrupted at step %d", step)
		}
	}
	saved := checkpoints(mustPlan(t, patient))
	if err := os.Remove(saved[len(saved)-1]); err != nil || len(saved) != 2 {
		t.Fatalf("saved are %q, %v", saved, err)
	}
	resumed := mustFit(t, patient)
	sameFiles(t, "interrupted at times", resumed, early)
	if !slices.Equal(resumed.History.Losses, early.History.Losses) || resumed.Result.Epoch != early.Result.Epoch {
		t.Errorf("epoch %d of %v, without interruptions %d of %v", resumed.Result.Epoch, accuracies(resumed.History),
			early.Result.Epoch, accuracies(early.History))
	}
}

// A checkpoint that lacks what it should have of the best epoch is set aside.
func TestCheckpointsWithoutTheBestEpoch(t *testing.T) {
	isolate(t)
	task := fitful()
	task.Keep, task.Epochs = BestEpoch, 4
	want := mustFit(t, task)
	for what, change := range map[string]func(variables map[string]safetensors.Tensor){
		"all of it": func(variables map[string]safetensors.Tensor) { takeOutcome(variables) },
		"a weight":  func(variables map[string]safetensors.Tensor) { delete(variables, bestModel+nn.Path("dense1/bias")) },
		"the outputs": func(variables map[string]safetensors.Tensor) {
			variables[bestTest+"outputs"] = safetensors.Float32(make([]float32, 10), 1, 10)
		},
		"one more": func(variables map[string]safetensors.Tensor) {
			variables[bestModel+nn.Path("dense2/bias")] = safetensors.Float32(make([]float32, 10), 10)
		},
	} {
		isolate(t)
		checkError(t, interruptAt(t, 16, task), "interrupted")
		p := mustPlan(t, task)
		for _, path := range checkpoints(p) {
			variables, metadata, err := safetensors.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			change(variables)
			if err := safetensors.Write(path, variables, metadata); err != nil {
				t.Fatal(err)
			}
		}
		var told record
		again := task
		again.Progress = &told
		sameFiles(t, "without "+what, mustFit(t, again), want)
		noted := 0
		for _, e := range told.events {
			if _, ok := e.(Noted); ok {
				noted++
			}
		}
		if damaged, _ := filepath.Glob(inTraining(p, "*.damaged")); noted < 2 || len(damaged) > 0 {
			t.Errorf("without %s it said %d times that it is damaged; left behind: %q", what, noted, damaged)
		}
	}
}

// What is told of a run that ended early says so, when it is trained and when it is stored.
func TestWhatIsToldOfTheBestEpoch(t *testing.T) {
	isolate(t)
	for _, c := range []struct {
		keep     Keep
		patience int
		note     string // of the best epoch and of the last one
	}{
		{LastEpoch, 0, ""},
		{BestEpoch, 0, "kept: epoch BEST of 9"},
		{LastEpoch, 2, "ended after epoch LAST of 9"},
		{BestEpoch, 2, "ended after epoch LAST of 9, kept: epoch BEST"},
	} {
		var printed bytes.Buffer
		task := fitful()
		task.Keep, task.Patience = c.keep, c.patience
		for _, when := range []string{"trained", "stored"} {
			var told record
			task.Progress = &told
			run := mustFit(t, task)
			end := told.events[len(told.events)-1].(Ended)
			done := len(run.History.Epochs)
			kept := done
			if c.keep == BestEpoch {
				kept = best(run.History.Epochs) + 1
			}
			if end.Err != nil || end.Epoch != kept || end.Done != done || end.EpochHistory != run.History.Epochs[kept-1] {
				t.Errorf("%s: told the end %+v, want epoch %d of %d", when, end, kept, done)
			}
			want := strings.NewReplacer("BEST", fmt.Sprint(kept), "LAST", fmt.Sprint(done)).Replace(c.note)
			if end.Note() != want {
				t.Errorf("%s: it says %q, want %q", when, end.Note(), want)
			}
			printed.Reset()
			LinesTo(&printed, 100).Tell(end)
			if got := printed.String(); want == "" && got != "" || want != "" && got != want+"\n" {
				t.Errorf("%s: printed %q, want %q", when, got, want)
			}
		}
	}
}

func TestKeepRefuses(t *testing.T) {
	isolate(t)
	for want, change := range map[string]func(task *Task){
		"Keep: train.BestEpoch needs validation images to tell which epoch is best, and MNIST sample has none: keep some back": func(task *Task) {
			task.Keep, task.Patience = BestEpoch, 3
		},
		"Patience: 3 needs validation images":                           func(task *Task) { task.Patience = 3 },
		"patience is -1: it must be":                                    func(task *Task) { task.Patience = -1 },
		`keep is "best": it must be train.LastEpoch or train.BestEpoch`: func(task *Task) { task.Keep = "best" },
	} {
		task := quick()
		change(&task)
		_, err := task.FitContext(t.Context())
		checkError(t, err, want)
	}
}

// Keep and Patience make other runs, and change no name where they are not set: TestDescriptionsStay knows that of a
// task without them.
func TestKeepIsPartOfTheRun(t *testing.T) {
	isolate(t)
	task := fitful()
	plain := mustPlan(t, task)
	task.Keep = BestEpoch
	kept := mustPlan(t, task)
	task.Patience = 3
	patient := mustPlan(t, task)
	if got, want := difference(plain.place, patient.place), "weights kept last epoch → best epoch, patience none → 3, the rest the same"; got != want {
		t.Errorf("differs in %q, want %q", got, want)
	}
	if plain.place.Dir() == kept.place.Dir() || kept.place.Dir() == patient.place.Dir() {
		t.Error("tasks that keep other weights have the same run")
	}
	if got, want := patient.recipe().String(), "9 epochs, batches of 64, cross-entropy, SGD, momentum 0.9, learning rate 0.1, best epoch kept, patience 3, seed 1"; got != want {
		t.Errorf("the recipe is %q, want %q", got, want)
	}
	if bytes.Contains(plain.place.About(), []byte("keep")) || bytes.Contains(plain.place.About(), []byte("patience")) {
		t.Errorf("without Keep the run is described as %s", plain.place.About())
	}
}
