package command

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func flags() *flag.FlagSet {
	f := flag.NewFlagSet("x", flag.ContinueOnError)
	f.Duration("budget", time.Hour, "start nothing after this `time`")
	f.Int64("max-bytes", 1, "refuse larger requests")
	f.Uint64("seed", 1, "decides")
	f.Bool("list", false, "list")
	return f
}

// A wrong flag is said in one line that shows a right one.
func TestWrongFlags(t *testing.T) {
	for want, arguments := range map[string][]string{
		`-budget: "40" is no time: such as 10s, 40m or 2h`:                        {"-budget", "40"},
		`-max-bytes: "1e6" is no whole number: such as 10`:                        {"-max-bytes", "1e6"},
		`-seed: "-1" is no whole number from 0 on: such as 1`:                     {"-seed", "-1"},
		`flag provided but not defined: -nosuch: -help lists the flags`:           {"-nosuch"},
		`flag needs an argument: -budget: -help lists the flags`:                  {"-budget"},
		`invalid boolean value "x" for -list: parse error: -help lists the flags`: {"-list=x"},
		`-budget: "40 for flag -seed: x" is no time: such as 10s, 40m or 2h`:      {"-budget", "40 for flag -seed: x"},
	} {
		var out bytes.Buffer
		err := ParseSet(flags(), arguments, &out)
		if err == nil || err.Error() != want || Status(err) != 2 || out.Len() > 0 {
			t.Errorf("%q: %v with status %d, printed %q, want %s", arguments, err, Status(err), &out, want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := ParseSet(flags(), []string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "start nothing after") {
		t.Errorf("%v, printed %q", err, &out)
	}
	if err := ParseSet(flags(), []string{"-budget", "40m", "-seed", "2"}, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestLostOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	out := &Output{Writer: full}
	io.WriteString(out, "a line\n")
	if !errors.Is(out.Err, syscall.ENOSPC) {
		t.Errorf("error %v", out.Err)
	}
	help := ParseSet(flags(), []string{"-help"}, full)
	if !errors.Is(help, syscall.ENOSPC) || Status(help) != 1 {
		t.Errorf("a help that is lost is the error %v with status %d", help, Status(help))
	}
}

func TestStatus(t *testing.T) {
	failed := errors.New("it failed")
	for want, all := range map[int][]error{
		0: {nil, Wrong(nil), flag.ErrHelp, Wrong(flag.ErrHelp)},
		1: {failed, errors.Join(failed, failed)},
		2: {Wrong(failed), fmt.Errorf("x: %w", Wrong(failed))},
	} {
		for _, err := range all {
			if got := Status(err); got != want {
				t.Errorf("%v: %d, want %d", err, got, want)
			}
		}
	}
}

func TestTell(t *testing.T) {
	name := errors.New("open a\nb\x1b[2J.png: no such file")
	for want, err := range map[string]error{
		"error: open a\\nb\\x1b[2J.png: no such file\n":                         name,
		"error: one\nerror: open a\\nb\\x1b[2J.png: no such file\nerror: two\n": errors.Join(errors.New("one"), errors.Join(name, errors.New("two"))),
		"error: 1\nerror: 2\n":                 Wrong(errors.Join(errors.New("1"), errors.New("2"))),
		"error: two causes: one, 2 € \u4e2d\n": fmt.Errorf("two causes: %w, %w", errors.New("one"), errors.New("2 € 中")),
	} {
		var told strings.Builder
		if Tell(&told, err); told.String() != want {
			t.Errorf("%q, want %q", told.String(), want)
		}
	}
}
