package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// trained is a run of a second, in a folder of the test's own.
func trained(t *testing.T, seed int) *train.Run {
	t.Helper()
	run, err := train.Task{
		Net: nn.Named("Tiny net", nn.Flatten, nn.Dense(10)), Data: sample.MNIST(),
		Config: train.Config{Epochs: 1, Batch: 64, Optimizer: train.SGD(0.0001, 0), Seed: seed, Progress: train.Quiet},
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
	status := command.Status(err)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || status != 2 {
		t.Errorf("%q: error %v with status %d, want %q with 2", arguments, err, status, want)
	}
}

func there(run *train.Run) bool {
	_, err := os.Stat(run.Dir())
	return err == nil
}

func TestCommand(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	if got := does(t); got != "there are no runs\n" {
		t.Errorf("printed %q", got)
	}
	first, second := trained(t, 1), trained(t, 2)
	id := filepath.Base(first.Dir())
	does(t, "-name", "我的 best", id)
	does(t, "-pin", "我的 best")
	lines := strings.Split(does(t), "\n")
	if len(lines) != 6 || !strings.HasSuffix(lines[4], " in "+filepath.Dir(first.Dir())) || !strings.HasPrefix(lines[4], "2 runs, 0.1 MB") {
		t.Errorf("printed %q", lines)
	}
	for _, line := range lines[1:3] {
		if strings.Contains(line, id) != (strings.Contains(line, "我的 best  pinned  finished")) {
			t.Errorf("printed %q", line)
		}
	}
	var listed []map[string]any
	if err := json.Unmarshal([]byte(does(t, "-json", "我的 best")), &listed); err != nil {
		t.Fatal(err)
	}
	if r := listed[0]; len(listed) != 1 || r["id"] != id || r["name"] != "我的 best" || r["pinned"] != true || r["state"] != "finished" ||
		r["result"].(map[string]any)["test_accuracy"] != first.Result.TestAccuracy {
		t.Errorf("printed %v", listed)
	}
	if strings.Contains(lines[0], "validation") {
		t.Errorf("without validation images it printed %q", lines[0])
	}
	held, err := func() (*train.Run, error) {
		task := second.Task
		task.Data = task.Data.Validate(100)
		return task.Fit()
	}()
	if err != nil {
		t.Fatal(err)
	}
	lines = strings.Split(does(t), "\n")
	if !strings.Contains(lines[0], "state     validation, %  accuracy, %") {
		t.Errorf("with validation images it printed %q", lines[0])
	}
	for _, line := range lines[1:4] {
		want := "–"
		if strings.Contains(line, filepath.Base(held.Dir())) {
			want = fmt.Sprintf("%.2f", held.History.Epochs[0].ValidationAccuracy)
		}
		if words := strings.Fields(line); words[slices.Index(words, "finished")+1] != want {
			t.Errorf("printed %q, want %s after finished", line, want)
		}
	}
	does(t, "-remove", filepath.Base(held.Dir()))
	file := filepath.Join(t.TempDir(), "my digits.safetensors")
	if got := does(t, "-export", file, "我的 best"); got != "我的 best is in "+file+": Tiny net, 7850 parameters: pictures of 28×28×1 into 10 classes\n" {
		t.Errorf("printed %q", got)
	}
	if _, err := classify.Open(file); err != nil {
		t.Error(err)
	}
	fails(t, "my digits.safetensors is there already", "-export", file, id)
	fails(t, "is pinned: unpin it first", "-remove", id)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, arguments := range [][]string{nil, {"-json"}, {"-help"}} {
		if err := run(arguments, full); !errors.Is(err, syscall.ENOSPC) || command.Status(err) != 1 {
			t.Errorf("%q: what there is no room for: %v", arguments, err)
		}
	}
	fails(t, "there is no run", "-remove", "/nowhere/"+filepath.Base(second.Dir()))
	does(t, "-unpin", id)
	if got := does(t, "-remove", id, id); !strings.HasPrefix(got, "removed 1 run, ") || there(first) || !there(second) {
		t.Errorf("printed %q", got)
	}
	fails(t, "there is no run", "-remove", id)
	does(t, "-name", "", filepath.Base(second.Dir()))
}

func TestWrongCommands(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	run, other := trained(t, 1), trained(t, 2)
	id := filepath.Base(run.Dir())
	fails(t, "flag provided but not defined: -delete: -help lists", "-delete")
	fails(t, "one thing at a time", "-pin", "-unpin", id)
	fails(t, "one thing at a time", "-json", "-remove-older-than", "30d")
	fails(t, "no run is named", "-remove")
	fails(t, "there are 0: name one", "-name", "x")
	fails(t, "there are 2: name one", "-name", "x", id, filepath.Base(other.Dir()))
	fails(t, "must end in .safetensors", "-export", "digits.png", id)
	fails(t, "-export puts one run into a file, and there are 2", "-export", "x.safetensors", id, filepath.Base(other.Dir()))
	fails(t, "one thing at a time", "-export", "x.safetensors", "-json", id)
	fails(t, "leave out slashes", "-name", "a/b", id)
	fails(t, `there is no run "nobody"`, "-remove", id, "nobody")
	fails(t, `"Tiny" may be one of 2 runs`, "-remove", "Tiny")
	fails(t, "is about all runs", "-remove-older-than", "30d", id)
	for _, age := range []string{"", "30", "d", "-1d", "0d", "NaNd", "Infd", "1e300d", "a month"} {
		fails(t, "it must be a time such as 30d or 12h", "-remove-older-than", age)
	}
	for _, age := range []string{"106752d", "99999999999999999999d"} {
		fails(t, "it must be at most 106751d", "-remove-older-than", age)
	}
	for _, age := range []string{"70000d", "106751d"} {
		if got := does(t, "-remove-older-than", age); got != "removed 0 runs, 0.0 MB\n" {
			t.Errorf("%s: printed %q", age, got)
		}
	}
	if !there(run) || !there(other) {
		t.Error("a wrong command removed a run")
	}
	if err := syscall.Errno(syscall.ENOSPC); command.Status(asked(&os.PathError{Err: err})) != 1 {
		t.Error("a full disk is no wrong command")
	}
}

// A rule removes what nobody used for so long, but for what is pinned, trained or used meanwhile.
func TestRemoveOlderThan(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	runs := map[string]*train.Run{}
	for seed, name := range []string{"new", "old", "pinned", "trained", "used"} {
		runs[name] = trained(t, seed)
	}
	does(t, "-pin", runs["pinned"].Dir())
	lock := flock.New(runs["trained"].Dir() + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock() // not before: a lock that nobody has any more is given back
	for name, run := range runs {
		if ago := time.Now().Add(-29*24*time.Hour - 23*time.Hour); name != "new" {
			if err := os.Chtimes(run.Dir(), ago, ago); err != nil {
				t.Fatal(err)
			}
		}
	}
	trained(t, 4) // loads it
	if got := does(t, "-remove-older-than", "30d"); got != "removed 0 runs, 0.0 MB\n" {
		t.Errorf("printed %q", got)
	}
	fails(t, filepath.Base(runs["trained"].Dir())+" is being trained by another process", "-remove-older-than", "29d")
	for name, run := range runs {
		if there(run) != (name != "old") {
			t.Errorf("the %s run is there: %v", name, there(run))
		}
	}
}
