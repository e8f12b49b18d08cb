package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Each run that Fit or Load returns is a line of the file that CONVBOOK_RESULTS names, and nothing else is.
func TestResultsAreNoted(t *testing.T) {
	isolate(t)
	file := filepath.Join(t.TempDir(), "results.jsonl")
	t.Setenv(resultsEnv, file)
	other := quick()
	other.Seed = 2
	if _, err := other.Load(); err == nil {
		t.Fatal("a run that was never trained was loaded")
	}
	checkError(t, interruptAt(t, 3, other), "interrupted")
	first, second := mustFit(t, quick()), mustFit(t, other)
	if _, err := quick().Load(); err != nil {
		t.Fatal(err)
	}
	mustFit(t, other)

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for line := range strings.Lines(string(text)) {
		var of struct {
			Dir    string
			About  struct{ Recipe Recipe }
			Result struct {
				Network      string
				TestAccuracy float64 `json:"test_accuracy"`
			}
			Data, Recipe string
		}
		if err := json.Unmarshal([]byte(line), &of); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		run := map[string]*Run{first.Dir(): first, second.Dir(): second}[of.Dir]
		if of.Result.Network != "Linear" || of.Result.TestAccuracy != run.Result.TestAccuracy || !reflect.DeepEqual(of.About.Recipe, run.Result.Recipe) ||
			of.Data != digits().String() || of.Recipe != run.Result.Recipe.String() {
			t.Errorf("noted %q", line)
		}
		dirs = append(dirs, of.Dir)
	}
	if want := []string{first.Dir(), second.Dir(), first.Dir(), second.Dir()}; !slices.Equal(dirs, want) {
		t.Errorf("noted %v, want %v", dirs, want)
	}

	var all sync.WaitGroup
	for range 20 { // lines that are added at the same time stay whole
		all.Go(func() {
			if err := first.report(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	text, _ = os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("noted %q", line)
		}
	}

	t.Setenv(resultsEnv, t.TempDir())
	_, err = quick().Load()
	checkError(t, err, "cannot note the run in the file that CONVBOOK_RESULTS names", "make it writable or unset CONVBOOK_RESULTS")
}
