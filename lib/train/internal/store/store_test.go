package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"example.org/convbook/lib/safetensors"
)

// An error that says nothing about a file does not say that the run is damaged.
func TestErrorsThatAreNoDamage(t *testing.T) {
	r := &Run{dir: "runs/x"}
	for cause, want := range map[error]string{
		fs.ErrPermission: "cannot read the run in runs/x: open result.json: permission denied: whoever owns it must let you read it",
		syscall.EMFILE:   "too many open files: raise the number of files that may be open (ulimit -n)",
		syscall.ENOTDIR:  "not a directory: set CONVBOOK_RUNS to a folder",
		syscall.EIO:      "input/output error: try again",
		syscall.ELOOP:    "the run in runs/x is damaged: open result.json: too many levels of symbolic links: put its files back",
	} {
		got := r.unreadable(&fs.PathError{Op: "open", Path: "result.json", Err: cause}).Error()
		if !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%q, want %q in it", got, want)
		}
	}
}

// A checkpoint that cannot be read for a moment stays where it is, and the training does not begin again without it.
func TestCheckpointsThatCannotBeRead(t *testing.T) {
	t.Setenv(Env, t.TempDir())
	r, unlock := begun(t, "x", 1)
	defer unlock()
	if err := r.Save(3, nil, "here"); err != nil {
		t.Fatal(err)
	}
	resumed := func(cause error) (said []string, err error) {
		restore := func(map[string]safetensors.Tensor, []byte) error { return cause }
		err = r.Resume(restore, func(line string) { said = append(said, line) })
		return said, err
	}
	for cause, remedy := range map[error]string{
		fs.ErrPermission: ": whoever owns it must let you read it",
		syscall.EMFILE:   ": raise the number of files that may be open (ulimit -n)",
		syscall.ENFILE:   ": raise the number of files that may be open (ulimit -n)",
		syscall.EIO:      ": try again",
		syscall.ENOMEM:   ": try again",
	} {
		said, err := resumed(&fs.PathError{Op: "read", Path: "x", Err: cause})
		if err == nil || !strings.HasSuffix(err.Error(), remedy) || len(said) > 0 || !exists(r.trained(checkpointName(3))) {
			t.Errorf("%v: error %v, said %q", cause, err, said)
		}
	}

	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := resumed(nil)
	_, unknown := r.Kept()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{err, unknown} {
		if err == nil || !strings.HasSuffix(err.Error(), "too many open files: raise the number of files that may be open (ulimit -n)") {
			t.Errorf("without a free file descriptor: %v", err)
		}
	}

	if step, err := r.Kept(); step != 3 || err != nil {
		t.Errorf("kept is step %d, %v", step, err)
	}
	if said, err := resumed(errors.New("of another network")); err != nil || len(said) != 1 || exists(r.trained(checkpointName(3))) {
		t.Errorf("a checkpoint that is not taken: %v, said %q", err, said)
	}
	if step, err := r.Kept(); step != 0 || err != nil {
		t.Errorf("kept is step %d, %v", step, err)
	}
}

// A run's folder has a name that file systems take, whatever the network is called.
func TestLongNames(t *testing.T) {
	t.Setenv(Env, t.TempDir())
	for _, label := range []string{strings.Repeat("long", 100), "a/b c", "手写数字", ""} {
		_, unlock := begun(t, label, 1)
		unlock()
	}
}

// The name of a run's folder ends in the sum of its config.json, as sha256sum says it, and so does nothing else.
func TestNameIsTheDescriptionsSum(t *testing.T) {
	t.Setenv(Env, t.TempDir())
	r, err := New("A run", map[string]int{"b": 2, "a": 1})
	if err != nil {
		t.Fatal(err)
	}
	// printf '{\n  "a": 1,\n  "b": 2\n}' | sha256sum
	if got, want := filepath.Base(r.Dir()), "A-run-c81ded0f93b4"; got != want {
		t.Errorf("the folder is %s, want %s", got, want)
	}
}

// begun is a run whose training begins, locked.
func begun(t *testing.T, label string, about any) (r *Run, unlock func() error) {
	t.Helper()
	r, err := New(label, about)
	if err != nil {
		t.Fatal(err)
	}
	if unlock, err = r.Lock(t.Context(), func() {}); err != nil {
		t.Fatal(err)
	}
	if err := r.Begin(); err != nil {
		t.Fatal(err)
	}
	return r, unlock
}

// finished puts finished runs into the folder of runs.
func finished(t *testing.T, runs int) {
	t.Helper()
	for i := range runs {
		r, unlock := begun(t, "A run", i)
		for _, name := range []string{History, Model, Result, Test} {
			if err := r.WriteJSON(name, i); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(r.Finish(), r.Install(), unlock()); err != nil {
			t.Fatal(err)
		}
	}
}

// The process that TestKillDuringRemoval kills.
func TestRemoveAll(t *testing.T) {
	if os.Getenv("CONVBOOK_TEST_REMOVE") == "" {
		t.Skip("it is for TestKillDuringRemoval")
	}
	entries, err := List("")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := Remove(e.Dir); err != nil {
			t.Fatal(err)
		}
	}
}

// However a process is killed that removes runs, those that are left are whole, and their removal can be ended.
func TestKillDuringRemoval(t *testing.T) {
	const runs = 4
	whole := t.TempDir()
	t.Setenv(Env, whole)
	finished(t, runs)
	entries, err := List("")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries { // so its removal takes some time
		for i := range 100 {
			if err := os.WriteFile(filepath.Join(e.Dir, fmt.Sprintf("file-%d", i)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	interrupted := 0
	for trial := 0; trial < 30 && interrupted < 5; trial++ {
		t.Setenv(Env, t.TempDir())
		if err := os.CopyFS(os.Getenv(Env), os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		command := exec.Command(os.Args[0], "-test.run=^TestRemoveAll$")
		command.Env = append(os.Environ(), "CONVBOOK_TEST_REMOVE=yes")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		for left := runs; left == runs; { // it has not begun
			folders, err := os.ReadDir(os.Getenv(Env))
			if err != nil {
				t.Fatal(err)
			}
			left = len(folders) / 2 // a run and its lock
		}
		time.Sleep(time.Duration(trial) * 100 * time.Microsecond)
		command.Process.Kill()
		command.Wait()
		entries, err := List("")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Damage != nil {
				t.Errorf("%s: %v", e.Dir, e.Damage)
			}
			if err := Remove(e.Dir); err != nil {
				t.Error(err)
			}
		}
		if len(entries) > 0 {
			interrupted++
			if left, _ := filepath.Glob(filepath.Join(os.Getenv(Env), removedPrefix+"*")); len(left) > 0 {
				t.Errorf("left is %v", left)
			}
		}
	}
	if interrupted == 0 {
		t.Error("no process was killed while it removed runs")
	}
}

// meanwhile does something again and again until it fails or stop is called, which returns the error.
func meanwhile(do func() error) (stop func() error) {
	done, stopped := make(chan bool), make(chan error)
	go func() {
		for {
			select {
			case <-done:
				stopped <- nil
				return
			default:
			}
			if err := do(); err != nil {
				stopped <- err
				return
			}
		}
	}()
	return func() error { close(done); return <-stopped }
}

// A run that is removed while it is listed, and comes again, is listed whole or not at all.
func TestListWhileRunsComeAndGo(t *testing.T) {
	t.Setenv(Env, t.TempDir())
	finished(t, 1)
	entries, err := List("")
	if err != nil {
		t.Fatal(err)
	}
	dir, whole := entries[0].Dir, filepath.Join(t.TempDir(), "whole")
	if err := os.Rename(dir, whole); err != nil {
		t.Fatal(err)
	}
	stop := meanwhile(func() error {
		err := os.Mkdir(whole+"-2", 0o755)
		for _, name := range append([]string{sumsFile}, summedFiles...) {
			err = errors.Join(err, os.Link(filepath.Join(whole, name), filepath.Join(whole+"-2", name)))
		}
		return errors.Join(err, os.Rename(whole+"-2", dir), discard(dir))
	})
	for range 20000 {
		entries, err := List("")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Damage != nil {
				t.Errorf("%s is damaged: %v", e.Dir, e.Damage)
			}
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// trained is a run that is trained to its end, locked, with numbers of its own in its files of arrays.
func trained(t *testing.T, value float32) (r *Run, unlock func() error) {
	t.Helper()
	r, unlock = begun(t, "A run", 1)
	arrays := map[string]safetensors.Tensor{"x": safetensors.Float32([]float32{value}, 1)}
	err := errors.Join(r.WriteJSON(History, 1), r.WriteJSON(Result, 1),
		r.WriteTensors(Model, arrays, nil), r.WriteTensors(Test, arrays, nil), r.Finish())
	if err != nil {
		t.Fatal(err)
	}
	return r, unlock
}

// value is what a run's model says.
func value(t *testing.T, r *Run) float32 {
	t.Helper()
	tensors, err := r.Tensors(Model)
	if err != nil {
		t.Fatal(err)
	}
	values, err := tensors["x"].Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return values[0]
}

// loaded is the run that has the name.
func loaded(t *testing.T) *Run {
	t.Helper()
	r, err := New("A run", 1)
	if err == nil {
		err = r.Load(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whoever loaded a run reads its arrays, not those of the run that took its place. The folders of both have the names
// that they should have, also on a file system that cannot exchange names.
func TestReplace(t *testing.T) {
	for name, f := range map[string]func(a, b string) error{
		"exchange": exchange,
		"renames":  func(a, b string) error { return syscall.EINVAL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(Env, t.TempDir())
			defer func(f func(a, b string) error) { exchange = f }(exchange)
			exchange = f
			var first, before *Run
			for i := range 3 {
				r, unlock := trained(t, float32(i))
				if err := errors.Join(r.Install(), unlock()); err != nil {
					t.Fatal(err)
				}
				now := loaded(t)
				if got := value(t, now); got != float32(i) {
					t.Errorf("the run that was trained last says %g, want %d", got, i)
				}
				if before != nil {
					if got := value(t, before); got != float32(i-1) {
						t.Errorf("the run that was loaded before says %g, want %d", got, i-1)
					}
				}
				if i == 2 {
					if _, err := first.Tensors(Model); err == nil || !strings.Contains(err.Error(), "was trained again since it was loaded") {
						t.Errorf("the run that nobody has any more: %v", err)
					}
				}
				before, first = now, cmp.Or(first, now)
			}
			names, err := filepath.Glob(before.Dir() + "*")
			if want := []string{before.Dir(), before.Dir() + ".lock", before.Dir() + previousSuffix}; err != nil || !slices.Equal(names, want) {
				t.Errorf("there is %q, want %q", names, want)
			}
			if exists(before.path(replacingMark)) {
				t.Error("the new run is still marked")
			}
		})
	}
}

// A process that is killed after the exchange leaves the old run where runs are trained. It is not taken for a new one.
func TestKillAfterExchange(t *testing.T) {
	t.Setenv(Env, t.TempDir())
	old, unlock := trained(t, 1)
	if err := errors.Join(old.Install(), unlock()); err != nil {
		t.Fatal(err)
	}
	old = loaded(t)
	r, unlock := trained(t, 2)
	err := errors.Join(os.WriteFile(r.trained(replacingMark), nil, 0o644), exchange(r.Dir()+trainingSuffix, r.Dir()), unlock())
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, old); got != 1 {
		t.Errorf("the old run says %g, want 1", got)
	}
	if got := value(t, loaded(t)); got != 2 {
		t.Errorf("the new run says %g, want 2", got)
	}
	entries, err := List("")
	if err != nil || len(entries) != 2 || entries[0].Kind != Whole || entries[1].Kind != Previous || entries[1].Damage != nil {
		t.Errorf("listed are %+v, %v", entries, err)
	}
	if unlock, err = r.Lock(t.Context(), func() {}); err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if r.Trained() || exists(r.path(replacingMark)) || !exists(r.Dir()+previousSuffix) {
		t.Error("the exchange was not brought to its end")
	}
	if got := value(t, loaded(t)); got != 2 {
		t.Errorf("after that, the new run says %g, want 2", got)
	}
}

// There is always a whole run with the name while others take its place.
func TestLoadWhileRunsAreReplaced(t *testing.T) {
	t.Setenv(Env, t.TempDir())
	r, unlock := trained(t, 0)
	if err := errors.Join(r.Install(), unlock()); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(t.TempDir(), "whole")
	if err := os.CopyFS(whole, os.DirFS(r.Dir())); err != nil {
		t.Fatal(err)
	}
	stop := meanwhile(func() error {
		return errors.Join(os.CopyFS(r.Dir()+trainingSuffix, os.DirFS(whole)), r.Install())
	})
	for range 1000 {
		value(t, loaded(t))
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A lock that is got when nobody waits for it any more is given back.
func TestLockAfterAnInterrupt(t *testing.T) {
	t.Setenv("CONVBOOK_RUNS", t.TempDir())
	run, err := New("x", 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := run.Lock(ctx, func() { t.Error("nobody else has it") }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	lock, got, err := tryLock(run.dir)
	if err != nil || !got {
		t.Fatalf("%v, %v", got, err)
	}
	lock.Unlock()
}

// Where a killed process was about to replace a run, whoever removes the old one ends that first. The old one has
// another name then, and is not said to be removed.
func TestRemoveWhatMoves(t *testing.T) {
	t.Setenv("CONVBOOK_RUNS", t.TempDir())
	run, err := New("x", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{run.dir, run.dir + trainingSuffix} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(run.dir, replacingMark), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Remove(run.dir + trainingSuffix); err == nil || !strings.Contains(err.Error(), "is no longer there") {
		t.Errorf("removed, %v", err)
	}
	if !exists(run.dir + previousSuffix) {
		t.Error("it is nowhere")
	}
}

// A lock whose file was removed, or is another one by now, is nobody's.
func TestLockThatWasRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.lock")
	lock := flock.New(path)
	if _, err := lock.TryLock(); err != nil {
		t.Fatal(err)
	}
	if !isCurrent(lock) {
		t.Error("a lock that was just taken does not count")
	}
	os.Remove(path)
	if isCurrent(lock) {
		t.Error("a lock without a file counts")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if isCurrent(lock) {
		t.Error("a lock counts that another process can take")
	}
}
