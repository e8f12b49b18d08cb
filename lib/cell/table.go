package cell

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"

	"example.org/convbook/lib/internal/columns"
	"example.org/convbook/lib/internal/text"
)

// Table is a table to [Show]: HTML in a notebook, aligned text elsewhere. Columns of numbers are aligned at the right.
type Table struct {
	head []string
	rows [][]any
}

// NewTable is a table without rows. The columns' names come with units; the first is often empty.
func NewTable(head ...string) *Table { return &Table{head: head} }

// Row adds a row. Floating-point numbers get four digits, and all those of a column the same decimals; percentages, in
// columns with names such as "accuracy, %", get two if any column of them has two. Where a number of a column has five
// digits or more, all of them get commas. Where that is not what you want, give texts.
func (t *Table) Row(values ...any) { t.rows = append(t.rows, values) }

// Table is the columns' names and the rows as [Show] takes them.
func (t *Table) Table() (head []string, rows [][]string) {
	for _, values := range t.rows {
		row := make([]string, len(values))
		for column, value := range values {
			row[column] = t.write(value, t.decimals(column))
			if _, isNumber := number(value); isNumber && t.long(column) {
				row[column] = text.Thousands(row[column])
			}
		}
		rows = append(rows, row)
	}
	return t.head, rows
}

// write is a value as text: a floating-point number with so many decimals, or with its own if they are -1.
func (t *Table) write(value any, decimals int) string {
	v, isFloat := float(value)
	switch {
	case !isFloat:
		return fmt.Sprint(value)
	case decimals < 0:
		return brief(v)
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// mostDecimals is how many decimals make a column of numbers still readable.
const mostDecimals = 4

// decimals is how many decimals each floating-point number of a column gets: those that it needs, but not fewer than
// another column if both have percentages.
func (t *Table) decimals(column int) (most int) {
	most = t.needed(column)
	for other := range t.head {
		if most >= 0 && t.percent(column) && t.percent(other) {
			most = max(most, min(t.needed(other), 2)) // small ones have more
		}
	}
	return most
}

// needed is how many decimals the number of a column has that needs most for its four digits. It is -1, each its own, if
// these are too many or if there is an exponent.
func (t *Table) needed(column int) (most int) {
	for _, v := range t.column(column) {
		if v, ok := float(v); ok {
			written := brief(v)
			_, fraction, _ := strings.Cut(written, ".")
			if len(fraction) > mostDecimals || strings.Contains(written, "e") {
				return -1
			}
			most = max(most, len(fraction))
		}
	}
	return most
}

// percent reports whether a column's name ends in %.
func (t *Table) percent(column int) bool {
	return column < len(t.head) && strings.HasSuffix(t.head[column], "%")
}

// column is the values of a column.
func (t *Table) column(column int) (values []any) {
	for _, row := range t.rows {
		if column < len(row) {
			values = append(values, row[column])
		}
	}
	return values
}

// long reports whether a number of a column has five digits before its point, or more. A year has four.
func (t *Table) long(column int) bool {
	return slices.ContainsFunc(t.column(column), func(value any) bool {
		v, ok := number(value)
		return ok && math.Abs(v) >= 9999.5
	})
}

// number is a value that is a number, whole or not.
func number(value any) (v float64, ok bool) {
	switch value := value.(type) {
	case int:
		return float64(value), true
	case int64:
		return float64(value), true
	}
	return float(value)
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
			written := html.EscapeString(columns.At(texts, column))
			fmt.Fprintf(&b, `<%s style="text-align: %s">%s</%s>`, name, align, written, name)
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
