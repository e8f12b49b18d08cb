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

// page is what stands below a cell while the reader touches it. Whatever the reader changes comes to the program as a
// message, the latest one when the answer to the one before has arrived, and the answer is a part of the page.
//
// The messages take the way of GoNB's widgets, through Jupyter's own connection to the kernel, so it works wherever
// JupyterLab does. The page's end of it is our own: GoNB's gives up where a kernel takes half a second to answer, does
// not find a server behind a prefix or TLS, and is gone when the page is loaded again.
type page struct {
	controls string                                 // what the reader touches, as HTML
	script   string                                 // what reads it, and asks
	first    string                                 // the answer that stands there in the beginning
	answer   func(state []byte) (string, error)     // to what the reader has set
	picture  func() (left figure.Figure, err error) // what is left in the end
}

// message is what comes from the page.
type message struct {
	Done  bool            `json:"done"`
	State json.RawMessage `json:"state"`
}

// patience is how long a page may take to say that it is there.
const patience = 30 * time.Second

// kernel is the id that Jupyter has for the kernel, empty if there is none that a page could reach.
func kernel() string {
	if !notebook.Watched() {
		return ""
	}
	return os.Getenv(protocol.GONB_JUPYTER_KERNEL_ID_ENV)
}

// serve shows the page and answers it until the reader is done or presses the stop button. Then the picture takes its
// place. Where nobody reads, there is only the picture.
func (p page) serve() error {
	display := gonbui.UniqueId()
	if kernel := kernel(); kernel != "" {
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		defer signal.Stop(interrupted)
		if err := p.talk(display, kernel, interrupted); err != nil {
			return err
		}
	}
	f, err := p.picture()
	if err != nil {
		return err
	}
	picture, err := notebook.Picture(f)
	if err != nil {
		return err
	}
	if !notebook.Running() {
		fmt.Printf("[figure: %s]\n", f.Alt)
		return nil
	}
	err = notebook.Update(display, picture)
	notebook.Arrived()
	return err
}

// talk shows the page and answers it.
func (p page) talk(display, kernel string, interrupted <-chan os.Signal) error {
	address := "/touch/" + display
	notebook.Printed()
	if err := notebook.Update(display, notebook.HTML(p.html(display, kernel, address), p.text())); err != nil {
		return err
	}
	messages := make(chan string, 8) // more than a page sends without an answer
	comms.Subscribe(address, func(_ string, text string) {
		select {
		case messages <- text:
		default:
		}
	})
	parent, silent := os.Getppid(), time.After(patience)
	alive := time.NewTicker(time.Second)
	defer alive.Stop()
	for {
		select {
		case <-interrupted:
			return nil
		case <-silent:
			fmt.Println("No page answers, so there is only the picture: open the notebook in JupyterLab to touch it.")
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
			answer, err := p.answer(m.State)
			if err != nil {
				return err
			}
			comms.Send(address, answer)
		}
	}
}

// html is the page. Its script stays in the notebook if that is saved meanwhile, and finds out whether the cell still
// runs when the page is loaded again.
func (p page) html(id, kernel, address string) string {
	about, _ := json.Marshal(map[string]string{"id": id, "kernel": kernel, "address": address})
	return fmt.Sprintf(`<div id="%s" class="convbook-touch"><style>%s</style>
<div class="convbook-controls">%s</div>
<div class="convbook-answer">%s</div>
<div><button type="button" class="convbook-done">Done</button> <span role="status">%s</span></div>
<script>(() => { const about = %s;
%s%s})();</script></div>`, id, pageStyle, p.controls, p.first, html.EscapeString(p.text()), about, pageScript, p.script)
}

// text says how the cell comes to its end.
func (p page) text() string {
	return "This cell runs until you press Done, or the stop button above."
}

// embedded is a figure as a part of a page.
func embedded(f figure.Figure) (string, error) {
	content, err := notebook.Picture(f)
	if err != nil {
		return "", err
	}
	png := content.Data[protocol.MIMEImagePNG].([]byte)
	size := f.Size()
	return fmt.Sprintf(`<img src="%s" width="%d" height="%d" alt="%s">`,
		dataURL(png), size.X, size.Y, html.EscapeString(f.Alt)), nil
}

// dataURL is a PNG file's content as an address.
func dataURL(png []byte) string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(png)
}
