// Command claims checks what the book says of its networks: each statement drawn from accuracies is a claim, which stands
// on several trainings with different seeds or does not stand.
//
//	make claims                        trains what is missing, cheap trainings first, and judges
//	make claims NAME=net-as-pytorch    one claim
//	make claims BUDGET=40m             starts no training after 40 minutes; BUDGET=0 trains nothing and judges
//	go run ./cmd/claims -who convbook  trains nothing with PyTorch, which takes some gigabytes
//	go run ./cmd/claims -check         trains nothing: `make test` calls it
//
// # How it works
//
// A claim (claims.go) is a value: a name, the sentence, where it stands, the trainings that are compared, and a rule. A
// training (work.go) is described by what decides its result: who computes it (this book or PyTorch), network, data,
// recipe and seed. What it reached is a row of figures/ledger.jsonl (ledger.go), with the hardware, the versions, the
// seconds and how busy the machine was with other work meanwhile. There is one row for each training: one that has its
// row is not done again.
//
// The book's trainings are those of package train, so they resume and are the very runs of the notebooks. PyTorch's are made
// by tools/bench/claims.py from the same description, the same files and the same permutation of pixels, and go on after
// the last whole epoch if interrupted.
//
// A rule (judge.go) is about the difference of two means, by Welch's 95 % interval for it: a is above b by more than so
// much if the whole interval is; a and b are alike within so much if the whole interval is. A claim with all its rows
// holds or does not; with fewer it is not measured, which is reported but is no failure.
//
// README's tables of results and of claims are written from the ledger (readme.go). Every accuracy in percent and every
// time in README and in the notebooks' text must be backed (figures.go): by a mean, a spread or a row of the ledger, to the
// digits shown, by an output of the same notebook, or by a line of figures/sources.md that names where it comes from.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/train"
)

func main() {
	name := flag.String("name", "", "the `claim` to train for and to judge; all if empty")
	who := flag.String("who", "", "who `trains` what is missing: convbook or PyTorch; both if empty")
	check := flag.Bool("check", false, "train nothing; check claims, README and figures by the ledger as it is")
	budget := flag.Duration("budget", 1000*time.Hour, "start no training after this `time`")
	command.Parse()
	if *budget < 0 {
		command.End(command.Wrong(fmt.Errorf("-budget %v is less than no time: such as 40m, or 0 to train nothing", *budget)))
	}
	if flag.NArg() > 0 {
		command.End(command.Wrong(fmt.Errorf("%q is not a flag: -name names the claim, -help lists the flags", flag.Arg(0))))
	}
	ctx, stop := signal.NotifyContext(context.Background(), train.Signals()...)
	defer stop()
	command.End(run(ctx, os.Stdout, *name, *who, *check, *budget))
}

func run(ctx context.Context, to io.Writer, name, who string, check bool, budget time.Duration) (err error) {
	out := &command.Output{Writer: to}
	defer func() { err = errors.Join(err, out.Err) }()
	chosen, err := named(name)
	if err != nil {
		return command.Wrong(err)
	}
	if _, known := formats[who]; who != "" && !known {
		return command.Wrong(fmt.Errorf("nobody called %q trains: there is %s and %s", who, ours, peers))
	}
	if err := inBook(); err != nil {
		return err
	}
	l, err := readLedger(ledgerFile)
	if err != nil {
		return err
	}
	if check {
		fmt.Fprintln(out, summary(chosen, l))
		return errors.Join(failures(chosen, l), checkReadme(l), checkFigures(l))
	}
	if err := trainMissing(ctx, out, missing(chosen, who, l), l, budget); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, c := range chosen {
		v := c.judge(l)
		fmt.Fprintf(out, "%-22s %s\n%-22s %s\n", c.name, v.outcome, "", c.says)
		for _, side := range v.sides {
			fmt.Fprintf(out, "%-22s %s: %s\n", "", side.who, side)
		}
	}
	if missing := missing(chosen, "", l); len(missing) > 0 {
		fmt.Fprintf(out, "\n%d trainings are missing, about %.0f minutes on an idle machine with two cores: make claims does them\n",
			len(missing), total(missing, l).Minutes())
	}
	fmt.Fprintln(out, summary(chosen, l))
	return errors.Join(writeReadme(l), failures(chosen, l))
}

// inBook makes sure that the files that are read and written are the book's: a ledger that is not there is an empty one,
// which would ask for hours of training.
func inBook() error {
	for _, file := range []string{ledgerFile, readmeFile} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("%w: run it in the book's folder", err)
		}
	}
	return nil
}

// named is the claim of that name, all for an empty one.
func named(name string) ([]claim, error) {
	if name == "" {
		return claims, nil
	}
	var names []string
	for _, c := range claims {
		if c.name == name {
			return []claim{c}, nil
		}
		names = append(names, c.name)
	}
	return nil, fmt.Errorf("there is no claim %q: there is %s", name, strings.Join(names, ", "))
}

// summary counts what became of the claims.
func summary(chosen []claim, l *ledger) string {
	count := map[outcome]int{}
	for _, c := range chosen {
		count[c.judge(l).outcome]++
	}
	return fmt.Sprintf("of %d claims %d hold, %d do not, %d are not measured yet", len(chosen), count[holds], count[fails], count[notMeasured])
}

// failures are the claims that do not hold, one a line.
func failures(chosen []claim, l *ledger) error {
	var all []error
	for _, c := range chosen {
		if v := c.judge(l); v.outcome == fails {
			var sides []string
			for _, side := range v.sides {
				sides = append(sides, side.who+": "+side.String())
			}
			all = append(all, fmt.Errorf("claim %s does not hold: %q (%s): %s", c.name, c.says, c.where, strings.Join(sides, "; ")))
		}
	}
	return errors.Join(all...)
}

// missing are the trainings without a row, the cheap ones first; only those of who, if it is not empty.
func missing(chosen []claim, who string, l *ledger) (all []Work) {
	type lacking struct {
		Work
		takes time.Duration
	}
	var found []lacking
	seen := map[string]bool{}
	for _, c := range chosen {
		for _, w := range c.works() {
			if _, known := l.find(w); !known && !seen[w.key()] && (who == "" || who == w.Who) {
				seen[w.key()] = true
				found = append(found, lacking{w, l.estimate(w)})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b lacking) int { return cmp.Compare(a.takes, b.takes) })
	for _, w := range found {
		all = append(all, w.Work)
	}
	return all
}

func total(works []Work, l *ledger) (sum time.Duration) {
	for _, w := range works {
		sum += l.estimate(w)
	}
	return sum
}

func trainMissing(ctx context.Context, out io.Writer, works []Work, l *ledger, budget time.Duration) error {
	start := time.Now()
	if len(works) > 0 {
		fmt.Fprintf(out, "%d trainings to do, about %.0f minutes on an idle machine with two cores\n", len(works), total(works, l).Minutes())
	}
	for i, w := range works {
		if time.Since(start) >= budget {
			fmt.Fprintf(out, "after %v no training is started: %d are left\n", budget, len(works)-i)
			return nil
		}
		if ctx.Err() != nil {
			return train.ErrInterrupted
		}
		fmt.Fprintf(out, "%d/%d %s, about %v … ", i+1, len(works), w, l.estimate(w).Round(time.Second))
		row, err := w.train(ctx)
		if err != nil {
			fmt.Fprintln(out)
			return fmt.Errorf("%s: %w", w, err)
		}
		if err := l.add(row); err != nil {
			return err
		}
		w.forget()
		fmt.Fprintf(out, "%.2f %% after %.1f s\n", row.Accuracy, row.Seconds)
	}
	return nil
}
