package train

import (
	"reflect"
	"slices"
	"testing"

	"example.org/convbook/lib/dataset"
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
