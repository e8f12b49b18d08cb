package train

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train/internal/store"
)

// finishedFiles are those of a finished run.
var finishedFiles = []string{"SHA256SUMS", store.Config, store.History, store.Model, store.Result, store.Test}

// Whatever happens to a file of a finished run is noticed when the run is loaded, in a line that names the folder, the
// file and the remedy; the remedy works, and what was there is kept.
func TestDamagedRunIsNoticed(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick())
	other := quick()
	other.Seed = 2
	stranger := mustFit(t, other)
	whole := map[string][]byte{}
	for _, name := range finishedFiles {
		content, err := os.ReadFile(inRun(run, name))
		if err != nil {
			t.Fatal(err)
		}
		whole[name] = content
	}
	digit := func(content []byte) []byte { // another digit instead of one
		content = slices.Clone(content)
		i := bytes.LastIndexAny(content, "123456789")
		content[i] = '1' + (content[i]-'1'+1)%9
		return content
	}
	damages := map[string]func(name string, content []byte) error{
		"missing":   func(name string, _ []byte) error { return nil },
		"empty":     func(name string, _ []byte) error { return os.WriteFile(inRun(run, name), nil, 0o644) },
		"null":      func(name string, _ []byte) error { return os.WriteFile(inRun(run, name), []byte("null"), 0o644) },
		"truncated": func(name string, c []byte) error { return os.WriteFile(inRun(run, name), c[:len(c)/2], 0o644) },
		"digit":     func(name string, c []byte) error { return os.WriteFile(inRun(run, name), digit(c), 0o644) },
		"longer": func(name string, c []byte) error {
			return os.WriteFile(inRun(run, name), append(slices.Clone(c), '\n'), 0o644)
		},
		"a folder":   func(name string, _ []byte) error { return os.Mkdir(inRun(run, name), 0o755) },
		"no newline": func(name string, c []byte) error { return os.WriteFile(inRun(run, name), c[:len(c)-1], 0o644) },
		"a pipe":     func(name string, _ []byte) error { return syscall.Mkfifo(inRun(run, name), 0o644) },
		"a lost end": func(name string, _ []byte) error { return os.Symlink("nowhere", inRun(run, name)) },
		"a stranger": func(name string, _ []byte) error {
			content, err := os.ReadFile(inRun(stranger, name))
			if err != nil {
				return err
			}
			return os.WriteFile(inRun(run, name), content, 0o644)
		},
	}
	for what, damage := range damages {
		for name, content := range whole {
			if err := os.RemoveAll(inRun(run, name)); err != nil {
				t.Fatal(err)
			}
			if err := damage(name, content); err != nil {
				t.Fatal(err)
			}
			_, err := quick().Load()
			if err == nil {
				t.Errorf("%s, %s: loaded", name, what)
				continue
			}
			if name != "SHA256SUMS" || what != "a stranger" { // then the first other file is the one that does not fit
				checkError(t, err, run.Dir(), name, "put its files back, or train it again with Fresh: true")
			}
			if _, again := quick().FitContext(context.Background()); again == nil {
				t.Errorf("%s, %s: trained without a word", name, what)
			}
			os.RemoveAll(inRun(run, name))
			if err := os.WriteFile(inRun(run, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := quick().Load(); err != nil {
		t.Fatalf("all files are back: %v", err)
	}
	os.Remove(inRun(run, store.Model))
	c := quick()
	c.Fresh = true
	mustFit(t, c)
	if _, err := quick().Load(); err != nil {
		t.Errorf("trained again: %v", err)
	}
	if !exists(filepath.Join(run.Dir()+".previous", store.Result)) {
		t.Error("what was there is lost")
	}
}

// All files of another run, sums and all, are not this run.
func TestRunOfOtherSettings(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick())
	c := quick()
	c.Seed = 2
	other := mustPlan(t, c).place.Dir()
	if err := os.CopyFS(other, os.DirFS(run.Dir())); err != nil {
		t.Fatal(err)
	}
	_, err := c.Load()
	checkError(t, err, other, "config.json is of another run")
}

// A file that is damaged after the run was loaded is noticed when it is read.
func TestDamageAfterLoading(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick())
	for _, name := range []string{store.Model, store.Test} {
		if err := os.WriteFile(inRun(run, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err := run.Weights("dense1/weights")
	checkError(t, err, run.Dir(), store.Model, "Fresh: true")
	_, err = run.Test()
	checkError(t, err, run.Dir(), store.Test, "Fresh: true")
	few := map[string]safetensors.Tensor{"outputs": safetensors.Float32(make([]float32, 20), 2, 10), "losses": safetensors.Float32(make([]float32, 2), 2)}
	if err := safetensors.Write(inRun(run, store.Test), few, nil); err != nil {
		t.Fatal(err)
	}
	_, err = run.Test()
	checkError(t, err, "test.safetensors is not the one that was loaded")
	run = sealed(t, run)
	_, err = run.Test()
	checkError(t, err, "has 20 outputs and 2 losses for 256 test images of 10 classes")
}

// sealed loads a run after giving it the sums of the files that are in it now.
func sealed(t *testing.T, run *Run) *Run {
	t.Helper()
	var sums []byte
	for _, name := range finishedFiles[1:] {
		content, err := os.ReadFile(inRun(run, name))
		if err != nil {
			t.Fatal(err)
		}
		sums = fmt.Appendf(sums, "%x  %s\n", sha256.Sum256(content), name)
	}
	if err := os.WriteFile(inRun(run, finishedFiles[0]), sums, 0o644); err != nil {
		t.Fatal(err)
	}
	run, err := run.Task.Load()
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// A finished run is used without writing: no lock is needed, and none that is held is waited for.
func TestFinishedRunNeedsNoLock(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick())
	lock := run.Dir() + ".lock"
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(lock, 0o755); err != nil { // whoever wanted the lock would fail
		t.Fatal(err)
	}
	mustFit(t, quick())
	if _, err := quick().Load(); err != nil {
		t.Error(err)
	}
}

// mark puts a file into a run's folder, by which it is known again.
func mark(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "mark"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func marked(dir string) bool { return exists(filepath.Join(dir, "mark")) }

func TestFreshKeepsTheRunBefore(t *testing.T) {
	isolate(t)
	c := quick()
	run := mustFit(t, c)
	mark(t, run.Dir())
	c.Fresh = true
	again := mustFit(t, c)
	if again.Dir() != run.Dir() || marked(run.Dir()) {
		t.Error("the run was not trained again")
	}
	if !marked(run.Dir() + ".previous") {
		t.Error("the run before is lost")
	}
	if exists(run.Dir() + ".training") {
		t.Error("the folder in which it was trained is left")
	}
}

// A fresh run that is interrupted leaves the finished one in its place, goes on where it stopped, and is trained anew
// only once it is finished.
func TestFreshRunGoesOn(t *testing.T) {
	isolate(t)
	c := quick()
	run := mustFit(t, c)
	mark(t, run.Dir())
	c.Fresh = true
	var out bytes.Buffer
	c.Progress = LinesTo(&out, 1)
	for _, step := range []int{3, 11} {
		checkError(t, interruptAt(t, step, c), "interrupted")
		if !marked(run.Dir()) {
			t.Fatal("the finished run is gone")
		}
	}
	stored := quick()
	if _, err := stored.Load(); err != nil {
		t.Error(err)
	}
	resumed := mustFit(t, c)
	for _, want := range []string{"going on after step 3 of 16", "going on after step 11 of 16"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("printed\n%s\nwant %q in it", &out, want)
		}
	}
	if !slices.Equal(resumed.History.Losses, run.History.Losses) {
		t.Error("the losses differ from an uninterrupted run's")
	}
	if marked(run.Dir()) || !marked(run.Dir()+".previous") {
		t.Error("the fresh run did not take the place of the one before")
	}
	out.Reset()
	mustFit(t, c)
	if !strings.Contains(out.String(), "Epoch 1/2") || strings.Contains(out.String(), "going on") {
		t.Errorf("printed\n%s\nwant a new training", &out)
	}
}

// A process that was killed while its finished fresh run took the place of the one before: nothing is lost, and the
// next one ends the work.
func TestFreshRunIsInstalledAfterAKill(t *testing.T) {
	for _, previousMoved := range []bool{false, true} {
		isolate(t)
		run := mustFit(t, quick())
		mark(t, run.Dir())
		if err := os.CopyFS(run.Dir()+".training", os.DirFS(run.Dir())); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(run.Dir()+".training", "mark"))
		if previousMoved {
			if err := os.Rename(run.Dir(), run.Dir()+".previous"); err != nil {
				t.Fatal(err)
			}
			loaded, err := quick().Load()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := loaded.Test(); err != nil {
				t.Error(err)
			}
		} else {
			c := quick()
			c.Fresh = true
			mustFit(t, c)
		}
		if !exists(run.Dir()) || marked(run.Dir()) || !marked(run.Dir()+".previous") {
			t.Error("the fresh run is not in its place, or the one before is lost")
		}
	}
}

// Checkpoints that say what cannot be are set aside, however whole they are.
func TestImpossibleCheckpoint(t *testing.T) {
	isolate(t)
	c := quick()
	whole := mustFit(t, c)
	for what, change := range map[string]func(at *position){
		"more epochs than steps":  func(at *position) { at.History.Epochs = make([]EpochHistory, 2) },
		"fewer losses than steps": func(at *position) { at.History.Losses = at.History.Losses[1:] },
		"after the end":           func(at *position) { at.Step, at.History.Losses = 99, make([]float32, 99) },
		"before the start":        func(at *position) { at.Step, at.History.Losses = -1, nil },
		"no step":                 func(at *position) { *at = position{} },
		"a missing test":          func(at *position) { at.History.Epochs = nil },
	} {
		isolate(t)
		checkError(t, interruptAt(t, 11, c), "interrupted")
		paths := checkpoints(mustPlan(t, c))
		path := paths[len(paths)-1]
		saved, about, err := safetensors.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		var at position
		if err := json.Unmarshal([]byte(about["position"]), &at); err != nil {
			t.Fatal(err)
		}
		at.History.Losses, _ = saved[lossesSoFar].Float32s()
		change(&at)
		saved[lossesSoFar] = safetensors.Float32(at.History.Losses, len(at.History.Losses))
		at.History.Losses = nil
		text, _ := json.Marshal(at)
		if err := safetensors.Write(path, saved, map[string]string{"run": about["run"], "position": string(text)}); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		again := c
		again.Progress = LinesTo(&out, 1)
		resumed := mustFit(t, again)
		if !slices.Equal(whole.History.Losses, resumed.History.Losses) {
			t.Errorf("%s: the losses differ from an uninterrupted run's", what)
		}
		if !strings.Contains(out.String(), "it cannot be from where it says") || !strings.Contains(out.String(), "going on after step 8 of 16") {
			t.Errorf("%s: printed\n%s", what, &out)
		}
	}
}

// A training goes on from a checkpoint of an earlier version, which had the losses in its text.
func TestCheckpointOfAnEarlierVersion(t *testing.T) {
	isolate(t)
	c := quick()
	whole := mustFit(t, c)
	isolate(t)
	checkError(t, interruptAt(t, 11, c), "interrupted")
	for _, path := range checkpoints(mustPlan(t, c)) {
		saved, about, err := safetensors.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		var at position
		if err := json.Unmarshal([]byte(about["position"]), &at); err != nil || at.History.Losses != nil {
			t.Fatal(at, err)
		}
		at.History.Losses, _ = saved[lossesSoFar].Float32s()
		delete(saved, lossesSoFar)
		text, _ := json.Marshal(at)
		if err := safetensors.Write(path, saved, map[string]string{"run": about["run"], "position": string(text)}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	c.Progress = LinesTo(&out, 1)
	resumed := mustFit(t, c)
	if !slices.Equal(whole.History.Losses, resumed.History.Losses) || !strings.Contains(out.String(), "going on after step 11 of 16") {
		t.Errorf("losses %v, want %v; printed\n%s", resumed.History.Losses, whole.History.Losses, &out)
	}
}

// What a process that was killed had begun to write is removed by the next one.
func TestLeftoversAreSwept(t *testing.T) {
	isolate(t)
	c := quick()
	checkError(t, interruptAt(t, 3, c), "interrupted")
	p := mustPlan(t, c)
	half := inTraining(p, ".checkpoint-000000009.safetensors123")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkError(t, interruptAt(t, 11, c), "interrupted")
	if exists(half) {
		t.Error("a half-written file is left")
	}
	damaged := checkpoints(p)[0]
	if err := os.WriteFile(damaged, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	finished := mustFit(t, c)
	entries, err := os.ReadDir(finished.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(finishedFiles) || exists(inTraining(p, "")) {
		t.Errorf("the finished run's folder holds %v", entries)
	}
}

// What takes long is left alone after an interrupt; what is ready by then is used.
func TestAttend(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	if n, err := attend(ctx, func() (int, error) { return 1, fs.ErrExist }); n != 1 || err != fs.ErrExist {
		t.Errorf("%v, %v", n, err)
	}
	never := make(chan int)
	if _, err := attend(ctx, func() (int, error) { cancel(); return <-never, nil }); !errors.Is(err, ErrInterrupted) {
		t.Errorf("error %v, want that it was interrupted", err)
	}
	if _, err := attend(ctx, func() (int, error) { return 1, nil }); !errors.Is(err, ErrInterrupted) {
		t.Errorf("error %v of what began after an interrupt", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	if n, err := attend(ctx, func() (int, error) { cancel(); return 1, nil }); n != 1 || err != nil {
		t.Errorf("what was ready: %v, %v", n, err)
	}
	close(never)
}

// Runs that another version of the book stored are said to be there, once, and stay as they are.
func TestOlderRunsAreLeftAlone(t *testing.T) {
	runs := isolate(t)
	saidOlder = sync.Once{}
	write := func(name, about string) {
		dir := filepath.Join(runs, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, store.Config), []byte(about), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("Linear-MNIST-sample-0123456789ab", `{"format": 2, "network": "Linear"}`)
	write("Linear-MNIST-sample-ba9876543210", `{"format": 99}`)
	for name, about := range map[string]string{ // none of these is such a run
		"Linear-MNIST-sample-000000000000":          fmt.Sprintf(`{"format": %d}`, format),
		"Linear-MNIST-sample-111111111111":          "not JSON",
		"Linear-MNIST-sample-222222222222.previous": `{"format": 2}`,
		"Linear-MNIST-sample-large-0123456789ab":    `{"format": 2}`,
		"CNN-MNIST-sample-0123456789ab":             `{"format": 2}`,
	} {
		write(name, about)
	}
	before, err := os.ReadDir(runs)
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(runs, "Linear-MNIST-sample-333333333333", store.Config) // must not make the program wait
	if err := cmp.Or(os.Mkdir(filepath.Dir(pipe), 0o755), syscall.Mkfifo(pipe, 0o644)); err != nil {
		t.Fatal(err)
	}
	_, err = quick().Load()
	checkError(t, err, "was not trained")
	var out bytes.Buffer
	task := quick()
	task.Progress = LinesTo(&out, 1)
	mustFit(t, task)
	task.Seed = 2
	mustFit(t, task)
	want := "stored runs of this network and data that another version of the book trained: 2. " +
		"They are left alone and not used (the first is Linear-MNIST-sample-0123456789ab; make runs lists them)\n"
	if n := strings.Count(out.String(), want); n != 1 || strings.Count(out.String(), "another version") != 1 {
		t.Errorf("printed\n%s\nwant once %q", &out, want)
	}
	for _, entry := range before {
		if !exists(filepath.Join(runs, entry.Name(), store.Config)) {
			t.Errorf("%s is gone", entry.Name())
		}
	}
}
