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

func TestSome(t *testing.T) {
	for want, all := range map[string][]string{"": nil, "a, b": {"a", "b"}, "a, b and 2 more": {"a", "b", "c", "d"}} {
		if got := Some(all, 2); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
