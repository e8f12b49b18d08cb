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

func TestThousands(t *testing.T) {
	for number, want := range map[string]string{
		"0": "0", "999": "999", "1000": "1,000", "-123456": "-123,456", "+1234567": "+1,234,567",
		"12345.6789": "12,345.6789", "1e-05": "1e-05", "NaN": "NaN", "": "", "-": "-",
	} {
		if got := Thousands(number); got != want {
			t.Errorf("%s: %q, want %q", number, got, want)
		}
	}
}
