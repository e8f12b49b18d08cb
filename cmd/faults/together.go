package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// together starts n children at one run, one of which is killed while it trains. All others end with the same result.
func together(task string, n int, fresh, readers, kill bool) attempt {
	what := fmt.Sprintf("%d processes train one run", n)
	if kill {
		what += ", one is killed"
	}
	if fresh {
		what += ", Fresh beside a finished one"
	}
	if readers {
		what += ", others read it all the time"
	}
	return attempt{what: what, try: func(t *trial) error {
		prepare := func(task string) (place, reference, error) { return t.fresh(task, true) }
		if fresh {
			prepare = t.finished
		}
		p, r, err := prepare(task)
		if err != nil {
			return err
		}
		var reading []*process
		if readers {
			for range 2 {
				reading = append(reading, t.start(p, "-task", task, "-loop"))
			}
		}
		args := []string{"-task", task}
		if fresh {
			args = append(args, "-fresh")
		}
		var all []*process
		for range n {
			all = append(all, t.start(p, args...))
		}
		var victim *process
		if kill {
			if victim, err = t.killOne(task, all); err != nil {
				return err
			}
		}
		for i, c := range all {
			if c == victim {
				continue
			}
			if err := c.wait().same(r.result); err != nil {
				return fmt.Errorf("process %d: %w", i+1, err)
			}
		}
		time.Sleep(20 * time.Millisecond)
		for _, c := range reading {
			c.stdin.Close()
			if err := c.wait().read(r.result, !fresh); err != nil {
				return err
			}
		}
		return whole(filepath.Join(p.runs, r.name), r)
	}}
}

// killOne kills the process that holds the lock, when it has trained for a while.
func (t *trial) killOne(task string, all []*process) (victim *process, err error) {
	for victim == nil {
		if slices.ContainsFunc(all, (*process).ended) {
			return nil, skipped{"the training ended before its process could be killed"}
		}
		for _, c := range all {
			if slices.ContainsFunc(c.said(), func(line string) bool { return strings.HasPrefix(line, "Test set:") }) {
				victim = c
				break
			}
		}
		time.Sleep(100 * time.Microsecond)
	}
	victim.kill()
	o := victim.wait()
	if !o.killed {
		return nil, skipped{"the process ended before it could be killed"}
	}
	t.landed[phaseOf(task, o.lines)]++
	return victim, nil
}

// read is nil if a child that looked at the run all the time got nothing but the result, at first perhaps that there is
// none yet.
func (o outcome) read(want string, perhapsNotYet bool) error {
	if o.code != 0 || o.errors != "" || o.hung {
		return fmt.Errorf("a reader ended with status %d: %s", o.code, shortened(o.errors))
	}
	for _, line := range o.lines {
		unfinished := strings.Contains(line, "was not trained") || strings.Contains(line, "finish it with Fit")
		if line != want && !(perhapsNotYet && unfinished) {
			return fmt.Errorf("a reader got: %s", line)
		}
		perhapsNotYet = perhapsNotYet && unfinished // once it is there, it stays
	}
	if len(o.lines) == 0 || o.result() != want {
		return fmt.Errorf("a reader did not find the run in the end: %q", o.lines)
	}
	return nil
}

// fetchTogether starts n children that all lack the data, one of which is killed while it fetches it.
func fetchTogether(n int) attempt {
	return attempt{what: fmt.Sprintf("%d processes fetch one data set, one is killed", n), try: func(t *trial) error {
		p, r, err := t.unfetched("mnist", true)
		if err != nil {
			return err
		}
		var all []*process
		for i := range n { // each its own run, or the run's lock would let one of them fetch
			q := p
			q.runs = fmt.Sprint(p.runs, i)
			all = append(all, t.start(q, "-task", "mnist"))
		}
		var victim *process
		for victim == nil {
			for _, c := range all {
				if phaseOf("mnist", c.said()) == "fetch" {
					victim = c
				}
				if c.ended() {
					return skipped{"the data was there before a process could be killed"}
				}
			}
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Duration(t.random.IntN(100)) * time.Millisecond)
		victim.kill()
		o := victim.wait()
		if !o.killed {
			return skipped{"the process ended before it could be killed"}
		}
		t.landed[phaseOf("mnist", o.lines)]++
		for i, c := range all {
			if c != victim {
				if err := c.wait().same(r.result); err != nil {
					return fmt.Errorf("process %d: %w", i+1, err)
				}
			}
		}
		return onlyData(p, "mnist")
	}}
}

func processesTogether() (all []attempt) {
	for i, n := range []int{2, 5, 2, 5} {
		all = append(all, together([]string{"adam", "sgd"}[i%2], n, false, i >= 2, true))
	}
	for i, n := range []int{2, 5} {
		all = append(all,
			together([]string{"muon", "sgd"}[i%2], n, true, false, false), together("sgd", n, true, false, true),
			together([]string{"sgd", "adam"}[i%2], n, true, true, false), together("muon", n, true, true, true))
	}
	return append(all, fetchTogether(2), fetchTogether(5))
}
