package train

import "strings"

// oneLine is the error without the stack that GoMLX's errors carry, and with a remedy where memory ran out on a GPU: XLA
// says how much it asked for. (On a processor the plugin says it before.) What caused it can still be asked for with
// errors.Is and errors.As.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	line, _, more := strings.Cut(err.Error(), "\n")
	if strings.Contains(line, "RESOURCE_EXHAUSTED") {
		line = strings.TrimSuffix(line, ".") + ": take a smaller batch"
	} else if !more {
		return err
	}
	return shortened{err, line}
}

type shortened struct {
	error
	line string
}

func (s shortened) Error() string { return s.line }

func (s shortened) Unwrap() error { return s.error }
