package store

import (
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// An error that says nothing about a file does not say that the run is damaged.
func TestErrorsThatAreNoDamage(t *testing.T) {
	r := &Run{dir: "runs/x"}
	for cause, want := range map[error]string{
		fs.ErrPermission: "cannot read the run in runs/x: open result.json: permission denied: whoever owns it must let you read it",
		syscall.EMFILE:   "too many open files: raise the number of files that may be open (ulimit -n)",
		syscall.EIO:      "input/output error: try again",
		syscall.ELOOP:    "the run in runs/x is damaged: open result.json: too many levels of symbolic links: put its files back",
	} {
		got := r.unreadable(&fs.PathError{Op: "open", Path: "result.json", Err: cause}).Error()
		if !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%q, want %q in it", got, want)
		}
	}
}

// A run's folder has a name that file systems take, whatever the network is called.
func TestLongNames(t *testing.T) {
	t.Setenv(Env, t.TempDir())
	for _, label := range []string{strings.Repeat("long", 100), "a/b c", "手写数字", ""} {
		r, err := New(label, 1)
		if err != nil {
			t.Fatal(err)
		}
		unlock, err := r.Lock(t.Context(), func() {})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Begin(); err != nil {
			t.Error(err)
		}
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
