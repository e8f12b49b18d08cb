package must_test

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"example.org/convbook/lib/must"
)

func TestGetReturnsTheValue(t *testing.T) {
	if got := must.Get(7, nil); got != 7 {
		t.Errorf("got %v", got)
	}
}

// An error ends the program with one line and a status that is not zero.
func TestErrorEndsTheProgram(t *testing.T) {
	if os.Getenv("MUST_FAIL") != "" {
		must.Get(7, errors.New("batch is 0: it must be at least 1"))
		return
	}
	program := exec.Command(os.Args[0], "-test.run", "^TestErrorEndsTheProgram$")
	program.Env = append(os.Environ(), "MUST_FAIL=1")
	output, err := program.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v, want status 1", err)
	}
	if got, want := string(output), "error: batch is 0: it must be at least 1\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
