package main

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestNames(t *testing.T) {
	const there = ": there is cifar10, fashion-mnist, mnist"
	for want, names := range map[string][]string{
		"no data set is named" + there:      nil,
		`unknown data set "nosuch"` + there: {"mnist", "nosuch"},
	} {
		if err := check(names); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", names, err, want)
		}
	}
	if err := check([]string{"mnist", "cifar10"}); err != nil {
		t.Error(err)
	}
}

// Where it is nobody would know.
func TestLostOutput(t *testing.T) {
	fetchers["here"] = func() (string, error) { return "/here", nil }
	defer delete(fetchers, "here")
	var out bytes.Buffer
	if err := fetch([]string{"here"}, &out); err != nil || out.String() != "here: ready in /here\n" {
		t.Errorf("%v, printed %q", err, &out)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if err := fetch([]string{"here"}, full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
}
