// Command faults makes trouble for trainings and looks whether the book keeps its promises: the same result to the last
// bit however often a training was killed, one line that names file and remedy where something is damaged, full or
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
	{"kill", kills, 8},
	{"damage", damagedFiles, 20},
	{"full", fullDisks, 8},
	{"read-only", readOnlyFolders, 5},
	{"together", processesTogether, 3},
	{"clock", jumpingClocks, 3},
}

// skipped is why a trial could not be tried.
type skipped struct{ why string }

func (s skipped) Error() string { return s.why }

// trial is an attempt at work.
type trial struct {
	lab    *lab
	random *rand.Rand // the seed's and the trial's
	dir    string     // a folder of its own
	number int

	mu     sync.Mutex
	landed map[string]int // kills, by what the child was at
}

func main() {
	switch {
	case filepath.Base(os.Args[0]) == "npm":
		end(npm(os.Args[1:]))
	case len(os.Args) > 1 && os.Args[1] == "child":
		end(child(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == "hold":
		end(hold(os.Args[2:]))
	}
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano())%1e6, "decides where and when trouble is made")
	short := flag.Bool("short", false, "only some trials of each kind")
	only := flag.String("only", "", "a kind, or one of its trials, such as damage/17")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := all(ctx, *seed, *short, *only)
	if err != nil {
		end(err)
	}
	if !ok {
		os.Exit(1)
	}
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// tally counts how the trials of a kind went.
type tally struct{ trials, held, failed, skipped int }

// all does the trials, prints what came of them, and tells whether none failed.
func all(ctx context.Context, seed uint64, short bool, only string) (ok bool, err error) {
	start := time.Now()
	name, one, _ := strings.Cut(only, "/")
	if only != "" && !slices.ContainsFunc(kinds, func(k kind) bool { return k.name == name }) {
		return false, fmt.Errorf("there is no kind %q: there is kill, damage, full, read-only, together and clock", name)
	}
	fmt.Printf("seed %d\n", seed)
	l, err := newLab(ctx)
	if err != nil {
		return false, err
	}
	defer l.close()
	l.short = short
	var mu sync.Mutex
	landed := map[string]int{}
	tallies := map[string]*tally{}
	for _, k := range kinds {
		if only != "" && k.name != name {
			continue
		}
		sum := &tally{}
		tallies[k.name] = sum
		attempts := k.trials()
		var numbers []int
		switch {
		case one != "":
			n, err := strconv.Atoi(one)
			if err != nil || n < 1 || n > len(attempts) {
				return false, fmt.Errorf("there is no trial %s: %s has 1 to %d", only, name, len(attempts))
			}
			numbers = []int{n - 1}
		case short:
			for i, a := range attempts {
				if !a.long {
					numbers = append(numbers, i)
				}
			}
			numbers = some(k.short, numbers, seed)
		default:
			for i := range attempts {
				numbers = append(numbers, i)
			}
		}
		began := time.Now()
		var group errgroup.Group
		group.SetLimit(runtime.GOMAXPROCS(0))
		for _, i := range numbers {
			group.Go(func() error {
				if ctx.Err() != nil {
					return nil
				}
				t, err := l.try(seed, k.name, i, attempts[i])
				if ctx.Err() != nil {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				sum.trials++
				for at, n := range t.landed {
					landed[at] += n
				}
				var skip skipped
				switch {
				case err == nil:
					sum.held++
				case errors.As(err, &skip):
					sum.skipped++
					fmt.Printf("skipped: %s/%d, %s: %v\n", k.name, i+1, attempts[i].what, err)
				default:
					sum.failed++
					fmt.Printf("FAILED: %s: %v (again: go run ./cmd/faults -seed %d -only %s/%d)\n", attempts[i].what, err, seed, k.name, i+1)
				}
				return nil
			})
		}
		group.Wait()
		if ctx.Err() != nil {
			return false, errors.New("interrupted")
		}
		fmt.Printf("%s: %d of %d held, %.0f s\n", k.name, sum.held, sum.trials, time.Since(began).Seconds())
	}
	return report(tallies, landed, start), nil
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

// report prints the table, and tells whether nothing failed.
func report(tallies map[string]*tally, landed map[string]int, start time.Time) (ok bool) {
	fmt.Printf("\n%-10s %7s %7s %7s %7s\n", "", "trials", "held", "failed", "skipped")
	var total tally
	line := func(name string, t tally) {
		fmt.Printf("%-10s %7d %7d %7d %7d\n", name, t.trials, t.held, t.failed, t.skipped)
	}
	for _, k := range kinds {
		if t := tallies[k.name]; t != nil {
			line(k.name, *t)
			total.trials, total.held, total.failed, total.skipped = total.trials+t.trials, total.held+t.held, total.failed+t.failed, total.skipped+t.skipped
		}
	}
	line("all", total)
	var parts []string
	kills := 0
	for _, at := range phases {
		if n := landed[at]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", at, n))
			kills += n
		}
	}
	fmt.Printf("\n%d kills landed in: %s\n%.0f s\n", kills, strings.Join(parts, ", "), time.Since(start).Seconds())
	return total.failed == 0
}

// try does one trial in a folder of its own. A panic of the trial itself is a failure of it.
func (l *lab) try(seed uint64, kind string, i int, a attempt) (t *trial, err error) {
	name := fnv.New64()
	fmt.Fprint(name, kind, i)
	dir := filepath.Join(l.dir, fmt.Sprintf("%s-%d", kind, i+1))
	t = &trial{lab: l, random: rand.New(rand.NewPCG(seed, name.Sum64())), dir: dir, number: i, landed: map[string]int{}}
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
