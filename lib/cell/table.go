package cell

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"

	"example.org/convbook/lib/internal/columns"
)

// Table is a table to [Show]: HTML in a notebook, aligned text elsewhere. Columns of numbers are aligned at the right.
type Table struct {
	head []string
	rows [][]any
}

// NewTable is a table without rows. The columns' names come with units; the first is often empty.
func NewTable(head ...string) *Table { return &Table{head: head} }

// Row adds a row. Floating-point numbers get four digits, and all those of a column the same decimals; where that is
// not what you want, give texts.
func (t *Table) Row(values ...any) { t.rows = append(t.rows, values) }

// Table is the columns' names and the rows as [Show] takes them.
func (t *Table) Table() (head []string, rows [][]string) {
	for _, values := range t.rows {
		row := make([]string, len(values))
		for column, value := range values {
			v, isFloat := float(value)
			decimals := t.decimals(column)
			switch {
			case !isFloat:
				row[column] = fmt.Sprint(value)
			case decimals < 0:
				row[column] = brief(v)
			default:
				row[column] = strconv.FormatFloat(v, 'f', decimals, 64)
			}
		}
		rows = append(rows, row)
	}
	return t.head, rows
}

// mostDecimals is how many decimals make a column of numbers still readable.
const mostDecimals = 4

// decimals is how many decimals each floating-point number of a column gets: those of the one that needs most for its
// four digits. It is -1, each its own, if these are too many or if there is an exponent.
func (t *Table) decimals(column int) (most int) {
	for _, row := range t.rows {
		if column >= len(row) {
			continue
		}
		if v, ok := float(row[column]); ok {
			text := brief(v)
			_, fraction, _ := strings.Cut(text, ".")
			if len(fraction) > mostDecimals || strings.Contains(text, "e") {
				return -1
			}
			most = max(most, len(fraction))
		}
	}
	return most
}

func float(value any) (v float64, ok bool) {
	switch value := value.(type) {
	case float64:
		return value, true
	case float32:
		return float64(value), true
	}
	return 0, false
}

// brief is a number with four digits, without an exponent where it has whole digits.
func brief(v float64) string {
	if size := math.Abs(v); size >= 9999.5 && size < 1e15 { // with four digits, 9999.5 is 1e+04
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return fmt.Sprintf("%.4g", v)
}

// String is the table as aligned text.
func (t *Table) String() string { return columns.Text(t.Table()) }

func (t *Table) check() error {
	for i, row := range t.rows {
		if len(row) != len(t.head) {
			return fmt.Errorf("row %d of a table has %d values for %d columns (%s)",
				i+1, len(row), len(t.head), strings.Join(t.head, ", "))
		}
	}
	return nil
}

// asHTML is a table that looks as JupyterLab's tables do, in the colours of its theme, and scrolls in a narrow window.
// Only where the columns stand is said here, and the line below the head, for other readers of notebooks.
func asHTML(head []string, rows [][]string) string {
	right := columns.Numbers(head, rows)
	var b strings.Builder
	b.WriteString(`<div style="overflow-x: auto">` +
		`<table style="border-collapse: collapse; font-variant-numeric: tabular-nums">` + "\n")
	row := func(name string, texts []string) {
		b.WriteString("<tr>")
		for column := range head {
			align := "left"
			if right[column] {
				align = "right"
			}
			text := html.EscapeString(columns.At(texts, column))
			fmt.Fprintf(&b, `<%s style="text-align: %s">%s</%s>`, name, align, text, name)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString(`<thead style="border-bottom: 1px solid var(--jp-border-color1, currentColor)">`)
	row("th", head)
	b.WriteString("</thead>\n<tbody>\n")
	for _, texts := range rows {
		row("td", texts)
	}
	b.WriteString("</tbody></table></div>")
	return b.String()
}
