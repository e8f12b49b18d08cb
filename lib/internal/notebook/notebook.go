// Package notebook displays things below the notebook's cell that is running.
package notebook

import (
	"encoding/gob"
	"fmt"
	"html"
	"os"
	"strings"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
	"golang.org/x/sys/unix"

	"example.org/convbook/lib/figure"
)

// HeadlessEnv names the environment variable that is set where notebooks are executed without a reader.
const HeadlessEnv = "CONVBOOK_HEADLESS"

// Running reports whether the program is a cell.
func Running() bool { return gonbui.IsNotebook }

// Watched reports whether the program is a cell whose output somebody may be looking at.
func Watched() bool { return Running() && os.Getenv(HeadlessEnv) == "" }

// Content is something in the forms in which it can be displayed.
type Content struct {
	Data     map[protocol.MIMEType]any
	Metadata map[string]any
}

func init() { gob.Register(map[string]any{}) } // the metadata's type, for gonbui's pipe

// Text is a text as it is.
func Text(text string) Content {
	return Content{Data: map[protocol.MIMEType]any{protocol.MIMETextPlain: text}}
}

// HTML is a part of a page, with the text that says the same.
func HTML(page, text string) Content {
	return Content{Data: map[protocol.MIMEType]any{protocol.MIMETextHTML: page, protocol.MIMETextPlain: text}}
}

// Prose is lines of text in the page's own type.
func Prose(lines ...string) Content { return HTML(Lines(lines...), strings.Join(lines, "\n")) }

// Lines is lines of text as a part of a page. In a narrow window they are broken at " · ", where there is such a place.
func Lines(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(`<div style="font-variant-numeric: tabular-nums">`)
		for part := range strings.SplitAfterSeq(line, " · ") {
			fmt.Fprintf(&b, `<span style="display: inline-block; white-space: pre-wrap">%s</span>`, html.EscapeString(part))
		}
		b.WriteString("</div>\n")
	}
	return b.String()
}

// Picture is a figure, with its description.
func Picture(f figure.Figure) (Content, error) {
	png, err := f.PNG()
	if err != nil {
		return Content{}, err
	}
	size := f.Size()
	return Content{
		Data: map[protocol.MIMEType]any{protocol.MIMEImagePNG: png, protocol.MIMETextPlain: f.Alt},
		Metadata: map[string]any{string(protocol.MIMEImagePNG): map[string]any{
			"width": size.X, "height": size.Y, "alt": f.Alt,
		}},
	}, nil
}

// Display displays something below what is displayed already.
func Display(c Content) error { return Update("", c) }

// Update displays something instead of what was displayed with this id before. [gonbui.UniqueId] makes such ids.
func Update(id string, c Content) error {
	if err := gonbui.Open(); err != nil { // gonbui.Sync would wait for ever
		return fmt.Errorf("the notebook cannot be reached: %w", err)
	}
	gonbui.SendData(&protocol.DisplayData{Data: c.Data, Metadata: c.Metadata, DisplayID: id})
	return gonbui.Error()
}

// Arrived waits until the notebook has all that was displayed.
func Arrived() {
	if Running() && gonbui.Open() == nil {
		gonbui.Sync()
	}
}

// Printed waits until the notebook has all that was printed: it comes to the kernel on another way than what is
// displayed, so the one could pass the other. Where nobody reads the text, a second is enough.
func Printed() {
	if !Running() {
		return
	}
	for limit := time.Now().Add(time.Second); unread(os.Stdout)+unread(os.Stderr) > 0 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	Arrived() // what was read last is on its way: an answer takes longer
}

// unread is how many bytes that were written to a pipe wait for their reader.
func unread(pipe *os.File) int {
	n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
	if err != nil { // not a pipe
		return 0
	}
	return n
}
