package cell

import (
	"encoding/gob"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
	"golang.org/x/sys/unix"

	"example.org/convbook/lib/figure"
)

// tabular is what can be shown as a table: a [Table], a network's summary.
type tabular interface {
	Table() (head []string, rows [][]string)
}

// Show displays things below the cell, in their order: a [figure.Figure]; a table, which is anything that has
//
//	Table() (head []string, rows [][]string)
//
// such as a [Table] or a network's summary; or anything else as the text that fmt.Println makes of it. Outside of a
// notebook it prints them, a figure as its description. It ends the cell at what cannot be shown, after what stands
// before it.
func Show(things ...any) {
	printed()
	for _, thing := range things {
		shown, err := show(thing)
		OK(err)
		if !gonbui.IsNotebook {
			fmt.Println(shown.text)
			continue
		}
		OK(display(shown.data, shown.metadata))
	}
	arrived()
}

// shown is something in the forms in which it can be displayed.
type shown struct {
	text     string // for a terminal
	data     map[protocol.MIMEType]any
	metadata map[string]any
}

func show(thing any) (s shown, err error) {
	switch thing := thing.(type) {
	case figure.Figure:
		content, err := thing.PNG()
		if err != nil {
			return s, err
		}
		size := thing.Size()
		s.text = fmt.Sprintf("[figure: %s]", thing.Alt)
		s.data = map[protocol.MIMEType]any{protocol.MIMEImagePNG: content, protocol.MIMETextPlain: thing.Alt}
		s.metadata = map[string]any{string(protocol.MIMEImagePNG): map[string]any{
			"width": size.X, "height": size.Y, "alt": thing.Alt,
		}}
	case *Table:
		if err := thing.check(); err != nil {
			return s, err
		}
		s.table(thing)
	case tabular:
		s.table(thing)
	case error:
		return s, thing
	default:
		s.text = strings.TrimSuffix(fmt.Sprintln(thing), "\n")
		s.data = map[protocol.MIMEType]any{protocol.MIMETextPlain: s.text}
	}
	return s, nil
}

func (s *shown) table(t tabular) {
	head, rows := t.Table()
	s.text = asText(head, rows)
	if spoken, ok := t.(fmt.Stringer); ok { // it has a form of its own
		s.text = strings.TrimSuffix(spoken.String(), "\n")
	}
	s.data = map[protocol.MIMEType]any{protocol.MIMETextHTML: asHTML(head, rows), protocol.MIMETextPlain: s.text}
}

func init() { gob.Register(map[string]any{}) } // the metadata's type, for gonbui's pipe

// display sends something to the notebook.
func display(data map[protocol.MIMEType]any, metadata map[string]any) error {
	if err := gonbui.Open(); err != nil { // gonbui.Sync would wait for ever
		return fmt.Errorf("the notebook cannot be reached: %w", err)
	}
	gonbui.SendData(&protocol.DisplayData{Data: data, Metadata: metadata})
	return gonbui.Error()
}

// arrived waits until the notebook has all that was displayed.
func arrived() {
	if gonbui.IsNotebook && gonbui.Open() == nil {
		gonbui.Sync()
	}
}

// printed waits until the notebook has all that was printed: it comes to the kernel on another way than what is
// displayed, so the one could pass the other. Where nobody reads the text, a second is enough.
func printed() {
	if !gonbui.IsNotebook {
		return
	}
	for limit := time.Now().Add(time.Second); unread(os.Stdout)+unread(os.Stderr) > 0 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	arrived() // what was read last is on its way: an answer takes longer
}

// unread is how many bytes that were written to a pipe wait for their reader.
func unread(pipe *os.File) int {
	n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
	if err != nil { // not a pipe
		return 0
	}
	return n
}
