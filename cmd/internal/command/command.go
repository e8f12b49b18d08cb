// Package command is what the commands have in common: each error is said in one line, and output that is lost is one.
// A command ends with 0 if it did what it was asked for, with 2 if that is wrong, such as a flag or a name that is not
// there, and else with 1.
package command

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Parse parses the program's flags. It ends the program after the help, if that is asked for, and where a flag is wrong.
func Parse() {
	flag.CommandLine.Init(os.Args[0], flag.ContinueOnError)
	if err := ParseSet(flag.CommandLine, os.Args[1:], os.Stdout); err != nil {
		End(err)
	}
}

// wrong is the error of something that cannot be done as it was asked for.
type wrong struct{ error }

func (w wrong) Unwrap() error { return w.error }

// Wrong marks an error, if there is one, as that of something that cannot be done as it was asked for.
func Wrong(err error) error {
	if err == nil {
		return nil
	}
	return wrong{err}
}

// Status is what the program ends with.
func Status(err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, new(wrong)):
		return 2
	}
	return 1
}

// End ends the program and tells the error, if there is one.
func End(err error) {
	if status := Status(err); status != 0 {
		Tell(os.Stderr, err)
		os.Exit(status)
	}
	os.Exit(0)
}

// Tell prints an error in one line, and each of several that were joined in a line of its own.
func Tell(to io.Writer, err error) {
	if w, ok := err.(wrong); ok {
		err = w.error
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok && err.Error() == errors.Join(several.Unwrap()...).Error() {
		for _, one := range several.Unwrap() {
			Tell(to, one)
		}
		return
	}
	fmt.Fprintln(to, "error:", InLine(err.Error()))
}

// InLine is a text in which line breaks, and what else a terminal obeys, are written as in Go. Names of files and of
// classes may have them.
func InLine(text string) string {
	var line strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			line.WriteRune(r)
		} else {
			line.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return line.String()
}

// ParseSet parses flags and explains what is wrong with them. It prints the help, and returns flag.ErrHelp if all of it
// was printed, if that is asked for.
func ParseSet(flags *flag.FlagSet, arguments []string, help io.Writer) error {
	usage := flags.Usage
	flags.Usage = func() {}
	flags.SetOutput(io.Discard)
	err := flags.Parse(arguments)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flag.ErrHelp):
		out := &Output{Writer: help}
		flags.SetOutput(out)
		if usage == nil {
			usage = flags.PrintDefaults
		}
		usage()
		return cmp.Or(out.Err, err)
	}
	return Wrong(explained(flags, err))
}

// invalid is how package flag says it: the value is quoted, and the flag's name comes behind it.
var invalid = regexp.MustCompile(`^invalid value ("(?:[^"\\]|\\.)*") for flag -([^:]+): `)

// explained is an error of package flag with what a right value looks like.
func explained(flags *flag.FlagSet, err error) error {
	if wrong := invalid.FindStringSubmatch(err.Error()); wrong != nil {
		if like := kindOf(flags.Lookup(wrong[2])); like != "" {
			return fmt.Errorf("-%s: %s is no %s", wrong[2], wrong[1], like)
		}
	}
	return fmt.Errorf("%w: -help lists the flags", err)
}

// kindOf says what the values of a flag are like.
func kindOf(f *flag.Flag) string {
	if f == nil {
		return ""
	}
	getter, ok := f.Value.(flag.Getter)
	if !ok {
		return ""
	}
	switch getter.Get().(type) {
	case time.Duration:
		return "time: such as 10s, 40m or 2h"
	case int, int64:
		return "whole number: such as 10"
	case uint, uint64:
		return "whole number from 0 on: such as 1"
	case float64:
		return "number: such as 0.5"
	}
	return ""
}

// Given reports whether a flag of the program stands on its command line, if only with an empty value.
func Given(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

// Output is where a program prints to. It keeps the first error, since fmt.Print tells nobody of it.
type Output struct {
	io.Writer
	Err error
}

func (o *Output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		err = fmt.Errorf("cannot print: %w", err)
		o.Err = cmp.Or(o.Err, err)
	}
	return n, err
}
