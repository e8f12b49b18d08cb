// Package command is what the commands have in common: flags that are wrong are said in one line, as are all
// errors, and output that is lost is one.
package command

import (
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

// Parse parses the program's flags. It prints the help and ends with 0 if that is asked for, and ends with 2 and one line
// where a flag is wrong.
func Parse() {
	flag.CommandLine.Init(os.Args[0], flag.ContinueOnError)
	err := ParseSet(flag.CommandLine, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		Wrong(err)
	}
}

// Wrong ends the program, since it cannot do what it was asked for.
func Wrong(err error) {
	Tell(os.Stderr, err)
	os.Exit(2)
}

// Fail ends the program, since it could not do all that it was asked for.
func Fail(err error) {
	Tell(os.Stderr, err)
	os.Exit(1)
}

// Tell prints an error in one line, and each of several that were joined in a line of its own.
func Tell(to io.Writer, err error) {
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

// ParseSet parses flags and explains what is wrong with them. It prints the help, and returns flag.ErrHelp, if that is
// asked for.
func ParseSet(flags *flag.FlagSet, arguments []string, help io.Writer) error {
	usage := flags.Usage
	flags.Usage = func() {}
	flags.SetOutput(io.Discard)
	err := flags.Parse(arguments)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(help)
		if usage == nil {
			usage = flags.PrintDefaults
		}
		usage()
		return err
	}
	return explained(flags, err)
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
	if err != nil && o.Err == nil {
		o.Err = fmt.Errorf("cannot print: %w", err)
	}
	return n, err
}
