package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-3 {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Means 95 and 91, variances 1 each, so the difference's standard error is √(1/3 + 1/3) = 0.8165; with equal variances
// and sizes Welch's degrees of freedom are 2·(3 − 1) = 4, and Student's t for 95 % there is 2.7764.
func TestInterval(t *testing.T) {
	difference, half := interval([]float64{94, 95, 96}, []float64{90, 91, 92})
	near(t, "difference", difference, 4)
	near(t, "half", half, 2.7764*0.81650)

	// Variances 1 and 27/3 = 9 of 3 and 4 values: standard error √(1/3 + 9/4) = 1.60728. scipy.stats.ttest_ind, with
	// equal_var=False, gives 3.82868 degrees of freedom and the interval below.
	root := math.Sqrt(13.5)
	difference, half = interval([]float64{1, 2, 3}, []float64{10 - root, 10, 10, 10 + root})
	near(t, "lower end", difference-half, -12.5424)
	near(t, "upper end", difference+half, -3.4576)

	// One fixed number: t for 95 % and 2 degrees of freedom is 4.3027, the standard error √(1/3).
	difference, half = interval([]float64{84, 85, 86}, []float64{84.92})
	near(t, "difference", difference, 0.08)
	near(t, "half", half, 4.3027*0.57735)

	if _, half := interval([]float64{1, 1}, []float64{2, 2}); half != 0 {
		t.Errorf("an interval without spread is ±%v", half)
	}
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		rule             rule
		difference, half float64
		want             outcome
	}{
		{above(0), 4, 2.27, holds},
		{above(0), 2, 2.27, fails}, // the interval reaches below 0
		{above(1.7), 4, 2.27, holds},
		{above(1.8), 4, 2.27, fails},
		{above(0), -4, 2.27, fails},
		{within(2), 0.5, 1.4, holds},
		{within(2), -0.5, 1.4, holds},
		{within(2), -0.7, 1.4, fails},
		{within(2), 0, 2.27, fails}, // too few seeds to know
		{reaching(), 0, 2.27, holds},
		{reaching(), -0.01, 0, fails},
	} {
		if got := c.rule.decide(c.difference, c.half); got != c.want {
			t.Errorf("%v, %v ± %v: %v, want %v", c.rule, c.difference, c.half, got, c.want)
		}
	}
}

// row is what a training with that seed reached.
func row(a arm, who string, seed int, accuracy float64) Row {
	w := a.by(who)
	w.Seed = seed
	quiet := 0.02
	return Row{Work: w, Parameters: 6422, Accuracy: accuracy, Seconds: 10 * float64(seed), Others: &quiet, Device: "xla:cpu", Date: "2026-11-25"}
}

func TestJudge(t *testing.T) {
	c := claim{name: "c", a: cnn, b: fc, what: accuracy, rule: above(1), seeds: 3, peers: true}
	l := &ledger{}
	for i, accuracy := range []float64{94, 95, 96} {
		l.put(row(cnn, ours, i+1, accuracy), row(fc, ours, i+1, accuracy-4), row(cnn, peers, i+1, accuracy))
	}
	l.put(row(fc, ours, 4, 99)) // of a seed that the claim does not ask for
	v := c.judge(l)
	if v.outcome != notMeasured || v.sides[0].outcome != holds || v.sides[1].outcome != notMeasured {
		t.Errorf("without PyTorch's other side: %+v", v)
	}
	if got, want := v.sides[0].String(), "CNN 95.00 ± 1.00 % (3), FC2Layer 91.00 ± 1.00 % (3), difference +4.00 ± 2.27: holds"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if missing := missing([]claim{c}, "", l); len(missing) != 3 || missing[0].Who != peers || missing[0].Network != "FC2Layer" {
		t.Errorf("missing: %v", missing)
	}
	for i, accuracy := range []float64{94, 95, 96} { // no difference in PyTorch
		l.put(row(fc, peers, i+1, accuracy))
	}
	if v := c.judge(l); v.outcome != fails {
		t.Errorf("without a difference in PyTorch: %v", v.outcome)
	}
	c.peers = false
	if v := c.judge(l); v.outcome != holds {
		t.Errorf("where PyTorch does not matter: %v", v.outcome)
	}
	fixed := claim{a: cnn, b: arm{name: "the notes"}, fixed: 92.4, what: accuracy, rule: above(0), seeds: 3} // 95 ± 2.48
	if v := fixed.judge(l); v.outcome != holds || v.sides[0].b.String() != "92.40 %" || len(fixed.works()) != 3 {
		t.Errorf("a figure of the notes: %+v", v)
	}
	if fixed.rule = reaching(); fixed.judge(l).outcome != holds {
		t.Error("a mean of 95 does not reach 92.4")
	}
	if fixed.fixed = 95.01; fixed.judge(l).outcome != fails {
		t.Error("a mean of 95 reaches 95.01")
	}
	same := claim{a: cnn, what: accuracy, rule: within(3), seeds: 3}
	if v := same.judge(l); v.outcome != holds || v.sides[0].b.name != peers {
		t.Errorf("the same in PyTorch: %+v", v)
	}
}

func TestLedgerKeepsOneRowOfATraining(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	l, err := readLedger(path)
	if err != nil || len(l.rows()) != 0 {
		t.Fatalf("%v, %v", l, err)
	}
	first := row(fc, ours, 2, 87)
	for _, r := range []Row{first, row(cnn, peers, 1, 94), row(fc, ours, 1, 86), row(fc, ours, 2, 88)} {
		if err := l.add(r); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(content), "\n"); lines != 3 {
		t.Errorf("%d rows, want 3", lines)
	}
	again, err := readLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	if r, found := again.find(first.Work); !found || r.Accuracy != 87 {
		t.Errorf("the row of the training is %+v", r)
	}
	if rows := again.rows(); rows[0].Network != "CNN" || rows[1].Seed != 1 || rows[2].Seed != 2 {
		t.Errorf("not sorted: %+v", rows)
	}

	old := strings.ReplaceAll(string(content), `"who":"convbook","format":2`, `"who":"convbook","format":1`)
	if err := os.WriteFile(path, []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	if l, err := readLedger(path); err != nil || len(l.rows()) != 1 {
		t.Errorf("rows of an older way to train count: %+v, %v", l.rows(), err)
	}
	for _, bad := range []string{"{", "null and void", `{"who":"convbook","acuracy":99}`} {
		if err := os.WriteFile(path, []byte(bad+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readLedger(path); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestFiguresIn(t *testing.T) {
	for text, want := range map[string]string{
		"It has 94 %.": "94 %",
		"gave 81.94 and 83.01 % told, 83.36 and 83.85 % not": "81.94 %, 83.01 %, 83.36 %, 83.85 %",
		"37.90, 42.38, 67.76, 62.48 and 56.32 %":             "37.90 %, 42.38 %, 67.76 %, 62.48 %, 56.32 %",
		"from about 94 to about 81 %":                        "94 %, 81 %",
		"in 2012, 15.3 %, or 16.4 %":                         "15.3 %, 16.4 %",
		"11.7 % → 7.3 %":                                     "11.7 %, 7.3 %",
		"takes 1,251.8 s, or 20.9 minutes, or 3 – 4 min":     "1251.8 s, 20.9 min, 3 min, 4 min",
		"`a%28 % b` and 3 sets of 5 %":                       "5 %",
		"```\nx := 7 % y\n```\nthen 1 second":                "1 s",
		"version 1.2.3 s":                                    "",
		"59.8-74.2 % after 5 s, 80–82 percent":               "59.8 %, 74.2 %, 5 s, 80 %, 82 %",
		"eight steps, 4 images":                              "",
	} {
		var got []string
		for _, f := range figuresIn(text) {
			got = append(got, f.String())
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%q: %q, want %q", text, strings.Join(got, ", "), want)
		}
	}
}

func TestFiguresMustBeBacked(t *testing.T) {
	l := &ledger{}
	for i, accuracy := range []float64{61.62, 63.66, 63.21} { // mean 62.83, spread 1.07
		r := row(net, ours, i+1, accuracy)
		if busy := 1.5; i == 2 {
			r.Others = &busy // the others took 10 and 20 s, 15 on average
		}
		l.put(r)
	}
	p, err := notebook("12", []byte(`{"cells": [
		{"cell_type": "markdown", "source": ["Net has 62.83 %, ", "spread 1.07 %.\n", "Mean 63 %. Not 64 %."]},
		{"cell_type": "code", "source": "x := 99 % 2", "outputs": [{"text": ["Accuracy (45%)\n"]}, {"data": {"text/plain": "up to 39.1"}}]},
		{"cell_type": "markdown", "source": "One had 61.62 % and one 61.63 %. After 15 s, 30 s, 20.0 s; 0.33 minutes. It printed 45 % and 39.1 %, not 39 %. The notes have 84.92 %."}]}`))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := readSources("| where | figure | source |\n| --- | --- | --- |\n| 12 | 84.92 % | the notes |\n| 12 | 7 % | nobody |\n")
	if err != nil {
		t.Fatal(err)
	}
	got := unbacked([]page{p}, l.backing(), sources).Error()
	want := strings.Join([]string{
		`12: "Not 64 %.": nothing backs 64 %`,
		`12: "One had 61.62 % and one 61.63 %": nothing backs 61.63 %`,
		`12: "After 15 s, 30 s, 20.0 s; 0.33 minutes": nothing backs 30 s`,
		`12: "It printed 45 % and 39.1 %, not 39 %": nothing backs 39 %`,
		`figures/sources.md: there is no 7 % in 12 any more: take the line out`,
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := readSources("| 12 | 84.92 % |\n"); err == nil {
		t.Error("a line without a source is accepted")
	}
}

func TestReadme(t *testing.T) {
	l := &ledger{}
	for i, accuracy := range []float64{61.62, 63.66, 63.21} {
		l.put(row(net, ours, i+1, accuracy))
	}
	l.put(row(net, peers, 1, 62.9))
	text := "a\n<!-- results: make claims -->\nold\n<!-- end -->\nb\n<!-- claims: make claims -->\n<!-- end -->\nc\n"
	got, err := withBlocks(text, l)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a\n<!-- results: make claims -->\n| network |",
		"| Net | 6,422 | CIFAR-10 | 10 epochs, batches of 64, cross-entropy, Adam, learning rate 0.001 | 62.83 ± 1.07 % (3) | 62.90 % (1) | 62 % | 20.0 s |\n",
		"| Net's accuracy is that of PyTorch to within two points. | 62.83 ± 1.07 % (3) | 62.90 % (1) | – | not measured: alike within 2 points |\n",
		"<!-- end -->\nb\n",
		"<!-- end -->\nc\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if again, err := withBlocks(got, l); err != nil || again != got {
		t.Errorf("written again, it changes: %v", err)
	}
	if _, err := withBlocks("no markers", l); err == nil {
		t.Error("a README without markers is accepted")
	}
}

// A training that a claim asks for is the run of the notebook that says the same in Go: it is not trained twice.
func TestWorksAreTheNotebooksRuns(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	colours := dataset.CIFAR10().NormalizeRGB([3]float64{0.4914, 0.4822, 0.4465}, [3]float64{0.2023, 0.1994, 0.2010})
	digits := dataset.MNIST().Normalize(0.1307, 0.3081)
	for _, c := range []struct {
		arm    arm
		net    nn.Layer
		data   dataset.Images
		config train.Config
	}{
		{cnnPermuted, zoo.CNN(6), digits.Permute(dataset.Permutation(28*28, 1)),
			train.Config{Epochs: 1, Batch: 64, Loss: train.NLL, Optimizer: train.SGD(0.01, 0.5)}},
		{net, zoo.Net(10), dataset.CIFAR10().Normalize(0.5, 0.5),
			train.Config{Epochs: 10, Batch: 64, Loss: train.CrossEntropy, Optimizer: train.Adam(0.001)}},
		{vggNotes, zoo.VGG16(10), colours.Augment(dataset.RandomCrop(32, 4), dataset.RandomFlip),
			train.Config{Epochs: 10, Batch: 128, Loss: train.CrossEntropy, Optimizer: train.Adam(0.001)}},
		{vggBook, zoo.VGG16(10), colours.Augment(dataset.ReflectedCrop(32, 2), dataset.AlternateFlip),
			train.Config{Epochs: 10, Batch: 512, Loss: train.CrossEntropy.Smooth(0.2), Optimizer: train.Muon(0.016, 0.4).Momentum(0.6), Schedule: train.OneCycle(0.05)}},
		{arm{work: Work{Network: "SpeedNet", Data: photosEven, Recipe: speedRecipe}}, zoo.SpeedNet(10), dataset.CIFAR10().NormalizeRGB([3]float64{0.4914, 0.4822, 0.4465}, [3]float64{0.2470, 0.2435, 0.2616}).
			Augment(dataset.ReflectedCrop(32, 2), dataset.AlternateFlip),
			train.Config{Epochs: 12, Batch: 2000, Loss: train.CrossEntropy.Smooth(0.2), Optimizer: train.Muon(0.03, 0.15).Momentum(0.6).Turn(0.24), Schedule: train.Linear()}},
	} {
		w := c.arm.by(ours)
		w.Seed, c.config.Seed = 1, 1
		task, err := w.task(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		_, mine := task.Load() // the error names the settings
		_, theirs := train.Task{Net: c.net, Data: c.data, Config: c.config}.Load()
		if mine == nil || theirs == nil || mine.Error() != theirs.Error() || task.Data.String() != c.data.String() {
			t.Errorf("%s: %v on %v, want %v on %v", w, mine, task.Data, theirs, c.data)
		}
	}
	for name, net := range networks {
		if nn.Name(net) != name {
			t.Errorf("%s is called %s", nn.Name(net), name)
		}
	}
	for _, c := range claims {
		for _, w := range c.works() {
			if _, known := networks[w.Network]; !known {
				t.Errorf("claim %s: there is no network %s", c.name, w.Network)
			}
		}
	}
}

// A training that starts from another one is the run that a notebook describes in Go, and so is the other one.
func TestStartedWorkIsTheNotebooksRun(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	data := Data{Set: "MNIST sample", Mean: []float64{0.1307}, Std: []float64{0.3081}, Classes: []string{"1", "7"}, Tests: 20}
	recipe := Recipe{Epochs: 1, Batch: 25, Loss: "cross-entropy", Optimizer: "Adam", Rate: 0.01}
	start := Work{Network: "Net", Data: data, Recipe: recipe, Seed: 1}
	work := Work{Network: "Net", Data: few(15, data), Recipe: recipe, Start: &start, Freeze: []string{"conv*"}}
	work.Data.Classes = []string{"0", "2"}
	w := arm{work: work}.by(ours)
	w.Seed = 4
	row, err := w.train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	digits := sample.MNIST().Normalize(0.1307, 0.3081).FirstTest(20)
	task := train.Task{Net: zoo.Net(2), Data: digits.Only("1", "7"), Config: train.Config{
		Epochs: 1, Batch: 25, Optimizer: train.Adam(0.01), Seed: 1, Progress: train.Quiet}}
	if task.Start, err = task.Load(); err != nil {
		t.Fatal(err)
	}
	task.Data, task.Seed, task.Freeze = digits.Only("0", "2").PerClass(15, 4), 4, []string{"conv*"}
	run, err := task.Load()
	if err != nil {
		t.Fatal(err)
	}
	if row.Accuracy != run.Result.TestAccuracy || row.Start.Who != ours || run.Result.TrainImages != 30 || run.Result.TestImages != 20 {
		t.Errorf("%+v is not of %+v", row, run.Result)
	}
}

func TestTrainingBecomesARow(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	if _, err := sample.MNIST().Train(); err != nil {
		t.Fatal(err)
	}
	w := fc.by(ours)
	w.Data.Set, w.Seed = "MNIST sample", 3
	row, err := w.train(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	run, err := train.Task{Net: zoo.FC2Layer(8), Data: sample.MNIST().Normalize(0.1307, 0.3081), Config: train.Config{
		Epochs: 1, Batch: 64, Loss: train.NLL, Optimizer: train.SGD(0.01, 0.5), Seed: 3, Progress: train.Quiet}}.Fit()
	if err != nil {
		t.Fatal(err)
	}
	if row.Accuracy != run.Result.TestAccuracy || row.Seconds != run.Result.TrainSeconds || row.Parameters != 6442 ||
		row.TrainLoss != run.History.Epochs[0].TrainLoss || row.Others == nil || row.Processor == "" || row.Versions["go"] == "" {
		t.Errorf("%+v is not of %+v", row, run.Result)
	}
	about, err := os.ReadFile(filepath.Join(run.Dir(), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var of struct{ Version int }
	if err := json.Unmarshal(about, &of); err != nil || of.Version != formats[ours] {
		t.Errorf("runs have version %d, rows format %d: rows of before do not count when the book trains differently", of.Version, formats[ours])
	}
	stored, err := w.train(context.Background()) // now it is on disk: nobody knows how busy the machine was
	if err != nil || stored.Others != nil || stored.Accuracy != row.Accuracy {
		t.Errorf("%+v, %v", stored, err)
	}
}

func TestReasonOfPython(t *testing.T) {
	for told, want := range map[string]string{
		"error: the loss is not a number\n": "error: the loss is not a number",
		"epoch 1\nTraceback (most recent call last):\n  File \"x.py\", line 1\ntorch.AcceleratorError: CUDA error: out of memory\n" +
			"For debugging consider passing CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA`.\n": "torch.AcceleratorError: CUDA error: out of memory",
		"ValueError: first\n\nDuring handling\n\nKeyError: 'second'\n": "KeyError: 'second'",
		"": "",
	} {
		if got := reason(told); got != want {
			t.Errorf("of %q: %q, want %q", told, got, want)
		}
	}
}

// In another folder there is no ledger, which is not one without rows.
func TestOutsideOfTheBook(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, check := range []bool{true, false} {
		err := run(context.Background(), io.Discard, "", "", check, 0)
		if err == nil || !strings.HasSuffix(err.Error(), ": run it in the book's folder") || command.Status(err) != 1 {
			t.Errorf("error %v", err)
		}
	}
}

// A name that is not there ends with 2, as in all commands.
func TestWrongNames(t *testing.T) {
	for _, name := range [][2]string{{"nosuch", ""}, {"", "nobody"}} {
		if err := run(context.Background(), io.Discard, name[0], name[1], true, 0); command.Status(err) != 2 {
			t.Errorf("-name %q -who %q: %v", name[0], name[1], err)
		}
	}
}

// The book's ledger is written as it was read.
func TestLedgerIsInOrder(t *testing.T) {
	before, err := os.ReadFile(filepath.Join("..", "..", ledgerFile))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	if err := os.WriteFile(path, before, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := readLedger(path)
	if err == nil {
		err = l.add(l.rows()[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("it has changed, %v", err)
	}
}
