package look

import (
	"fmt"
	"html"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/internal/notebook"
	"example.org/convbook/lib/train"
)

// Live shows a training while it goes on:
//
//	train.Config{…, Progress: look.Live()}
//
// In a notebook that is one line about the training and, below it, a chart of the loss and of the accuracy that grows,
// with where the training stands. What is left in the end is a picture. Where a notebook is executed without a reader,
// there is a line for each epoch instead, and the picture. In a terminal there are these lines and a bar.
//
// A training that is stored shows its picture at once.
func Live() train.Progress { return &live{} }

// live decides where it is when there is something to tell: every cell makes one for each task of its notebook.
type live struct {
	once sync.Once
	to   train.Progress
}

// Tell implements [train.Progress].
func (l *live) Tell(e train.Event) {
	l.once.Do(func() {
		switch {
		case notebook.Watched():
			l.to = &page{show: func(id string, c notebook.Content) { _ = notebook.Update(id, c) }}
		case notebook.Running():
			l.to = &report{out: os.Stdout, draws: true}
		default:
			l.to = &report{out: os.Stdout, terminal: term.IsTerminal(int(os.Stdout.Fd()))}
		}
	})
	l.to.Tell(e)
}

// every is how often the page changes.
const every = 700 * time.Millisecond

// page shows a training in a notebook that is looked at. Drawing happens beside the training, which only hands over
// what it tells. Where the notebook cannot be reached any more, the training goes on.
type page struct {
	show           func(id string, c notebook.Content) // displays what takes the place of what had the id before
	mu             sync.Mutex
	course         course   // guarded by mu
	notes          []string // what a reader should know, above the line; guarded by mu
	about, drawing string   // ids of the line and of the chart
	shown          string   // the lines as they are
	stop           chan struct{}
	drawer         sync.WaitGroup
}

// Tell implements [train.Progress].
func (p *page) Tell(e train.Event) {
	p.mu.Lock()
	p.course.tell(e, time.Now())
	p.mu.Unlock()
	switch e := e.(type) {
	case train.Noted:
		p.mu.Lock()
		p.notes = append(p.notes, e.Text)
		p.mu.Unlock()
		if p.stop == nil { // or else it is said with what is said next
			p.open()
			p.say()
		}
	case train.Started:
		p.open()
		p.stop = make(chan struct{})
		if e.Stored == nil {
			p.drawer.Go(p.draw)
		}
	case train.Ended:
		close(p.stop)
		p.drawer.Wait()
		p.end()
		p.about, p.shown, p.notes, p.stop = "", "", nil, nil
	}
}

// open makes places for the lines and the chart of a training, if there are none yet.
func (p *page) open() {
	if p.about == "" {
		notebook.Printed() // it stands above
		p.about, p.drawing = gonbui.UniqueId(), gonbui.UniqueId()
	}
}

// draw draws the training again and again until it ends.
func (p *page) draw() {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		p.mu.Lock()
		now := p.course
		p.mu.Unlock()
		p.say(now.about())
		status := now.status(time.Now())
		p.show(p.drawing, notebook.HTML(drawn(now.charts(), status), status))
		select {
		case <-ticks.C:
		case <-p.stop:
			return
		}
	}
}

// say shows lines above the chart, if they are others than before.
func (p *page) say(lines ...string) {
	p.mu.Lock()
	lines = slices.Concat(p.notes, lines)
	p.mu.Unlock()
	if text := strings.Join(lines, "\n"); text != p.shown {
		p.show(p.about, notebook.Prose(lines...))
		p.shown = text
	}
}

// end leaves what stays in the notebook.
func (p *page) end() {
	p.say(p.course.about(), p.course.outcome())
	left := notebook.Prose("There is no loss to draw yet.")
	if f, ok := p.course.picture(); ok {
		if picture, err := notebook.Picture(f); err == nil {
			left = picture
		}
	}
	p.show(p.drawing, left)
	notebook.Arrived()
}

// drawn is the charts, side by side where there is room, and a line.
func drawn(charts []lines, status string) string {
	var b strings.Builder
	b.WriteString(`<div style="display: flex; flex-wrap: wrap; gap: 0 16px; overflow-x: auto">`)
	for _, l := range charts {
		svg, err := figure.LinesSVG(l.Chart, l.series...)
		if err != nil {
			svg = html.EscapeString(err.Error())
		}
		fmt.Fprintf(&b, `<div style="flex: 1 0 300px; max-width: %dpx">%s</div>`, l.Width, svg)
	}
	b.WriteString("</div>" + notebook.Lines(status))
	return "<div>" + b.String() + "</div>"
}

// report tells of a training in a few lines.
type report struct {
	out      io.Writer
	terminal bool // shows a bar below the lines
	draws    bool // shows a picture in the end
	course   course
	bar      *progressbar.ProgressBar
}

// Tell implements [train.Progress].
func (r *report) Tell(e train.Event) {
	r.course.tell(e, time.Now())
	switch e := e.(type) {
	case train.Noted:
		r.say(e.Text)
	case train.Started:
		r.say(r.course.about())
		if r.terminal && e.Stored == nil {
			r.bar = newBar(r.out, r.course.steps())
		}
	case train.Resumed:
		r.say(r.course.went)
	case train.Stepped:
		if r.bar != nil {
			r.bar.Describe(fmt.Sprintf("epoch %d of %d", e.Epoch, e.Epochs))
			_ = r.bar.Set(len(r.course.losses))
		}
	case train.Tested:
		if e.Epochs > 1 { // or else the last line says it
			r.say(r.course.tested(e.Epoch))
		}
	case train.Ended:
		if r.bar != nil {
			_ = r.bar.Clear()
			r.bar = nil
		}
		r.end(e.Err)
	}
}

func newBar(out io.Writer, steps int) *progressbar.ProgressBar {
	return progressbar.NewOptions(steps, progressbar.OptionSetWriter(out), progressbar.OptionThrottle(every),
		progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionSetItsString("steps"),
		progressbar.OptionShowIts(), progressbar.OptionClearOnFinish(), progressbar.OptionSetRenderBlankState(true))
}

// say prints a line above the bar.
func (r *report) say(line string) {
	if r.bar != nil {
		_ = r.bar.Clear()
	}
	fmt.Fprintln(r.out, line)
	if r.bar != nil {
		_ = r.bar.RenderBlank()
	}
}

// end says how it ended, but for an error, which whoever trains will tell.
func (r *report) end(err error) {
	if err == nil {
		r.say(r.course.outcome())
	}
	if f, ok := r.course.picture(); ok && r.draws {
		notebook.Printed()
		if picture, err := notebook.Picture(f); err == nil {
			_ = notebook.Display(picture)
		}
		notebook.Arrived()
	}
}
