package signals

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
)

// Under nohup, a program outlives its terminal.
func TestIgnoredSignals(t *testing.T) {
	if !signal.Ignored(syscall.SIGHUP) {
		if want := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}; !slices.Equal(ToStop(), want) {
			t.Errorf("signals %v, want %v", ToStop(), want)
		}
		defer signal.Reset(syscall.SIGHUP)
	}
	signal.Ignore(syscall.SIGHUP)
	if want := []os.Signal{syscall.SIGINT, syscall.SIGTERM}; !slices.Equal(ToStop(), want) {
		t.Errorf("signals %v where a closed terminal is ignored, want %v", ToStop(), want)
	}
}
