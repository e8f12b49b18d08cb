package look

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"example.org/convbook/lib/internal/notebook"
	"example.org/convbook/lib/train"
)

var about = train.Training{Network: "VGG16", Parameters: 9_231_114, MACs: 153_000_000, Device: "xla:cpu · two cores",
	Epochs: 2, Batches: 100, Batch: 128, Images: 12800, TestImages: 1000}

// display is what a page was asked to show, and when.
type display struct {
	id string
	notebook.Content
	at time.Duration
}

func (d display) text() string { return fmt.Sprint(d.Data[protocol.MIMETextPlain]) }
func (d display) html() string { return fmt.Sprint(d.Data[protocol.MIMETextHTML]) }

// shows is a page that notes what it shows, in a bubble of package synctest.
func shows() (p *page, all func() []display) {
	var mu sync.Mutex
	var displays []display
	begun := time.Now()
	p = &page{show: func(id string, c notebook.Content) {
		mu.Lock()
		defer mu.Unlock()
		displays = append(displays, display{id, c, time.Since(begun)})
	}}
	return p, func() []display {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(displays)
	}
}

// chartsOf are the displays of the chart.
func chartsOf(all []display) []display {
	return slices.DeleteFunc(slices.Clone(all), func(d display) bool { return d.id != all[1].id })
}

// steps are so many losses from 2 downwards.
func steps(n int) []float32 {
	losses := make([]float32, n)
	for i := range losses {
		losses[i] = 2 - float32(i)/float32(n)
	}
	return losses
}

func epoch(accuracy, seconds float64) train.EpochHistory {
	return train.EpochHistory{TrainLoss: 0.5, TestLoss: 0.25, TestAccuracy: accuracy, TrainSeconds: seconds}
}

// A training of two minutes, half a second between what it tells.
func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, all := shows()
		p.Tell(train.Started{Training: about})
		time.Sleep(10 * time.Second) // compiling
		if d := all(); !strings.Contains(d[len(d)-1].text(), "epoch 1 of 2 · compiling · 9.8 s gone") {
			t.Errorf("says %q while compiling", d[len(d)-1].text())
		}
		seconds := 0.0
		for e := 1; e <= 2; e++ {
			for batch := range 100 {
				time.Sleep(time.Second / 2)
				seconds += 0.5
				p.Tell(train.Stepped{Training: about, Epoch: e, Batch: batch, Losses: []float32{1}, Seconds: seconds})
				if e == 1 && batch == 50 {
					time.Sleep(time.Second)
					if d := all(); !strings.HasPrefix(d[len(d)-1].text(), "epoch 1 of 2 · batch 51 of 100 · 256 images a second · 36 s gone, 75 s left") {
						t.Errorf("says %q in the middle", d[len(d)-1].text())
					}
				}
			}
			time.Sleep(8 * time.Second)
			if d := all(); !strings.HasPrefix(d[len(d)-1].text(), fmt.Sprintf("epoch %d of 2 · testing", e)) {
				t.Errorf("says %q while testing", d[len(d)-1].text())
			}
			p.Tell(train.Tested{Training: about, Epoch: e, EpochHistory: epoch(80+float64(e), seconds)})
		}
		p.Tell(train.Ended{Training: about})
		charts := chartsOf(all())
		for i := range charts[:len(charts)-2] {
			if apart := charts[i+1].at - charts[i].at; apart < every/2 || apart > 2*time.Second {
				t.Errorf("two pictures are %v apart", apart)
			}
		}
		if n := len(charts); float64(n) > 128/every.Seconds()+2 {
			t.Errorf("drawn %d times", n)
		}
		var said []string
		for _, d := range all() {
			if d.id != charts[0].id {
				said = append(said, d.text())
			}
		}
		line := "VGG16: 9.23 million parameters, 153 million MACs an image · xla:cpu · two cores"
		if want := []string{line, line + " · training takes about 1 min 40 s", line + "\n" +
			"2 epochs in 1 min 40 s, 256 images a second: test loss 0.2500, test accuracy 82.00 %"}; !slices.Equal(said, want) {
			t.Errorf("said %q, want %q", said, want)
		}
		isPicture(t, charts[len(charts)-1], "VGG16: Line chart: Loss, loss over epoch; each step from 1 to 1; mean of 20 from 1 to 1"+
			"; beside it: Line chart: Accuracy after each epoch, accuracy, % over epoch; test from 81 to 82")
	})
}

// isPicture checks that a display is a picture with its description.
func isPicture(t *testing.T, d display, alt string) {
	t.Helper()
	png, _ := d.Data[protocol.MIMEImagePNG].([]byte)
	meta, _ := d.Metadata[string(protocol.MIMEImagePNG)].(map[string]any)
	if !bytes.HasPrefix(png, []byte("\x89PNG")) || d.Data[protocol.MIMETextHTML] != nil {
		t.Errorf("what is left is %.100v", d.Data)
	}
	if meta["alt"] != alt || d.text() != alt {
		t.Errorf("it is described as %q and %q, want %q", meta["alt"], d.text(), alt)
	}
}

// What a reader should know before a training stands above its line, once, and not above the next training's.
func TestPageOfNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, all := shows()
		for range 2 {
			p.Tell(train.Noted{Text: "against the run of yesterday: lr 0.1 → 0.2"})
			if d := all(); d[len(d)-1].text() != "against the run of yesterday: lr 0.1 → 0.2" {
				t.Errorf("says %q before it begins", d[len(d)-1].text())
			}
			p.Tell(train.Started{Training: about})
			time.Sleep(time.Second)
			p.Tell(train.Ended{Training: about, Err: errors.New("interrupted")})
		}
		line := "VGG16: 9.23 million parameters, 153 million MACs an image · xla:cpu · two cores"
		last := map[string]string{} // of each place
		for _, d := range all() {
			last[d.id] = d.text()
		}
		want := "against the run of yesterday: lr 0.1 → 0.2\n" + line + "\ninterrupted"
		said := 0
		for _, text := range last {
			if text == want {
				said++
			}
		}
		if said != 2 || len(last) != 4 { // each time the lines, and no chart
			t.Errorf("left %q, want twice %q", last, want)
		}
	})
}

// The run before is drawn beside the training from its beginning on, as far as both go, and not beside the next one.
func TestRunBefore(t *testing.T) {
	c := &course{next: &train.History{ // longer, and of larger batches
		Losses: steps(150), Epochs: []train.EpochHistory{epoch(50, 1), epoch(60, 2), epoch(70, 3)}}}
	c.tell(train.Started{Training: about}, time.Now())
	first := drawn(c.charts(), "")
	for _, name := range []string{"mean of 20, before", "test, before"} {
		if !strings.Contains(first, ">"+name+"</text>") {
			t.Errorf("%q is not drawn at the beginning", name)
		}
	}
	c.tell(train.Stepped{Training: about, Epoch: 1, Losses: steps(100), Seconds: 1}, time.Now())
	c.tell(train.Tested{Training: about, Epoch: 1, EpochHistory: epoch(80, 1)}, time.Now())
	f, _ := c.picture()
	const want = "VGG16: Line chart: Loss, loss over epoch; each step from 2 to 1.01; mean of 20 from 2 to 1.105; mean of 20, before from 2 to 1.403" +
		"; beside it: Line chart: Accuracy after each epoch, accuracy, % over epoch; test from 80 to 80; test, before from 50 to 60"
	if f.Alt != want {
		t.Errorf("%q, want %q", f.Alt, want)
	}
	c.tell(train.Ended{Training: about}, time.Now())
	c.tell(train.Started{Training: about}, time.Now())
	if next := drawn(c.charts(), ""); strings.Contains(next, "before") {
		t.Error("it is drawn beside the next training, too")
	}
}

// What is left of a training that ended early ends where it did, and says which epoch is kept and how well that one does.
func TestEarlyEnd(t *testing.T) {
	c, long := &course{}, about
	long.Epochs, long.ValidationImages = 20, 500
	c.tell(train.Started{Training: long}, time.Now())
	for e := 1; e <= 3; e++ {
		c.tell(train.Stepped{Training: long, Epoch: e, Losses: steps(100), Seconds: float64(e)}, time.Now())
		c.tell(train.Tested{Training: long, Epoch: e, EpochHistory: epoch(80-float64(e), float64(e))}, time.Now())
	}
	if end := c.charts()[0].XEnd; end != 20 {
		t.Errorf("while it goes on the chart ends at epoch %v", end)
	}
	c.tell(train.Ended{Training: long, Done: 3, Epoch: 1, EpochHistory: epoch(79, 1)}, time.Now())
	want := "3 epochs in 3.0 s, 12800 images a second: ended after epoch 3 of 20, kept: epoch 1: " +
		"validation accuracy 0.00 %, test loss 0.2500, test accuracy 79.00 %"
	if got := c.outcome(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if end := c.charts()[0].XEnd; end != 3 {
		t.Errorf("in the end the chart ends at epoch %v", end)
	}
}

// A stored run shows its picture and nothing else, at once.
func TestPageOfAStoredRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, all := shows()
		stored := about
		stored.Stored = &train.Result{TrainSeconds: 90, StartedAt: time.Date(2026, 1, 2, 3, 4, 0, 0, time.Local)}
		for _, e := range []train.Event{train.Started{Training: stored},
			train.Stepped{Training: stored, Epoch: 1, Losses: steps(100), Seconds: 45}, train.Tested{Training: stored, Epoch: 1, EpochHistory: epoch(81, 45)},
			train.Stepped{Training: stored, Epoch: 2, Losses: steps(100), Seconds: 90}, train.Tested{Training: stored, Epoch: 2, EpochHistory: epoch(82, 90)},
			train.Ended{Training: stored}} {
			p.Tell(e)
		}
		displays := all()
		if len(displays) != 2 {
			t.Fatalf("showed %d things, want 2", len(displays))
		}
		want := "VGG16: 9.23 million parameters, 153 million MACs an image · xla:cpu · two cores · " +
			"trained on 2026-01-02 03:04 (stored; Fresh: true trains again)\n" +
			"2 epochs in 90 s, 284 images a second: test loss 0.2500, test accuracy 82.00 %"
		if displays[0].text() != want {
			t.Errorf("said %q, want %q", displays[0].text(), want)
		}
		if displays[1].Data[protocol.MIMEImagePNG] == nil {
			t.Errorf("left %.100v", displays[1].Data)
		}
	})
}

// A training that goes on shows what was before, and one that ends early what it has, and why.
func TestPageOfAResumedTraining(t *testing.T) {
	for what, c := range map[string]struct {
		err  error
		said string
	}{
		"stopped":  {fmt.Errorf("%w after batch 60 of 100 in epoch 2: run it again to go on from there", train.ErrInterrupted), "run it again to go on from there"},
		"diverged": {errors.New("the loss became NaN in epoch 2 at batch 60: the learning rate 1 is too high"), "at batch 60: the learning rate 1 is too high"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, all := shows()
			p.Tell(train.Started{Training: about})
			p.Tell(train.Resumed{Training: about, Step: 150,
				History: train.History{Losses: steps(150), Epochs: []train.EpochHistory{epoch(81, 45)}}})
			time.Sleep(time.Second)
			charts := chartsOf(all())
			if html := charts[len(charts)-1].html(); !strings.Contains(html, "each step from 2 to 1.007") || !strings.Contains(html, "test from 81 to 81") {
				t.Errorf("%s: the curve of before is missing: %.300s", what, html)
			}
			p.Tell(train.Stepped{Training: about, Epoch: 2, Batch: 50, Losses: []float32{3, 3, 3, 3, 3, 3, 3, 3, 3, 9}, Seconds: 70})
			p.Tell(train.Ended{Training: about, Err: c.err})
			displays := all()
			said, left := displays[len(displays)-2].text(), displays[len(displays)-1]
			if !strings.Contains(said, " · goes on after step 150 of 200") || !strings.HasSuffix(said, c.said) {
				t.Errorf("%s: said %q", what, said)
			}
			isPicture(t, left, "VGG16: Line chart: Loss, loss over epoch; each step from 2 to 9; mean of 20 from 2 to "+
				fmt.Sprintf("%.4g", (9*3+9+sum(steps(150)[140:]))/20)+
				"; beside it: Line chart: Accuracy after each epoch, accuracy, % over epoch; test from 81 to 81")
		})
	}
}

// A training that was stopped in its last test has nothing but that left to do, and took as long as it had before.
func TestPageOfATrainingOfWhichOnlyTheTestIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, all := shows()
		p.Tell(train.Started{Training: about})
		p.Tell(train.Resumed{Training: about, Step: 200,
			History: train.History{Losses: steps(200), Epochs: []train.EpochHistory{epoch(81, 64)}}})
		p.Tell(train.Tested{Training: about, Epoch: 2, EpochHistory: epoch(82, 128)})
		p.Tell(train.Ended{Training: about})
		displays := all()
		if said := displays[len(displays)-2].text(); !strings.Contains(said, "2 epochs in 2 min 8 s, 200 images a second: ") {
			t.Errorf("said %q", said)
		}
	})
}

func sum(losses []float32) (sum float64) {
	for _, loss := range losses {
		sum += float64(loss)
	}
	return sum
}

// What ends before its first step has no picture, but says so.
func TestPageWithoutAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, all := shows()
		p.Tell(train.Started{Training: about})
		p.Tell(train.Ended{Training: about, Err: fmt.Errorf("%w before the first step", train.ErrInterrupted)})
		displays := all()
		if last := displays[len(displays)-1]; last.text() != "There is no loss to draw yet." || last.id != displays[len(displays)-3].id && len(displays) > 3 {
			t.Errorf("left %q", last.text())
		}
	})
}

// An update is small however long the training is, well-formed, and loads nothing.
func TestSizeOfAnUpdate(t *testing.T) {
	long := about
	long.Network, long.Epochs, long.Batches, long.ValidationImages = "<b>&", 100, 1000, 500
	c := &course{}
	c.tell(train.Started{Training: long}, time.Now())
	random := rand.New(rand.NewPCG(1, 2))
	for e := 1; e <= 100; e++ {
		losses := make([]float32, 1000)
		for i := range losses {
			losses[i] = float32(random.ExpFloat64())
		}
		c.tell(train.Stepped{Training: long, Epoch: e, Losses: losses, Seconds: float64(e)}, time.Now())
		c.tell(train.Tested{Training: long, Epoch: e, EpochHistory: epoch(50+float64(e)/3, float64(e))}, time.Now())
	}
	html := drawn(c.charts(), c.status(time.Now()))
	if len(html) > 25_000 {
		t.Errorf("an update has %d bytes", len(html))
	}
	var any struct{}
	if err := xml.Unmarshal([]byte(html), &any); err != nil {
		t.Errorf("%v in %.300s", err, html)
	}
	if found := regexp.MustCompile(`<script|https?:|onload|NaN|Inf|<b>`).FindString(html); found != "" {
		t.Errorf("there is %s in it", found)
	}
	for _, name := range []string{"each step", "mean of 312", "test", "validation", "accuracy, %"} {
		if !strings.Contains(html, ">"+name+"</text>") {
			t.Errorf("%q is not named", name)
		}
	}
}

// The lines have every peak of the losses, and the means that one computes by hand.
func TestThin(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 319, 320, 321, 5000} {
		losses := make([]float32, n)
		for i := range losses {
			losses[i] = random.Float32()
		}
		losses[0] = 1e30 // must not be in what comes long after it
		single, mean := thin(losses, min(n, chartColumns), 50, 10)
		if len(single.X) > 2*chartColumns+2 || len(mean.X) > chartColumns || n <= chartColumns && len(single.X) != n {
			t.Errorf("%d losses: %d and %d points", n, len(single.X), len(mean.X))
		}
		if slices.Max(single.Y) != float64(slices.Max(losses)) || slices.Min(single.Y) != float64(slices.Min(losses)) {
			t.Errorf("%d losses: a peak is missing", n)
		}
		if single.X[0] != 0 || single.X[len(single.X)-1] != float64(n-1)/10 {
			t.Errorf("%d losses: they go from %v to %v", n, single.X[0], single.X[len(single.X)-1])
		}
		if !slices.IsSorted(single.X) || !slices.IsSorted(mean.X) {
			t.Errorf("%d losses: the lines go back", n)
		}
		for i, x := range single.X {
			if want := float64(losses[int(math.Round(x*10))]); single.Y[i] != want {
				t.Errorf("%d losses: %v at %v, want %v", n, single.Y[i], x, want)
			}
		}
		for i, x := range mean.X {
			to := int(math.Round(x*10)) + 1
			last := losses[max(0, to-50):to]
			if want := sum(last) / float64(len(last)); math.Abs(mean.Y[i]-want) > 1e-9*max(1, want) {
				t.Errorf("%d losses: mean %v at %v, want %v", n, mean.Y[i], x, want)
			}
		}
	}
}

// told tells a report of a training that ends well.
func told(r *report) {
	two := about
	two.ValidationImages = 500
	r.Tell(train.Noted{Text: "look here"})
	r.Tell(train.Started{Training: two})
	r.Tell(train.Resumed{Training: two, Step: 50, History: train.History{Losses: steps(50)}})
	for e := 1; e <= 2; e++ {
		for batch := range 100 {
			if e > 1 || batch >= 50 {
				r.Tell(train.Stepped{Training: two, Epoch: e, Batch: batch, Losses: []float32{1}, Seconds: 45 * float64(e)})
			}
		}
		h := epoch(80+float64(e), 45*float64(e))
		h.ValidationAccuracy = 79.5
		r.Tell(train.Tested{Training: two, Epoch: e, EpochHistory: h})
	}
	r.Tell(train.Ended{Training: two})
}

const reported = `look here
VGG16: 9.23 million parameters, 153 million MACs an image · xla:cpu · two cores
goes on after step 50 of 200
epoch 1 of 2, after 45 s: loss 0.5000, validation accuracy 79.50 %, test loss 0.2500, test accuracy 81.00 %
epoch 2 of 2, after 90 s: loss 0.5000, validation accuracy 79.50 %, test loss 0.2500, test accuracy 82.00 %
2 epochs in 90 s, 284 images a second: validation accuracy 79.50 %, test loss 0.2500, test accuracy 82.00 %
`

// Without a notebook and a terminal there is a line for each epoch.
func TestReport(t *testing.T) {
	var out bytes.Buffer
	told(&report{out: &out})
	if out.String() != reported {
		t.Errorf("printed\n%s, want\n%s", &out, reported)
	}
}

// In a terminal there are the same lines, with a bar below them that is gone in the end.
func TestBar(t *testing.T) {
	var out bytes.Buffer
	told(&report{out: &out, terminal: true})
	if !strings.Contains(out.String(), "epoch 1 of 2") || !strings.Contains(out.String(), "/200") {
		t.Errorf("there is no bar: %q", &out)
	}
	if got := screen(out.String()); got != reported {
		t.Errorf("what can be seen is\n%s, want\n%s", got, reported)
	}
}

// screen is what a terminal shows after a text with carriage returns and erased lines.
func screen(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		var cells []rune
		at := 0
		for _, r := range strings.ReplaceAll(line, "\x1b[2K", "\x00") {
			switch r {
			case '\r':
				at = 0
			case '\x00':
				cells = nil
			default:
				for at >= len(cells) {
					cells = append(cells, ' ')
				}
				cells[at] = r
				at++
			}
		}
		lines = append(lines, strings.TrimRight(string(cells), " "))
	}
	return strings.Join(lines, "\n")
}

func TestSpans(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0.0 s", 1.26: "1.3 s", 9.99: "10.0 s", 59.6: "60 s", 100: "1 min 40 s", 1234: "21 min", 3599: "60 min", 3700: "1 h 2 min"} {
		if got := span(seconds); got != want {
			t.Errorf("%v seconds are %q, want %q", seconds, got, want)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	c := &course{}
	long := about
	long.Batches = 50_000
	c.tell(train.Started{Training: long}, time.Now())
	c.tell(train.Stepped{Training: long, Epoch: 1, Losses: steps(100_000), Seconds: 1}, time.Now())
	for b.Loop() {
		drawn(c.charts(), c.status(time.Now()))
	}
}

func TestMany(t *testing.T) {
	for n, want := range map[int]string{61_706: "61706", 9_231_114: "9.23 million", 999_499_999: "999 million", 15_470_264_320: "15.5 billion",
		999_600_000: "1 billion"} {
		if got := many(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
