package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// trained is a run of a second, in a folder of the test's own, and some of its test images as files, with what the run
// gives for them.
func trained(t *testing.T, pictures int) (run *train.Run, files []string, p *train.Predictions) {
	t.Helper()
	t.Setenv(train.RunsEnv, t.TempDir())
	run, err := train.Task{
		Net: nn.Named("Tiny", nn.Flatten, nn.Dense(10)), Data: sample.MNIST().Normalize(0.1307, 0.3081),
		Config: train.Config{Epochs: 1, Batch: 64, Optimizer: train.SGD(0.01, 0), Seed: 1, Progress: train.Quiet},
	}.Fit()
	if err != nil {
		t.Fatal(err)
	}
	test, err := run.Task.Data.Test()
	if err != nil {
		t.Fatal(err)
	}
	if p, err = run.Test(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i := range pictures {
		var file bytes.Buffer
		if err := png.Encode(&file, test.Image(i)); err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(dir, fmt.Sprintf("数字 %d.png", i)))
		if err := os.WriteFile(files[i], file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return run, files, p
}

// does runs the command, which must end with this status.
func does(t *testing.T, status int, arguments ...string) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	if got := run(arguments, &o, &e); got != status {
		t.Fatalf("%q: status %d, want %d: %s", arguments, got, status, &e)
	}
	return o.String(), e.String()
}

// All pictures, more than are read at a time, are answered in their order, as the run's own test has them.
func TestAnswers(t *testing.T) {
	run, files, p := trained(t, together+20)
	out, errs := does(t, 0, append([]string{"-json", "-top", "2", "-model", run.Dir()}, files...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(files) || errs != "" {
		t.Fatalf("%d lines for %d pictures, %q", len(lines), len(files), errs)
	}
	for i, line := range lines {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		class := p.Class(i)
		if a.Picture != files[i] || len(a.Classes) != 2 || a.Classes[0].Name != p.Classes[class] ||
			math.Abs(a.Classes[0].Probability-p.Probability(i, class)) > 1e-5 {
			t.Errorf("picture %d: %+v, want %s with %v", i, a, p.Classes[class], p.Probability(i, class))
		}
	}
	file := filepath.Join(t.TempDir(), "tiny.safetensors")
	c, err := classify.New(run)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Export(file); err != nil {
		t.Fatal(err)
	}
	text, _ := does(t, 0, "-model", file, "-top", "1", files[0])
	if want := fmt.Sprintf("%s: %s %.1f %%\n", files[0], p.Classes[p.Class(0)], 100*p.Probability(0, p.Class(0))); text != want {
		t.Errorf("printed %q, want %q", text, want)
	}
}

// What is no picture is named in a line, and the others are answered.
func TestBrokenPictures(t *testing.T) {
	run, files, _ := trained(t, 2)
	text := filepath.Join(t.TempDir(), "text.png")
	if err := os.WriteFile(text, []byte("a seven"), 0o644); err != nil {
		t.Fatal(err)
	}
	missing, folder := filepath.Join(t.TempDir(), "missing.png"), t.TempDir()
	out, errs := does(t, 1, "-model", run.Dir(), files[0], text, missing, folder, files[1])
	lines := strings.Split(errs, "\n")
	if strings.Count(out, "\n") != 2 || !strings.HasPrefix(out, files[0]) || !strings.Contains(out, "\n"+files[1]) || len(lines) != 4 {
		t.Errorf("printed %q and %q", out, errs)
	}
	for i, want := range []string{text + ": it is not a picture", missing + ": no such file", folder + ": it is not a file"} {
		if !strings.HasPrefix(lines[i], "error: ") || !strings.Contains(lines[i], want) {
			t.Errorf("printed %q, want %q", lines[i], want)
		}
	}
}

// A file's name may have anything in it, and its line stays one.
func TestOddNames(t *testing.T) {
	run, files, _ := trained(t, 1)
	odd := filepath.Join(t.TempDir(), "a\nb\x1b[31m 'ü' \u202e.png")
	if err := os.Rename(files[0], odd); err != nil {
		t.Fatal(err)
	}
	out, errs := does(t, 1, "-model", run.Dir(), odd, odd+"\n")
	shown := filepath.Dir(odd) + `/a\nb\x1b[31m 'ü' \u202e.png`
	if !strings.HasPrefix(out, shown+": ") || strings.Count(out, "\n") != 1 {
		t.Errorf("printed %q, want %q", out, shown)
	}
	if want := "error: stat " + shown + `\n: no such file or directory` + "\n"; errs != want {
		t.Errorf("printed %q, want %q", errs, want)
	}
}

func TestWrongCommands(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	empty := filepath.Join(t.TempDir(), "empty.safetensors")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for want, arguments := range map[string][]string{
		"no network: name a run":         {"a.png"},
		"no pictures":                    {"-model", "x"},
		"-top is 0":                      {"-model", "x", "-top", "0", "a.png"},
		"-help lists the flags":          {"-models", "x"},
		`there is no run "nobody"`:       {"-model", "nobody", "a.png"},
		"no such file or directory":      {"-model", "nothing.safetensors", "a.png"},
		"not a safetensors file: it has": {"-model", empty, "a.png"},
	} {
		out, errs := does(t, 2, arguments...)
		if out != "" || !strings.HasPrefix(errs, "error: ") || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: printed %q and %q, want %q", arguments, out, errs, want)
		}
	}
	if out, errs := does(t, 0, "-help"); !strings.HasPrefix(out, "usage: ") || errs != "" {
		t.Errorf("printed %q and %q", out, errs)
	}
}

// What is printed where there is no room is an error.
func TestLostOutput(t *testing.T) {
	run_, files, _ := trained(t, 1)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, arguments := range [][]string{{"-help"}, {"-model", run_.Dir(), files[0]}, {"-json", "-model", run_.Dir(), files[0]}} {
		var errs bytes.Buffer
		if status := run(arguments, full, &errs); status != 1 || !strings.HasPrefix(errs.String(), "error: cannot print: ") ||
			strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%q: status %d, printed %q", arguments, status, &errs)
		}
	}
}
