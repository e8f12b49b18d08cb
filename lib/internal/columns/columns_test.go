package columns_test

import (
	"slices"
	"testing"

	"example.org/convbook/lib/internal/columns"
)

func TestText(t *testing.T) {
	head := []string{"网络", "output", "parameters", "time"}
	rows := [][]string{
		{"卷积", "24×24×6", "1,234", "3.5 min"},
		{"Net", "10", "–"}, // no time
		{"", "", "−7", "12 min"},
	}
	const want = `网络  output   parameters     time
卷积  24×24×6       1,234  3.5 min
Net   10                –
                       −7   12 min`
	if got := columns.Text(head, rows); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := columns.Numbers(head, rows); !slices.Equal(got, []bool{false, false, true, true}) {
		t.Errorf("columns of numbers: %v", got)
	}
}
