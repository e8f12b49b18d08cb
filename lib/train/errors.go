package train

import "strings"

// oneLine is the error without the stack that GoMLX's errors carry. What caused it can still be asked for with
// errors.Is and errors.As.
func oneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	return shortened{err}
}

type shortened struct{ error }

func (s shortened) Error() string {
	line, _, _ := strings.Cut(s.error.Error(), "\n")
	return line
}

func (s shortened) Unwrap() error { return s.error }
