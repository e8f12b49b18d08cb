package touch

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"os/signal"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/comms"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/internal/notebook"
)

// page.js joins the page with the program.
var (
	//go:embed page.js
	pageScript string
	//go:embed page.css
	pageStyle string
)

// page is what stands below a cell while the reader touches it: what is touched, and the answer. Whatever the reader
// changes comes to the program as a message, the latest one when the answer to the one before has arrived.
//
// The messages take the way of GoNB's widgets, through Jupyter's own connection to the kernel, so it works wherever
// JupyterLab does. The page's end of it is our own: GoNB's gives up where a kernel takes half a second to answer, does
// not find a server behind a prefix or TLS, and is gone when the page is loaded again. The answers come as a display
// that cannot be seen, from which the page's script takes them.
type page struct {
	controls string                                // what the reader touches, as HTML
	script   string                                // what reads it, and asks
	set      func(state []byte) error              // takes what the reader has set
	answer   func() (string, error)                // to that, as HTML
	end      func() (line string, f figure.Figure) // what is left: what was set, and the picture
}

// message is what comes from the page.
type message struct {
	Done  bool            `json:"done"`
	State json.RawMessage `json:"state"`
}

// A cell that nobody touches ends, since the cells below it wait in a notebook that is run as a whole.
const (
	patience  = 30 * time.Second // until a page says that it is there
	attention = time.Minute      // until the reader touches something
	pause     = 10 * time.Minute // from one touch to the next
)

// kernel is the id that Jupyter has for the kernel, empty if there is none that a page could reach.
func kernel() string {
	if !notebook.Watched() {
		return ""
	}
	return os.Getenv(protocol.GONB_JUPYTER_KERNEL_ID_ENV)
}

// serve shows the page and answers it until the reader is done or presses the stop button. Then a line and the picture
// take its place. Where nobody reads, there is only the picture.
func (p page) serve() error {
	touched, answer := gonbui.UniqueId(), ""
	if kernel := kernel(); kernel != "" {
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		defer signal.Stop(interrupted)
		answer = gonbui.UniqueId()
		if err := p.talk(about{touched, answer, kernel, "/touch/" + touched}, interrupted); err != nil {
			return err
		}
	}
	line, f := p.end()
	picture, err := notebook.Picture(f)
	if err != nil {
		return err
	}
	if !notebook.Running() {
		fmt.Printf("[figure: %s]\n", f.Alt)
		return nil
	}
	if answer != "" {
		_ = notebook.Update(touched, notebook.Prose(line)) // or the next one is an error, too
	}
	err = notebook.Update(answer, picture)
	notebook.Arrived()
	return err
}

// about is what the page's script is told.
type about struct {
	ID      string `json:"id"`      // of what is touched
	Answer  string `json:"answer"`  // the answer's
	Kernel  string `json:"kernel"`  // Jupyter's for the kernel
	Address string `json:"address"` // where messages go
}

// talk shows the page and answers it.
func (p page) talk(a about, interrupted <-chan os.Signal) error {
	messages := make(chan string, 8) // more than a page sends without an answer
	// GoNB opens its own end of the page now, and listens to whoever opened last: ours comes later.
	comms.Subscribe(a.Address, func(_ string, text string) {
		select {
		case messages <- text:
		default:
		}
	})
	notebook.Printed()
	answer, err := p.answer()
	if err != nil {
		return err
	}
	if err := notebook.Update(a.ID, notebook.HTML(p.html(a, answer), hint)); err != nil {
		return err
	}
	parent, silent, untouched := os.Getppid(), time.After(patience), time.After(attention)
	seen, alive := 0, time.NewTicker(time.Second)
	defer alive.Stop()
	for {
		select {
		case <-interrupted:
			return nil
		case <-silent:
			fmt.Println("No page answers, so there is only the picture: open the notebook in JupyterLab to touch it.")
			return nil
		case <-untouched:
			fmt.Println("Nobody touched anything for a while, so the cell has ended: run it again to go on.")
			return nil
		case <-alive.C:
			if os.Getppid() != parent || gonbui.Error() != nil {
				return errors.New("the notebook's kernel has ended")
			}
		case text := <-messages:
			silent = nil
			var m message
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				continue // it is not from our page
			}
			if m.Done {
				return nil
			}
			if seen++; seen > 1 { // the first is what the page shows as it opens
				untouched = time.After(pause)
			}
			if err := p.set(m.State); err != nil {
				return err
			}
			if answer, err = p.answer(); err != nil {
				return err
			}
			if err := notebook.Update(a.Answer, notebook.HTML("<div hidden>"+answer+"</div>", "")); err != nil {
				return err
			}
		}
	}
}

// hint says how the cell comes to its end.
const hint = "This cell runs until you press Done or the stop button above. Untouched, it ends after a minute."

// html is the page. Its script stays in the notebook if that is saved meanwhile, and finds out whether the cell still
// runs when the page is loaded again.
func (p page) html(a about, answer string) string {
	told, _ := json.Marshal(a)
	return fmt.Sprintf(`<div id="%s" class="convbook-touch"><style>%s</style>
<div class="convbook-set">%s
<div><button type="button" class="convbook-done">Done</button> <span role="status">%s</span></div></div>
<div class="convbook-answer">%s</div>
<script>(() => { const about = %s;
%s%s})();</script></div>`, a.ID, pageStyle, p.controls, hint, answer, told, pageScript, p.script)
}

// embedded is a figure as a part of a page.
func embedded(f figure.Figure) (string, error) {
	content, err := notebook.Picture(f)
	if err != nil {
		return "", err
	}
	png := content.Data[protocol.MIMEImagePNG].([]byte)
	size := f.Size()
	return fmt.Sprintf(`<img src="%s" width="%d" height="%d" alt="%s" decoding="sync">`,
		dataURL(png), size.X, size.Y, html.EscapeString(f.Alt)), nil
}

// dataURL is a PNG file's content as an address.
func dataURL(png []byte) string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(png)
}
