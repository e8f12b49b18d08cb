package train

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// An error in one line still is what it was.
func TestOneLineKeepsTheCause(t *testing.T) {
	long := fmt.Errorf("it failed: %w\nstack\nof three lines", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission})
	err := fmt.Errorf("here: %w", oneLine(long))
	if got, want := err.Error(), "here: it failed: open x: permission denied"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var path *fs.PathError
	if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &path) {
		t.Errorf("the cause of %v is lost", err)
	}
	if short := errors.New("short"); oneLine(short) != short || oneLine(nil) != nil {
		t.Error("an error of one line was changed")
	}
}

// What the plugin says stands alone.
func TestOneLineOfThePlugin(t *testing.T) {
	refused := errors.New(`graph "train VGG16" failed to compile for the backend "xla": PJRT error (code=9): this needs 63.4 GiB`)
	if got, want := oneLine(refused).Error(), "this needs 63.4 GiB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Where a GPU's memory runs out, the error ends in what to do.
func TestOneLineOfMemoryThatRanOut(t *testing.T) {
	xla := errors.New("failed to execute: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes.\nstack")
	want := "failed to execute: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes: take a smaller batch"
	if got := oneLine(xla); got.Error() != want || !errors.Is(got, xla) {
		t.Errorf("%q, want %q", got, want)
	}
}
