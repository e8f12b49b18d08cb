package look_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/look"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// task is a training of a second on the sample of MNIST: 7 batches an epoch, and most answers wrong.
func task() train.Task {
	return train.Task{
		Net: nn.Named("Tiny net", nn.Conv(3, 5), nn.ReLU, nn.MaxPool(2), nn.Conv(9, 3), nn.ReLU, nn.AvgPool(2),
			nn.Flatten, nn.Dense(10)),
		Data: sample.MNIST().Normalize(0.1307, 0.3081).Validate(64),
		Config: train.Config{
			Epochs: 2, Batch: 64, Seed: 1, Loss: train.CrossEntropy, Optimizer: train.SGD(0.02, 0.5), Progress: train.Quiet,
		},
	}
}

var trained = sync.OnceValues(func() (*train.Run, error) { return task().Fit() })

func run(t *testing.T) (*train.Run, *train.Predictions) {
	t.Helper()
	r, err := trained()
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Test()
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

func TestMain(m *testing.M) {
	if program, ok := cells[os.Getenv("CELL")]; ok {
		program()
		return
	}
	runs, err := os.MkdirTemp("", "look")
	if err != nil {
		panic(err)
	}
	os.Setenv(train.RunsEnv, runs)
	code := m.Run()
	os.RemoveAll(runs)
	os.Exit(code)
}

// says checks what a figure says in words, and that it was drawn.
func says(t *testing.T, f figure.Figure, want string) {
	t.Helper()
	if _, err := f.PNG(); err != nil || f.Alt != want {
		t.Errorf("%v, %q, want %q", err, f.Alt, want)
	}
}

// probability is the softmax of an image's scores, from the formula.
func probability(p *train.Predictions, i, class int) float64 {
	sum := 0.0
	for other := range 10 {
		sum += math.Exp(float64(p.Outputs.At(i, other) - p.Outputs.At(i, class)))
	}
	return 1 / sum
}

func TestWorst(t *testing.T) {
	r, p := run(t)
	type mistake struct {
		i    int
		loss float32
	}
	var mistakes []mistake
	for i, label := range p.Labels {
		if p.Outputs.Row(i).Argmax() != int(label) {
			mistakes = append(mistakes, mistake{i, p.Losses[i]})
		}
	}
	slices.SortStableFunc(mistakes, func(a, b mistake) int { return int(math.Copysign(1, float64(b.loss-a.loss))) })
	var captions []string
	for _, m := range mistakes[:3] {
		given := p.Outputs.Row(m.i).Argmax()
		captions = append(captions, fmt.Sprintf("%d, taken for %d (%.0f %% sure)", p.Labels[m.i], given, 100*probability(p, m.i, given)))
	}
	says(t, look.Worst(r, 3), "3 pictures: Tiny net's worst mistakes ("+strings.Join(captions, ", ")+")")
	if f := look.Worst(look.Named("The net", r), 1); !strings.HasPrefix(f.Alt, "1 picture: The net's worst mistakes (") {
		t.Error(f.Alt)
	}
	if _, err := look.Worst(r, 0).PNG(); err == nil || err.Error() != "0 mistakes cannot be drawn: it must be at least 1" {
		t.Error(err)
	}
	if f := look.Worst(r, 1, "Oh dear"); !strings.HasPrefix(f.Alt, "1 picture: Oh dear (") {
		t.Error(f.Alt)
	}
	if r.Result.Network != "Tiny net" {
		t.Errorf("a run that was given a name is another: %s", r.Result.Network)
	}
}

func TestSurest(t *testing.T) {
	r, p := run(t)
	var captions []string
	for class := range 10 {
		best := 0
		for i := range p.Labels {
			if probability(p, i, class) > probability(p, best, class) {
				best = i
			}
		}
		said := fmt.Sprint(class)
		if int(p.Labels[best]) != class {
			said += fmt.Sprintf(" (is %d)", p.Labels[best])
		}
		captions = append(captions, fmt.Sprintf("%s %.0f %% sure", said, 100*probability(p, best, class)))
	}
	says(t, look.Surest(r), "10 pictures: What Tiny net is most sure of, for each class ("+strings.Join(captions, ", ")+")")
}

func TestPredictions(t *testing.T) {
	r, p := run(t)
	var captions []string
	for i := 5; i < 7; i++ {
		given := p.Outputs.Row(i).Argmax()
		captions = append(captions, fmt.Sprintf("%d → %d %.0f %% sure", p.Labels[i], given, 100*probability(p, i, given)))
	}
	says(t, look.Predictions(r, 5, 7), "2 pictures: Test images 5 to 6: true class → what Tiny net says ("+strings.Join(captions, ", ")+")")
}

func TestConfusionAndPerClass(t *testing.T) {
	r, p := run(t)
	right, images, hits := 0, make([]float64, 10), make([]float64, 10)
	for i, label := range p.Labels {
		images[label]++
		if p.Outputs.Row(i).Argmax() == int(label) {
			hits[label]++
			right++
		}
	}
	says(t, look.Confusion(r), fmt.Sprintf("Confusion matrix: Tiny net on MNIST sample; %d of 256 right, on the diagonal", right))
	alone, two := "", ""
	for class := range 10 {
		alone += fmt.Sprintf("; %d %.2f", class, 100*hits[class]/images[class])
		two += fmt.Sprintf(", %d %.3g", class, 100*hits[class]/images[class])
	}
	says(t, look.PerClass(r), "Bar chart: How much of each class Tiny net recognises, recognised test images, %"+alone)
	says(t, look.PerClass(r, look.Named("again", r)),
		"Bar chart: How much of each class is recognised, recognised test images, %; Tiny net: "+two[2:]+"; again: "+two[2:])
}

func TestFiltersAndMaps(t *testing.T) {
	r, p := run(t)
	says(t, look.Filters(r, "conv1"), "The 3 learned filters of conv1, 5×5 pixels, red positive, blue negative")
	const image = "1 picture: Test image 7: %d"
	says(t, look.Maps(r, 7), fmt.Sprintf(image, p.Labels[7])+"; below it: 3 pictures: conv1, 24 × 24; below it: 3 pictures: max-pool1, 12 × 12"+
		"; below it: 8 pictures: conv2, 10 × 10, 8 of 9 maps; below it: 8 pictures: avg-pool1, 5 × 5, 8 of 9 maps")
	says(t, look.Maps(r, 7, "max-pool", "conv2"), fmt.Sprintf(image, p.Labels[7])+
		"; below it: 3 pictures: max-pool1, 12 × 12; below it: 8 pictures: conv2, 10 × 10, 8 of 9 maps")
}

func TestCurves(t *testing.T) {
	r, _ := run(t)
	h := r.History
	ends := func(name string, of func(train.EpochHistory) float64) string {
		return fmt.Sprintf("; %s from %.4g to %.4g", name, of(h.Epochs[0]), of(h.Epochs[1]))
	}
	says(t, look.Curves(look.TestAccuracy, look.ByEpoch, r, look.Named("again", r)), "Line chart: Test accuracy by epoch, test accuracy, % over epoch"+
		ends("Tiny net", func(e train.EpochHistory) float64 { return e.TestAccuracy })+ends("again", func(e train.EpochHistory) float64 { return e.TestAccuracy }))
	says(t, look.Curves(look.ValidationLoss, look.ByMinute, r), "Line chart: Validation loss by time, validation loss over minutes of training"+
		ends("Tiny net", func(e train.EpochHistory) float64 { return e.ValidationLoss }))
	says(t, look.Curves(look.TrainLoss, look.ByStep, r), "Line chart: Training loss by step, loss, mean of an epoch over step"+
		ends("Tiny net", func(e train.EpochHistory) float64 { return e.TrainLoss }))
	says(t, look.Curves(look.StepLoss, look.ByStep, r), fmt.Sprintf("Line chart: Training loss by step, loss of each step over step; Tiny net from %.4g to %.4g",
		h.Losses[0], h.Losses[len(h.Losses)-1]))
}

// Runs of a network stand in a table by what differs between them, and are drawn together under that or their names.
func TestStoredRuns(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	if _, err := look.Runs("Tiny net"); err == nil || err.Error() != "no run of Tiny net is stored: train one with Fit first, or name another network" {
		t.Errorf("no run: %v", err)
	}
	slow := task()
	slow.Optimizer = train.SGD(0.005, 0.5)
	var runs []*train.Run
	for _, c := range []train.Task{task(), slow} {
		c.Data = sample.MNIST().Normalize(0.1307, 0.3081)
		run, err := c.Fit()
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	best, err := train.Find(runs[1].Dir())
	if err != nil {
		t.Fatal(err)
	}
	if err := best.SetName("最好 best"); err != nil {
		t.Fatal(err)
	}
	listing, err := look.Runs("Tiny net")
	if err != nil {
		t.Fatal(err)
	}
	row := func(title, lr string, run *train.Run) string {
		return fmt.Sprint([]string{title, lr, fmt.Sprintf("%.2f", run.Result.TestAccuracy), fmt.Sprintf("%.1f", run.Result.TrainSeconds),
			run.Result.StartedAt.Local().Format("2006-01-02 15:04"), "finished"})
	}
	id := filepath.Base(runs[0].Dir())
	want := []string{row("最好 best", "0.005", runs[1]), row(id, "0.02", runs[0])}
	head, rows := listing.Table()
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(r))
	}
	slices.Sort(got) // they may have begun in the same second
	slices.Sort(want)
	if fmt.Sprint(head) != "[run lr accuracy, % training, s date state]" || !slices.Equal(got, want) {
		t.Errorf("%v\n%q, want\n%q", head, got, want)
	}
	validated, err := task().Fit() // with validation images
	if err != nil {
		t.Fatal(err)
	}
	if listing, err = look.Runs("Tiny net"); err != nil {
		t.Fatal(err)
	}
	head, rows = listing.Table()
	if fmt.Sprint(head) != "[run lr validation images validation, % accuracy, % training, s date state]" {
		t.Errorf("with a run that has validation images the columns are %v", head)
	}
	for _, r := range rows {
		want := "–"
		if r[0] == filepath.Base(validated.Dir()) {
			want = fmt.Sprintf("%.2f", validated.History.Epochs[len(validated.History.Epochs)-1].ValidationAccuracy)
		}
		if r[3] != want {
			t.Errorf("%s has the validation accuracy %s, want %s", r[0], r[3], want)
		}
	}
	says(t, look.Stored(look.TestAccuracy, look.ByEpoch, "最好 best", id),
		look.Curves(look.TestAccuracy, look.ByEpoch, look.Named("最好 best", runs[1]), look.Named("lr 0.02", runs[0])).Alt)
	says(t, look.Stored(look.StepLoss, look.ByStep, id), look.Curves(look.StepLoss, look.ByStep, look.Named(id, runs[0])).Alt)
	for _, f := range []figure.Figure{
		look.Stored(look.TestLoss, look.ByStep, "nobody"), look.Stored(look.TestLoss, look.ByStep),
		look.Stored(look.ValidationLoss, look.ByEpoch, id), look.Stored(99, look.ByEpoch, id),
	} {
		if _, err := f.PNG(); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want a line", err)
		}
	}
}

// What cannot be drawn is a line that says what there is.
func TestErrors(t *testing.T) {
	r, _ := run(t)
	bare := *r
	bare.Task.Data = sample.MNIST()
	for want, f := range map[string]figure.Figure{
		"there are no test images from 250 to before 300: there are 256": look.Predictions(r, 250, 300),
		"there is no image 256":                                            look.Maps(r, 256),
		"no feature maps of conv7: it has those of conv1, relu1":           look.Maps(r, 0, "conv7"),
		"Tiny net has no variable \"conv7/weights\": it has conv1/weights": look.Filters(r, "conv7"),
		"dense1 has weights [225 10]: only a convolution":                  look.Filters(r, "dense1"),
		"the filters of conv2 see 3 maps":                                  look.Filters(r, "conv2"),
		"there is no run to draw a curve of":                               look.Curves(look.TestLoss, look.ByStep),
		"measure 99 by 2 cannot be drawn":                                  look.Curves(99, look.ByStep, r),
		"trained without a validation split":                               look.Curves(look.ValidationLoss, look.ByStep, &bare),
		"0 labels and 0 series":                                            look.PerClass(),
		"this is not a finished run: get one with Fit or Load":             look.Worst(&train.Run{}, 3),
		"this is not a finished run":                                       look.Surest(nil),
		"is not a finished run":                                            look.Predictions(nil, 0, 1),
		"not a finished run":                                               look.Confusion(nil),
		"a finished run":                                                   look.PerClass(r, nil),
		"finished run":                                                     look.Filters(nil, "conv1"),
		"there is no run to draw: get one with Fit or Load":                look.Maps(nil, 0),
		"there is no run to draw: get one":                                 look.Curves(look.TestLoss, look.ByStep, r, look.Named("none", nil)),
	} {
		if _, err := f.PNG(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
