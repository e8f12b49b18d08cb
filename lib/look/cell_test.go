package look_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"example.org/convbook/lib/cell"
	"example.org/convbook/lib/internal/notebook"
	"example.org/convbook/lib/internal/notebook/standin"
	"example.org/convbook/lib/look"
	"example.org/convbook/lib/train"
)

// cells are programs that a test runs as processes of their own.
var cells = map[string]func(){
	"train": func() {
		fmt.Println("before")
		watched := task()
		watched.Progress = look.Live()
		cell.Must(watched.Fit())
		fmt.Println("after")
	},
	"diverge": func() {
		watched := task()
		watched.Progress, watched.Optimizer = look.Live(), train.SGD(1e37, 0.5)
		cell.Must(watched.Fit())
	},
}

// command is one of the cells above as a process, with runs of its own if dir is not empty.
func command(name, dir string, env ...string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), "CELL="+name, train.RunsEnv+"="+dir), env...)
	return c
}

const line = `Tiny net: 2590 parameters, 69750 MACs an image · `

// In a notebook a training leaves a line and a picture, and the same when it is stored.
func TestLiveInANotebook(t *testing.T) {
	runs := t.TempDir()
	for _, stored := range []bool{false, true} {
		p := standin.Run(t, command("train", runs))
		if len(p.Displays) != 2 || p.Printed != "before\nafter\n" {
			t.Fatalf("stored %v: left %v, printed %q", stored, p.Displays, p.Printed)
		}
		if p.Order[0] != "before\n" || p.Order[3] != "after\n" {
			t.Errorf("stored %v: came in the order %q", stored, p.Order)
		}
		said := fmt.Sprint(p.Displays[0].Data[protocol.MIMETextPlain])
		want := regexp.MustCompile(`^` + line + `(.|\n)*2 epochs in .* s, \d+ images a second: validation accuracy \d+\.\d+ %, test loss 2\.\d+, test accuracy \d+\.\d+ %$`)
		if !want.MatchString(said) || strings.Contains(said, "stored") != stored {
			t.Errorf("stored %v: said %q", stored, said)
		}
		if p.Displays[1].Data[protocol.MIMEImagePNG] == nil {
			t.Errorf("stored %v: left %.100v", stored, p.Displays[1].Data)
		}
		if drawn := len(p.Updates) > 2; drawn == stored {
			t.Errorf("stored %v: showed %d things", stored, len(p.Updates))
		}
	}
}

// Where nobody watches, a training leaves lines and a picture, and no updates.
func TestLiveWithoutAReader(t *testing.T) {
	p := standin.Run(t, command("train", t.TempDir(), notebook.HeadlessEnv+"=1"))
	if want := regexp.MustCompile(`^before\n` + line + `.*\nepoch 1 of 2, .*\nepoch 2 of 2, .*\n2 epochs in .*\nafter\n$`); !want.MatchString(p.Printed) {
		t.Errorf("printed %q", p.Printed)
	}
	if len(p.Updates) != 1 || p.Updates[0].Data[protocol.MIMEImagePNG] == nil || p.Updates[0].DisplayID != "" {
		t.Errorf("showed %v", p.Updates)
	}
}

// Without a notebook there are lines.
func TestLiveOutsideOfANotebook(t *testing.T) {
	output, err := command("train", t.TempDir()).CombinedOutput()
	if want := regexp.MustCompile(`^before\n` + line + `.*\nepoch 1 of 2, .*\nepoch 2 of 2, .*\n2 epochs in .*\nafter\n$`); err != nil || !want.Match(output) {
		t.Errorf("%v, printed %q", err, output)
	}
}

// A loss that grows out of all numbers leaves the curve so far, the step and the remedy.
func TestLiveWhenTheLossGrowsOutOfAllNumbers(t *testing.T) {
	p := standin.Run(t, command("diverge", t.TempDir()))
	said := fmt.Sprint(p.Displays[0].Data[protocol.MIMETextPlain])
	if want := regexp.MustCompile(`\nthe (test )?loss .* in epoch 1 at batch \d: the learning rate .* is too high`); !want.MatchString(said) {
		t.Errorf("said %q", said)
	}
	if len(p.Displays) != 2 || p.Displays[1].Data[protocol.MIMEImagePNG] == nil {
		t.Errorf("left %v", p.Displays)
	}
	if !strings.HasPrefix(p.Printed, "error: the loss became ") {
		t.Errorf("printed %q", p.Printed)
	}
}

// A training that nobody can see any more goes on.
func TestLiveWithoutAKernel(t *testing.T) {
	gone := t.TempDir() + "/gone"
	output, err := command("train", t.TempDir(), protocol.GONB_PIPE_ENV+"="+gone, protocol.GONB_PIPE_BACK_ENV+"="+gone).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) || !strings.HasSuffix(string(output), "after\n") {
		t.Errorf("%v, printed %q", err, output)
	}
}
