package cell

import (
	"fmt"
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
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
	if v >= 1e4 && v < 1e15 || v <= -1e4 && v > -1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return fmt.Sprintf("%.4g", v)
}

// String is the table as aligned text.
func (t *Table) String() string { return asText(t.Table()) }

func (t *Table) check() error {
	for i, row := range t.rows {
		if len(row) != len(t.head) {
			return fmt.Errorf("row %d of a table has %d values for %d columns (%s)",
				i+1, len(row), len(t.head), strings.Join(t.head, ", "))
		}
	}
	return nil
}

// asText is a table as aligned text, two spaces between its columns.
func asText(head []string, rows [][]string) string {
	right := numeric(head, rows)
	widths := make([]int, len(head))
	all := append([][]string{head}, rows...)
	for _, row := range all {
		for column := range widths {
			widths[column] = max(widths[column], columns(at(row, column)))
		}
	}
	var lines []string
	for _, row := range all {
		var line strings.Builder
		for column, width := range widths {
			text := at(row, column)
			space := strings.Repeat(" ", width-columns(text))
			if right[column] {
				text = space + text
			} else {
				text += space
			}
			if column > 0 {
				line.WriteString("  ")
			}
			line.WriteString(text)
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	return strings.Join(lines, "\n")
}

// asHTML is a table that looks as JupyterLab's tables do, in the colours of its theme, and scrolls in a narrow window.
// Only where the columns stand is said here, and the line below the head, for other readers of notebooks.
func asHTML(head []string, rows [][]string) string {
	right := numeric(head, rows)
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
			text := html.EscapeString(at(texts, column))
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

// at is a row's text in a column, empty where the row is short.
func at(row []string, column int) string {
	if column < len(row) {
		return row[column]
	}
	return ""
}

// columns is how wide a text is in a terminal: Chinese characters take two columns.
func columns(text string) int {
	n := utf8.RuneCountInString(text)
	for _, r := range text {
		if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) {
			n++
		}
	}
	return n
}

// numeric says which columns have numbers only, or nothing.
func numeric(head []string, rows [][]string) []bool {
	right := make([]bool, len(head))
	for column := range head {
		some := false
		for _, row := range rows {
			text := at(row, column)
			if text == "" || text == "–" {
				continue
			}
			if some = isNumber(text); !some {
				break
			}
		}
		right[column] = some
	}
	return right
}

// isNumber reports whether a text is a number, maybe with a unit: 86,400 or 12.5 % or 3.1 min.
func isNumber(text string) bool {
	number, unit, _ := strings.Cut(strings.TrimSpace(text), " ")
	_, err := strconv.ParseFloat(strings.ReplaceAll(strings.ReplaceAll(number, ",", ""), "−", "-"), 64)
	return err == nil && !strings.ContainsFunc(unit, unicode.IsDigit)
}
