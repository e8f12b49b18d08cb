// Package columns puts tables into text: which of their columns have numbers, and how wide each is.
package columns

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is a table as aligned text, two spaces between its columns. Numbers end where numbers end.
func Text(head []string, rows [][]string) string {
	right := Numbers(head, rows)
	widths := make([]int, len(head))
	all := append([][]string{head}, rows...)
	for _, row := range all {
		for column := range widths {
			widths[column] = max(widths[column], width(At(row, column)))
		}
	}
	var lines []string
	for _, row := range all {
		var line strings.Builder
		for column, wide := range widths {
			text := At(row, column)
			space := strings.Repeat(" ", wide-width(text))
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

// At is a row's text in a column, empty where the row is short.
func At(row []string, column int) string {
	if column < len(row) {
		return row[column]
	}
	return ""
}

// width is how wide a text is in a terminal: Chinese characters take two columns.
func width(text string) int {
	n := utf8.RuneCountInString(text)
	for _, r := range text {
		if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) {
			n++
		}
	}
	return n
}

// Numbers says which columns have numbers only, or nothing.
func Numbers(head []string, rows [][]string) []bool {
	right := make([]bool, len(head))
	for column := range head {
		some := false
		for _, row := range rows {
			text := At(row, column)
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
