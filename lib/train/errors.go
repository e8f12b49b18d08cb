package train

import (
	"strings"

	"example.org/convbook/lib/internal/text"
)

// oneLine is the error without the stack that GoMLX's errors carry. What the plugin says stands for itself, without who
// handed it on. Where memory ran out on a GPU, XLA says how much it asked for, and the remedy is added; on a processor
// the plugin says both before. What caused the error can still be asked for with errors.Is and errors.As.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	line := text.FirstLine(err)
	if _, own, is := strings.Cut(line, pluginError); is {
		line = own
	} else if strings.Contains(line, "RESOURCE_EXHAUSTED") {
		line = strings.TrimSuffix(line, ".") + ": take a smaller batch"
	} else if line == err.Error() {
		return err
	}
	return shortened{err, line}
}

// pluginError is before an error of the plugin's own.
const pluginError = "PJRT error (code=9): "

type shortened struct {
	error
	line string
}

func (s shortened) Error() string { return s.line }

func (s shortened) Unwrap() error { return s.error }
