// Command faults makes trouble for trainings and checks whether the book keeps its promises: the same result to the
// last bit however often a training was killed, one line that names file and remedy where something is damaged, full or
// read-only, and nothing ever lost.
//
//	go run ./cmd/faults                  all trials: a table, and a line for each failure
//	go run ./cmd/faults -short           some of them, as in `make test`
//	go run ./cmd/faults -only damage/17  one trial again; -only damage: all of this kind; -seed as it was printed
//
// Each trial starts this program again as a child, which trains a small network with folders of its own for runs, data
// and compiled programs, and breaks something. Nothing is fetched from the network and nothing outside of a temporary
// folder is changed.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/train"
)

// kind is a kind of trouble, with its trials.
type kind struct {
	name   string
	trials func() []attempt
	short  int // how many of the trials the short form does
}

// attempt is a trial in the list of its kind. It returns nil if the book held, a skipped if it could not be tried.
type attempt struct {
	what string
	try  func(t *trial) error
	long bool // too long for the short form
}

var kinds = []kind{
	{"kill", kills, 6},
	{"damage", damagedFiles, 16},
	{"full", fullDisks, 8},
	{"read-only", readOnlyFolders, 5},
	{"together", processesTogether, 2},
	{"clock", jumpingClocks, 3},
}

// skipped is why a trial could not be tried.
type skipped struct{ why string }

func (s skipped) Error() string { return s.why }

// trial is an attempt at work.
type trial struct {
	lab    *lab
	random *rand.Rand     // the seed's and the trial's
	dir    string         // a folder of its own
	landed map[string]int // kills, by what the child was at
}

func main() {
	syscall.Umask(0o022) // so the users to whom a trial gives no permission lack that one only
	switch {
	case filepath.Base(os.Args[0]) == "npm":
		command.End(npm(os.Args[1:]))
	case len(os.Args) > 1 && os.Args[1] == "child":
		command.End(child(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == "hold":
		command.End(hold(os.Args[2:]))
	}
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano())%1e6, "decides where and when trouble is made")
	short := flag.Bool("short", false, "only some trials of each kind")
	only := flag.String("only", "", "a kind, or one of its trials, such as damage/17")
	command.Parse()
	if flag.NArg() > 0 {
		command.End(command.Wrong(fmt.Errorf("%q is not a flag: -only names a kind or a trial, -help lists the flags", flag.Arg(0))))
	}
	ctx, stop := signal.NotifyContext(context.Background(), train.Signals()...)
	defer stop()
	ok, err := all(ctx, *seed, *short, *only)
	if err = cmp.Or(err, printed.Err); err != nil {
		command.End(err)
	}
	if !ok {
		os.Exit(1)
	}
}

// printed is where the trials' outcomes go. A child prints for the trial that has started it.
var printed = &command.Output{Writer: os.Stdout}

// tally counts how the trials of a kind went, and where the kills in them landed.
type tally struct {
	kind                          string
	trials, held, failed, skipped int
	landed                        map[string]int
}

// all does the trials, prints what came of them, and tells whether none failed.
func all(ctx context.Context, seed uint64, short bool, only string) (ok bool, err error) {
	start := time.Now()
	name, one, _ := strings.Cut(only, "/")
	if only != "" && !slices.ContainsFunc(kinds, func(k kind) bool { return k.name == name }) {
		return false, command.Wrong(fmt.Errorf("there is no kind %q: there is kill, damage, full, read-only, together and clock", name))
	}
	fmt.Fprintf(printed, "seed %d\n", seed)
	l, err := newLab(ctx, short)
	if err != nil {
		return false, err
	}
	defer l.close()
	var tallies []tally
	for _, k := range kinds {
		if only != "" && k.name != name {
			continue
		}
		attempts := k.trials()
		numbers, err := k.choose(attempts, one, short, seed)
		if err != nil {
			return false, err
		}
		began := time.Now()
		sum := l.tryAll(seed, k.name, attempts, numbers)
		if ctx.Err() != nil {
			return false, errors.New("interrupted")
		}
		fmt.Fprintf(printed, "%s: %d of %d held, %.0f s\n", k.name, sum.held, sum.trials, time.Since(began).Seconds())
		tallies = append(tallies, sum)
	}
	ok = report(tallies)
	fmt.Fprintf(printed, "%.0f s\n", time.Since(start).Seconds())
	return ok, nil
}

// choose lists the trials of the kind to do, counted from 0: the one named, some for the short form, or all.
func (k kind) choose(attempts []attempt, one string, short bool, seed uint64) (numbers []int, err error) {
	if one != "" {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 || n > len(attempts) {
			return nil, command.Wrong(fmt.Errorf("there is no trial %s/%s: %[1]s has 1 to %[3]d", k.name, one, len(attempts)))
		}
		return []int{n - 1}, nil
	}
	for i, a := range attempts {
		if !short || !a.long {
			numbers = append(numbers, i)
		}
	}
	if short {
		numbers = some(k.short, numbers, seed)
	}
	return numbers, nil
}

// some chooses k of the numbers, one from each of k equal parts: a kind lists trials of a sort one after another.
func some(k int, numbers []int, seed uint64) (chosen []int) {
	n := len(numbers)
	k = min(k, n)
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	for i := range k {
		from, to := i*n/k, (i+1)*n/k
		chosen = append(chosen, numbers[from+random.IntN(to-from)])
	}
	return chosen
}

// tryAll does trials of a kind, as many at once as there are processors, and prints a line for each that did not hold.
func (l *lab) tryAll(seed uint64, kind string, attempts []attempt, numbers []int) tally {
	sum := tally{kind: kind, landed: map[string]int{}}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, i := range numbers {
		group.Go(func() error {
			t, err := l.try(seed, kind, i, attempts[i])
			if l.ctx.Err() != nil { // its children were killed
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			sum.trials++
			for at, n := range t.landed {
				sum.landed[at] += n
			}
			if err == nil {
				sum.held++
				return nil
			}
			why := strings.ReplaceAll(err.Error(), "\n", "; ")
			if errors.As(err, new(skipped)) {
				sum.skipped++
				fmt.Fprintf(printed, "skipped: %s: %s (%s/%d)\n", attempts[i].what, why, kind, i+1)
			} else {
				sum.failed++
				again := fmt.Sprintf("go run ./cmd/faults -seed %d -only %s/%d", seed, kind, i+1)
				fmt.Fprintf(printed, "FAILED: %s: %s (again: %s)\n", attempts[i].what, why, again)
			}
			return nil
		})
	}
	group.Wait()
	return sum
}

// report prints the table, and tells whether nothing failed.
func report(tallies []tally) (ok bool) {
	fmt.Fprintf(printed, "\n%-10s %7s %7s %7s %7s\n", "", "trials", "held", "failed", "skipped")
	all := tally{kind: "all", landed: map[string]int{}}
	line := func(t tally) {
		fmt.Fprintf(printed, "%-10s %7d %7d %7d %7d\n", t.kind, t.trials, t.held, t.failed, t.skipped)
	}
	for _, t := range tallies {
		line(t)
		all.trials += t.trials
		all.held += t.held
		all.failed += t.failed
		all.skipped += t.skipped
		for at, n := range t.landed {
			all.landed[at] += n
		}
	}
	line(all)
	var parts []string
	kills := 0
	for _, at := range phases {
		if n := all.landed[at]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", at, n))
			kills += n
		}
	}
	if kills > 0 {
		fmt.Fprintf(printed, "\n%d kills landed in: %s\n", kills, strings.Join(parts, ", "))
	}
	return all.failed == 0
}

// try does one trial in a folder of its own. A panic of the trial itself is a failure of it.
func (l *lab) try(seed uint64, kind string, i int, a attempt) (t *trial, err error) {
	name := fnv.New64()
	fmt.Fprint(name, kind, i)
	dir := filepath.Join(l.dir, fmt.Sprintf("%s-%d", kind, i+1))
	t = &trial{lab: l, random: rand.New(rand.NewPCG(seed, name.Sum64())), dir: dir, landed: map[string]int{}}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the trial itself broke: %v", p)
		}
		removeAll(dir)
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return t, err
	}
	return t, a.try(t)
}
