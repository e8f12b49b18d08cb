// Package must ends a notebook cell at an error: the cell shows the error in one line and fails, so that a headless run
// fails with it. Library code returns errors; cells use
//
//	run := must.Get(train.Fit(net, data, config))
package must

import (
	"fmt"
	"os"

	"github.com/janpfeifer/gonb/gonbui"
)

// Get returns v, or ends the program with the error.
func Get[T any](v T, err error) T {
	Do(err)
	return v
}

// Do ends the program if there is an error.
func Do(err error) {
	if err == nil {
		return
	}
	if gonbui.IsNotebook {
		gonbui.Sync() // what was displayed before the error arrives before it
	}
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}
