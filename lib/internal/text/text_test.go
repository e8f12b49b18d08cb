package text

import (
	"errors"
	"testing"
)

func TestFirstLine(t *testing.T) {
	for _, c := range []struct {
		cause any
		want  string
	}{
		{errors.New("it failed\nstack\nof three lines"), "it failed"},
		{errors.New("short"), "short"},
		{"thrown\n", "thrown"},
		{nil, "<nil>"},
	} {
		if got := FirstLine(c.cause); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
