package look

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/train"
)

// course is a training so far, as it was told. A copy stays as it is while the training goes on.
type course struct {
	train.Training
	before  *train.History // of the run that it is compared with, if any
	next    *train.History // the same for a training that has not started yet
	went    string         // where it went on, if it was interrupted before
	losses  []float32
	epochs  []train.EpochHistory
	seconds float64 // of training, without compiling and testing
	pace    []mark  // the last seconds of training, in this process
	guess   string  // how long it will take
	begun   time.Time
	stepped time.Time     // when it was told of steps last
	testing time.Duration // what a test takes
	ended   bool
	err     error
	end     train.Ended // of a training that was done
}

// mark is when a training had done how many steps.
type mark struct {
	step    int
	seconds float64
}

// paceOver is over how many seconds of training the pace is taken.
const paceOver = 10

func (c *course) tell(e train.Event, now time.Time) {
	switch e := e.(type) {
	case train.Noted:
		if e.Against != nil {
			if h, err := e.Against.History(); err == nil { // it may have been removed or damaged: then it is not drawn
				c.next = &h
			}
		}
	case train.Started:
		*c = course{Training: e.Training, before: c.next, begun: now, stepped: now}
	case train.Resumed:
		c.losses, c.epochs = append(c.losses, e.History.Losses...), append(c.epochs, e.History.Epochs...)
		c.went = fmt.Sprintf("goes on after step %d of %d", e.Step, c.steps())
	case train.Stepped:
		c.losses = append(c.losses, e.Losses...)
		c.seconds, c.stepped = e.Seconds, now
		c.pace = append(c.pace, mark{len(c.losses), e.Seconds})
		for len(c.pace) > 2 && e.Seconds-c.pace[1].seconds > paceOver {
			c.pace = c.pace[1:]
		}
		if whole := c.step() * float64(c.steps()); c.guess == "" && c.Stored == nil && c.timed() && whole > 1 {
			c.guess = "training takes about " + span(whole)
		}
	case train.Tested:
		c.epochs = append(c.epochs, e.EpochHistory)
		c.testing = now.Sub(c.stepped)
	case train.Ended:
		c.ended, c.err = true, e.Err
		if e.Done > 0 {
			c.end, c.Epochs = e, e.Done // what is drawn ends where the training did
		}
	}
}

func (c *course) steps() int { return c.Epochs * c.Batches }

// step is how many seconds a step takes, 0 as long as that is unknown: the first call, which is slower, does not count.
func (c *course) step() float64 {
	if len(c.pace) < 2 {
		return 0
	}
	first, last := c.pace[0], c.pace[len(c.pace)-1]
	return (last.seconds - first.seconds) / float64(last.step-first.step)
}

// timed reports whether the pace is known well enough to tell how long it will take.
func (c *course) timed() bool {
	return len(c.pace) > 3 || len(c.pace) > 1 && c.seconds-c.pace[0].seconds > 1
}

// about says what is trained, on what, and how long it will take.
func (c *course) about() string {
	parts := []string{fmt.Sprintf("%s: %s parameters, %s MACs an image", c.Network, many(c.Parameters), many(c.MACs)), c.Device}
	if c.Stored != nil {
		parts = append(parts, fmt.Sprintf("trained on %s (stored; Fresh: true trains again)",
			c.Stored.StartedAt.Local().Format(train.TimeLayout)))
	}
	if c.went != "" {
		parts = append(parts, c.went)
	}
	if c.guess != "" && !c.ended {
		parts = append(parts, c.guess)
	}
	return strings.Join(parts, " · ")
}

// status says where the training stands.
func (c *course) status(now time.Time) string {
	gone := span(now.Sub(c.begun).Seconds()) + " gone"
	if len(c.losses) == c.steps() && len(c.epochs) == c.Epochs { // nothing is left but to write it down
		return fmt.Sprintf("epoch %d of %d · %s", c.Epochs, c.Epochs, gone)
	}
	epoch := fmt.Sprintf("epoch %d of %d", len(c.epochs)+1, c.Epochs)
	batch := len(c.losses) - len(c.epochs)*c.Batches
	switch {
	case batch == c.Batches:
		return fmt.Sprintf("%s · testing · %s", epoch, gone)
	case len(c.pace) == 0:
		return fmt.Sprintf("%s · compiling · %s", epoch, gone)
	}
	status := fmt.Sprintf("%s · batch %d of %d", epoch, batch, c.Batches)
	if step := c.step(); step > 0 {
		left := step*float64(c.steps()-len(c.losses)) + float64(c.Epochs-len(c.epochs))*c.testing.Seconds()
		return fmt.Sprintf("%s · %s images a second · %s, %s left", status, speed(float64(c.Batch)/step), gone, span(left))
	}
	return status + " · " + gone
}

// tested says what an epoch gave.
func (c *course) tested(epoch int) string {
	h := c.epochs[epoch-1]
	return fmt.Sprintf("epoch %d of %d, after %s: loss %.4f, %s",
		epoch, c.Epochs, span(h.TrainSeconds), h.TrainLoss, c.tests(h))
}

// tests says how well the network did after an epoch.
func (c *course) tests(h train.EpochHistory) string {
	test := fmt.Sprintf("test loss %.4f, test accuracy %.2f %%", h.TestLoss, h.TestAccuracy)
	if c.ValidationImages > 0 {
		return fmt.Sprintf("validation accuracy %.2f %%, %s", h.ValidationAccuracy, test)
	}
	return test
}

// outcome says how it ended.
func (c *course) outcome() string {
	switch {
	case !c.ended:
		return ""
	case c.err != nil:
		return c.err.Error()
	}
	last := c.epochs[len(c.epochs)-1]
	seconds := last.TrainSeconds // of all, also if nothing but the last test was left to do
	epochs := "1 epoch"
	if c.Epochs > 1 {
		epochs = fmt.Sprintf("%d epochs", c.Epochs)
	}
	kept, note := last, c.end.Note()
	if note != "" {
		kept, note = c.end.EpochHistory, note+": "
	}
	return fmt.Sprintf("%s in %s, %s images a second: %s%s",
		epochs, span(seconds), speed(float64(c.Epochs*c.Images)/seconds), note, c.tests(kept))
}

// lines is a chart with what to draw in it.
type lines struct {
	figure.Chart
	series []figure.Series
}

// chartColumns is how many losses a chart can show side by side: as many as it is wide, about.
const chartColumns = 320

// charts are the loss and, if there is more than one epoch, the accuracy after each.
func (c *course) charts() []lines {
	loss := lines{Chart: figure.Chart{Title: "Loss", X: "step", Y: "loss", Width: 440, Height: 270, XEnd: float64(c.steps())}}
	perUnit := 1
	if c.Epochs > 1 {
		loss.X, loss.XEnd, perUnit = "epoch", float64(c.Epochs), c.Batches
	}
	// The mean is of 50 steps, as the book's other curves; of fewer in a short training, of more than a hair in a long one.
	window := max(1, min(50, c.steps()/10), c.steps()/chartColumns)
	columns := (chartColumns*len(c.losses) + c.steps() - 1) / c.steps() // that it fills so far
	single, mean := thin(c.losses, min(columns, len(c.losses)), window, perUnit)
	single.Name = "each step"
	if mean.Name = fmt.Sprintf("mean of %d", window); window > 1 {
		loss.series = []figure.Series{single, mean}
	} else {
		single.Pale = false
		loss.series = []figure.Series{single}
	}
	if c.before != nil {
		loss.series = append(loss.series, c.lossBefore(loss.XEnd, window))
	}
	if c.Epochs == 1 {
		return []lines{loss}
	}
	accuracy := lines{Chart: loss.Chart}
	accuracy.Title, accuracy.Y = "Accuracy after each epoch", "accuracy, %"
	test, validation := figure.Series{Name: "test"}, figure.Series{Name: "validation"}
	for i, h := range c.epochs {
		test.Add(float64(i+1), h.TestAccuracy)
		validation.Add(float64(i+1), h.ValidationAccuracy)
	}
	accuracy.series = []figure.Series{test}
	if c.ValidationImages > 0 {
		accuracy.series = append(accuracy.series, validation)
	}
	if c.before != nil {
		was := figure.Series{Name: "test, before"}
		for i, h := range c.before.Epochs[:min(c.Epochs, len(c.before.Epochs))] {
			was.Add(float64(i+1), h.TestAccuracy)
		}
		accuracy.series = append(accuracy.series, was)
	}
	return []lines{loss, accuracy}
}

// lossBefore is the mean loss of the run before, as far as the chart goes.
func (c *course) lossBefore(end float64, window int) figure.Series {
	losses, perUnit := c.before.Losses, 1
	if c.Epochs > 1 {
		perUnit = len(losses) / len(c.before.Epochs)
	}
	losses = losses[:min(len(losses), int(end)*perUnit)]
	_, mean := thin(losses, min(chartColumns, len(losses)), window, perUnit)
	mean.Name = fmt.Sprintf("mean of %d, before", window)
	return mean
}

// thin makes lines of losses with no more points than a chart can show: of each of its columns the least and the
// largest loss, and the mean of the last steps before its end. The first and the last loss are among them.
func thin(losses []float32, columns, window, perUnit int) (single, mean figure.Series) {
	single.Pale = true
	from := 0
	for column := range columns {
		to := (column + 1) * len(losses) / columns
		least, largest := from, from
		for i := from; i < to; i++ {
			if losses[i] < losses[least] {
				least = i
			}
			if losses[i] > losses[largest] {
				largest = i
			}
		}
		kept := []int{min(least, largest), max(least, largest)}
		if column == 0 {
			kept = append([]int{0}, kept...)
		}
		if column == columns-1 {
			kept = append(kept, to-1)
		}
		for _, i := range slices.Compact(kept) {
			single.Add(float64(i)/float64(perUnit), float64(losses[i]))
		}
		sum, last := 0.0, losses[max(0, to-window):to]
		for _, loss := range last {
			sum += float64(loss)
		}
		mean.Add(float64(to-1)/float64(perUnit), sum/float64(len(last)))
		from = to
	}
	return single, mean
}

// picture is what is left of it in the end, if there was a step.
func (c *course) picture() (f figure.Figure, ok bool) {
	if len(c.losses) == 0 {
		return f, false
	}
	var all []figure.Figure
	for _, l := range c.charts() {
		if len(l.series[0].X) > 0 {
			all = append(all, figure.Lines(l.Chart, l.series...))
		}
	}
	f = figure.Row(all...)
	f.Alt = c.Network + ": " + f.Alt
	return f, true
}

// many is a large number in few letters.
func many(n int) string {
	if n < 1_000_000 {
		return fmt.Sprint(n)
	}
	if n < 999_500_000 { // which are 1e+03 million with three digits
		return fmt.Sprintf("%.3g million", float64(n)/1e6)
	}
	return fmt.Sprintf("%.3g billion", float64(n)/1e9)
}

// speed is a number of images a second, with as many digits as mean something.
func speed(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// span is a time as people say it.
func span(seconds float64) string {
	whole := int(seconds + 0.5)
	switch {
	case seconds < 10:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 100:
		return fmt.Sprintf("%d s", whole)
	case seconds < 600:
		return fmt.Sprintf("%d min %d s", whole/60, whole%60)
	case seconds < 3600:
		return fmt.Sprintf("%.0f min", seconds/60)
	}
	return fmt.Sprintf("%d h %d min", (whole+30)/3600, (whole+30)/60%60)
}
