package cell

import (
	"fmt"
	"strings"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/internal/columns"
	"example.org/convbook/lib/internal/notebook"
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
	notebook.Printed()
	for _, thing := range things {
		shown, err := show(thing)
		OK(err)
		if !notebook.Running() {
			fmt.Println(shown.text)
			continue
		}
		OK(notebook.Display(shown.content))
	}
	notebook.Arrived()
}

// shown is something for a terminal and for a notebook.
type shown struct {
	text    string
	content notebook.Content
}

func show(thing any) (s shown, err error) {
	switch thing := thing.(type) {
	case figure.Figure:
		s.text = fmt.Sprintf("[figure: %s]", thing.Alt)
		s.content, err = notebook.Picture(thing)
		return s, err
	case *Table:
		if err := thing.check(); err != nil {
			return s, err
		}
		return table(thing), nil
	case tabular:
		return table(thing), nil
	case error:
		return s, thing
	}
	s.text = strings.TrimSuffix(fmt.Sprintln(thing), "\n")
	s.content = notebook.Text(s.text)
	return s, nil
}

func table(t tabular) shown {
	head, rows := t.Table()
	text := columns.Text(head, rows)
	if spoken, ok := t.(fmt.Stringer); ok { // it has a form of its own
		text = strings.TrimSuffix(spoken.String(), "\n")
	}
	return shown{text, notebook.HTML(asHTML(head, rows), text)}
}
