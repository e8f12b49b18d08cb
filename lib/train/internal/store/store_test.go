package store

import (
	"io/fs"
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
