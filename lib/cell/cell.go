// Package cell is what a notebook's cells use: they end at an error, check what they claim, and show figures and
// tables.
//
//	run := cell.Must(task.Fit())
//	cell.Check(run.Result.TestAccuracy > 90, "only %.1f %% are right", run.Result.TestAccuracy)
//	cell.Show(look.Worst(run, 10))
//
// Library code returns errors. This package ends the program at one, with a single line: a notebook that runs without a
// reader fails there.
package cell

import (
	"fmt"
	"os"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/internal/notebook"
)

// Must returns v, or ends the cell with the error.
func Must[T any](v T, err error) T {
	OK(err)
	return v
}

// OK ends the cell if there is an error.
func OK(err error) {
	if err == nil {
		return
	}
	notebook.Printed() // what was printed and shown before the error stands above it
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

// Device prints the line that says what computes.
func Device() { fmt.Println(Must(device.Line())) }
