package train

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/train/internal/store"
)

// A validation split changes nothing of a training on the same images, to the last bit, and what it measures is what a
// test on the same images does.
func TestValidation(t *testing.T) {
	isolate(t)
	with := modern()
	with.Data = with.Data.Validate(112)
	without := modern()
	without.Data = without.Data.First(400)
	a, b := mustFit(t, with), mustFit(t, without)
	if !slices.Equal(a.History.Losses, b.History.Losses) {
		t.Errorf("losses %v, without validation %v", a.History.Losses, b.History.Losses)
	}
	for _, v := range a.plan.summary.Variables {
		x, err := a.Weights(v.Name)
		if err != nil {
			t.Fatal(err)
		}
		if y, err := b.Weights(v.Name); err != nil || !reflect.DeepEqual(x, y) {
			t.Errorf("%s: %v, without validation %v", v.Name, x, y)
		}
	}

	train, err := digits().Train()
	if err != nil {
		t.Fatal(err)
	}
	on := modern()
	on.Data = dataset.New("on the last", digits().Classes, 28, 28, 1, func() (*dataset.Split, *dataset.Split, error) {
		return train.Part(0, 400), train.Part(400, 512), nil
	}).Normalize(0.1307, 0.3081).Augment(dataset.RandomCrop(28, 2), dataset.RandomFlip)
	c := mustFit(t, on)
	for i, got := range a.History.Epochs {
		if got.TestLoss != b.History.Epochs[i].TestLoss || got.TestAccuracy != b.History.Epochs[i].TestAccuracy {
			t.Errorf("epoch %d: tested %+v, without validation %+v", i+1, got, b.History.Epochs[i])
		}
		if want := c.History.Epochs[i]; got.ValidationLoss != want.TestLoss || got.ValidationAccuracy != want.TestAccuracy || got.ValidationLoss == 0 {
			t.Errorf("epoch %d: validated %+v, a test on the same images says %+v", i+1, got, want)
		}
	}
	given := without // the same images, but given and not kept back
	given.Data = given.Data.WithValidation(train.Part(400, 512))
	d := mustFit(t, given)
	for i, got := range d.History.Epochs {
		if want := a.History.Epochs[i]; got.ValidationLoss != want.ValidationLoss || got.ValidationAccuracy != want.ValidationAccuracy {
			t.Errorf("epoch %d: validated on given images %+v, on those kept back %+v", i+1, got, want)
		}
	}
	if !slices.Equal(d.History.Losses, a.History.Losses) {
		t.Error("the losses differ between images that are given and those kept back")
	}
	if got, want := d.Differs(b), "validation images none → its own, the rest the same"; got != want {
		t.Errorf("differs in %q, want %q", got, want)
	}
	if a.Result.TrainImages != 400 || a.Result.ValidationImages != 112 || a.Result.TestImages != 256 {
		t.Errorf("%+v", a.Result)
	}
	if loaded, err := with.Load(); err != nil || !reflect.DeepEqual(loaded.History, a.History) {
		t.Errorf("loaded %v, %v", loaded, err)
	}
}

// A run's result has what the validation images say. One that was stored before that was written is loaded as it is, and
// what is missing comes from its history.
func TestResultsWithAndWithoutValidation(t *testing.T) {
	isolate(t)
	plain := mustFit(t, quick())
	if text, err := os.ReadFile(inRun(plain, store.Result)); err != nil || bytes.Contains(text, []byte("validation")) {
		t.Errorf("without validation images the result is %s, %v", text, err)
	}
	task := quick()
	task.Data = task.Data.Validate(112)
	run := mustFit(t, task)
	last := run.History.Epochs[1]
	want := run.Result
	if want.ValidationLoss != last.ValidationLoss || want.ValidationAccuracy != last.ValidationAccuracy || want.ValidationLoss == 0 {
		t.Errorf("the result %+v is not that of the last epoch, %+v", want, last)
	}
	text, err := os.ReadFile(inRun(run, store.Result))
	if err != nil {
		t.Fatal(err)
	}
	before := regexp.MustCompile(`(?m)^  "validation_(loss|accuracy)": .*\n`).ReplaceAll(text, nil)
	if n := bytes.Count(text, []byte("\n")) - bytes.Count(before, []byte("\n")); n != 2 {
		t.Fatalf("%d lines of %s are about it", n, text)
	}
	sums, err := os.ReadFile(inRun(run, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	digits := func(of []byte) []byte { return fmt.Appendf(nil, "%x", sha256.Sum256(of)) }
	sums = bytes.Replace(sums, digits(text), digits(before), 1)
	for name, content := range map[string][]byte{store.Result: before, "SHA256SUMS": sums} {
		if err := os.WriteFile(inRun(run, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := task.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(loaded.Result, want) {
		t.Errorf("of before: %+v, want %+v", loaded.Result, want)
	}
	listed, err := Find(filepath.Base(run.Dir()))
	if err != nil || listed.State != "finished" || Validated(listed) != nil {
		t.Errorf("listed as %s with %v, %v", listed.Status(), Validated(listed), err)
	}
}
