// Command runs lists the trained networks on disk, and names, pins, exports and removes them.
//
//	go run ./cmd/runs                           all of them, with their sizes; `make runs` is the same
//	go run ./cmd/runs -json [RUN ...]           all that is known of all, or of some
//	go run ./cmd/runs -name "my best" RUN       a name of your own; an empty one takes it away
//	go run ./cmd/runs -pin RUN ...              to be kept; -unpin takes that back
//	go run ./cmd/runs -export FILE RUN          puts a finished one into a file, for lib/classify on any machine
//	go run ./cmd/runs -remove RUN ...           deletes them
//	go run ./cmd/runs -remove-older-than 30d    deletes those that nobody loaded or trained for so long
//
// A RUN is a name of your own, the name of a folder or its beginning, or the beginning of the digits at its end. Pinned
// runs and those that a process is training are never removed.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/cell"
	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/train"
)

func main() { command.End(run(os.Args[1:], os.Stdout)) }

// asked marks an error as one of what was asked for, unless the system refused that.
func asked(err error) error {
	if errors.As(err, new(syscall.Errno)) {
		return err
	}
	return command.Wrong(err)
}

// request is what was asked for.
type request struct {
	name               *string
	pin, unpin, remove bool
	export             string // the file
	olderThan          time.Duration
	json               bool
	runs               []train.Stored // that were named
}

func run(arguments []string, to io.Writer) (err error) {
	out := &command.Output{Writer: to}
	defer func() { err = asked(cmp.Or(err, out.Err)) }()
	c, err := parse(arguments, out)
	if err != nil {
		return err
	}
	switch {
	case c.name != nil:
		return c.runs[0].SetName(*c.name)
	case c.pin, c.unpin:
		for _, r := range c.runs {
			if err := r.Pin(c.pin); err != nil {
				return err
			}
		}
		return nil
	case c.export != "":
		return export(out, c.runs[0], c.export)
	case c.remove:
		return remove(out, c.runs)
	case c.olderThan > 0:
		return removeOlder(out, c.olderThan)
	}
	if len(c.runs) == 0 {
		if c.runs, err = train.Runs(); err != nil {
			return err
		}
	}
	if c.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(c.runs)
	}
	list(out, c.runs)
	return nil
}

func parse(arguments []string, out io.Writer) (c request, err error) {
	flags := flag.NewFlagSet("runs", flag.ContinueOnError)
	flags.Func("name", "give the run this `name`; an empty one takes it away", func(name string) error {
		c.name = &name
		return nil
	})
	flags.BoolVar(&c.pin, "pin", false, "keep the runs")
	flags.BoolVar(&c.unpin, "unpin", false, "keep them no longer than others")
	flags.Func("export", "put the run into this `file`, such as digits.safetensors", func(file string) error {
		if filepath.Ext(file) != ".safetensors" {
			return errors.New("its name must end in .safetensors")
		}
		c.export = file
		return nil
	})
	flags.BoolVar(&c.remove, "remove", false, "delete the runs")
	flags.Func("remove-older-than", "delete all that were not used for this `time`, such as 30d", func(text string) (err error) {
		c.olderThan, err = age(text)
		return err
	})
	flags.BoolVar(&c.json, "json", false, "list all that is known of the runs, as JSON")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: runs [-json | -name NAME | -pin | -unpin | -export FILE | -remove | -remove-older-than 30d] [RUN ...]")
		flags.PrintDefaults()
	}
	if err := command.ParseSet(flags, arguments, out); err != nil {
		return c, err
	}
	found, err := train.FindAll(flags.Args()...)
	if err != nil {
		return c, err
	}
	for _, run := range found {
		if !slices.ContainsFunc(c.runs, func(r train.Stored) bool { return r.ID == run.ID }) {
			c.runs = append(c.runs, run)
		}
	}
	return c, c.check()
}

// check makes sure that one thing is asked for, and of the right number of runs.
func (c request) check() error {
	asked := 0
	for _, is := range []bool{c.name != nil, c.pin, c.unpin, c.export != "", c.remove, c.olderThan > 0, c.json} {
		if is {
			asked++
		}
	}
	switch {
	case asked > 1:
		return errors.New("one thing at a time: -json, -name, -pin, -unpin, -export, -remove or -remove-older-than")
	case c.name != nil && len(c.runs) != 1:
		return fmt.Errorf("-name gives one run a name, and there are %d: name one after it", len(c.runs))
	case c.export != "" && len(c.runs) != 1:
		return fmt.Errorf("-export puts one run into a file, and there are %d: name one after it", len(c.runs))
	case (c.pin || c.unpin || c.remove) && len(c.runs) == 0:
		return errors.New("no run is named: name at least one; make runs lists them")
	case c.olderThan > 0 && len(c.runs) > 0:
		return errors.New("-remove-older-than is about all runs: name none after it")
	}
	return nil
}

// mostDays is how many of them have room in a Duration.
const mostDays = uint64(math.MaxInt64 / (24 * time.Hour))

// age is a time in days, such as 30d, or as Go writes one.
func age(text string) (d time.Duration, err error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, wrong := strconv.ParseUint(days, 10, 64)
		if n > mostDays {
			return 0, fmt.Errorf("it must be at most %dd", mostDays)
		}
		d, err = time.Duration(n)*24*time.Hour, wrong
	} else {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d <= 0 {
		return 0, errors.New("it must be a time such as 30d or 12h")
	}
	return d, nil
}

func list(out io.Writer, runs []train.Stored) {
	if len(runs) == 0 {
		fmt.Fprintln(out, "there are no runs")
		return
	}
	head := []string{"run", "name", "pinned", "state", "accuracy, %", "training, s", "date", "size, MB"}
	validated := train.Validated(runs...)
	if validated != nil {
		head = slices.Insert(head, 4, "validation, %")
	}
	table := cell.NewTable(head...)
	var total int64
	for i, r := range runs {
		pinned := ""
		if r.Pinned {
			pinned = "pinned"
		}
		accuracy, seconds := r.Outcome()
		date := r.Date.Local().Format(train.TimeLayout)
		row := []any{r.ID, r.Name, pinned, r.Status(), accuracy, seconds, date, megabytes(r.Bytes)}
		if validated != nil {
			row = slices.Insert(row, 4, any(validated[i]))
		}
		table.Row(row...)
		total += r.Bytes
	}
	fmt.Fprintln(out, table)
	fmt.Fprintf(out, "\n%s, %s MB in %s\n", count(len(runs)), megabytes(total), filepath.Dir(runs[0].Dir))
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }

func count(runs int) string {
	if runs == 1 {
		return "1 run"
	}
	return fmt.Sprintf("%d runs", runs)
}

// export puts a run into a file.
func export(out io.Writer, run train.Stored, file string) error {
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is there already: give -export another name, or remove it", file)
	}
	network, err := classify.Open(run.Dir)
	if err != nil {
		return err
	}
	if err := network.Export(file); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is in %s: %v\n", run.Title(), file, network)
	return nil
}

// remove removes the runs that can be, and says which cannot.
func remove(out io.Writer, runs []train.Stored) error {
	removed, bytes := 0, int64(0)
	var failed []error
	for _, r := range runs {
		if err := r.Remove(); err != nil {
			failed = append(failed, err)
			continue
		}
		removed++
		bytes += r.Bytes
	}
	fmt.Fprintf(out, "removed %s, %s MB\n", count(removed), megabytes(bytes))
	return errors.Join(failed...)
}

// removeOlder removes what nobody used for so long. What is pinned or being trained stays.
func removeOlder(out io.Writer, age time.Duration) error {
	runs, err := train.Runs()
	if err != nil {
		return err
	}
	var old []train.Stored
	for _, r := range runs {
		if time.Since(r.Used) > age && !r.Pinned {
			old = append(old, r)
		}
	}
	return remove(out, old)
}
