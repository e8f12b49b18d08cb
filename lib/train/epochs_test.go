package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every epoch of a training is a line of the file that CONVBOOK_EPOCHS names, whether it was done now or before.
func TestEpochsAreNoted(t *testing.T) {
	isolate(t)
	task := quick()
	task.Data = task.Data.Validate(112) // 7 batches an epoch
	checkEpochs := func(name string, fit func(), want ...int) (noted []epochLine) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "epochs.jsonl")
		t.Setenv(epochsEnv, file)
		fit()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var epochs []int
		for line := range strings.Lines(string(text)) {
			var of epochLine
			if err := json.Unmarshal([]byte(line), &of); err != nil {
				t.Fatalf("%s: %q: %v", name, line, err)
			}
			noted, epochs = append(noted, of), append(epochs, of.Epoch)
		}
		if !slices.Equal(epochs, want) {
			t.Errorf("%s: noted epochs %v, want %v", name, epochs, want)
		}
		return noted
	}
	var run *Run
	checkEpochs("interrupted", func() { checkError(t, interruptAt(t, 9, task), "interrupted") }, 1)
	checkEpochs("gone on with", func() { run = mustFit(t, task) }, 1, 2)
	for i, of := range checkEpochs("stored", func() { mustFit(t, task) }, 1, 2) {
		if want := (epochLine{run.Dir(), "Linear", i + 1, 2, 0, run.History.Epochs[i]}); of != want || of.ValidationAccuracy == 0 {
			t.Errorf("noted %+v, want %+v", of, want)
		}
	}

	for i, of := range checkEpochs("of a run's task", func() { // another one, whose epochs are noted once
		longer := run.Task
		longer.Seed = 9
		run = mustFit(t, longer)
		run = mustFit(t, run.Task)
	}, 1, 2, 1, 2) {
		if of.Dir != run.Dir() {
			t.Errorf("line %d is about %s, want %s", i, of.Dir, run.Dir())
		}
	}

	t.Setenv(epochsEnv, t.TempDir())
	var said []string
	task.Seed, task.Progress = 2, heard{&said}
	mustFit(t, task)
	if all := strings.Join(said, "\n"); !strings.Contains(all, "cannot note epoch 2 in the file that CONVBOOK_EPOCHS names") {
		t.Errorf("said %q", said)
	}
}

// heard keeps what is noted.
type heard struct{ lines *[]string }

func (h heard) Tell(e Event) {
	if e, ok := e.(Noted); ok {
		*h.lines = append(*h.lines, e.Text)
	}
}
