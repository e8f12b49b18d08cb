package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// times to which a clock may jump.
var times = []time.Time{
	time.Unix(0, 0), time.Date(1901, 12, 24, 0, 0, 0, 0, time.UTC), time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC),
	time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC),
}

// date gives everything below dir the time; with mixed the files get times before and after it in turn, the newer the
// earlier.
func date(dir string, at time.Time, mixed bool) error {
	i := 0
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if i++; mixed {
			at = at.Add(-24 * time.Hour * time.Duration(i))
		}
		return os.Chtimes(path, at, at)
	})
}

// jumped changes the times of all that a user has and then uses it.
func jumped(at time.Time, mixed bool) attempt {
	what := "all files from " + at.Format("2006")
	if mixed {
		what += ", the newest the oldest"
	}
	return attempt{what: what, try: func(t *trial) error {
		p, r, err := t.finished("mnist")
		if err != nil {
			return err
		}
		if err := date(t.dir, at, mixed); err != nil {
			return err
		}
		if err := t.run(p, "-task", "mnist", "-load").same(r.result); err != nil {
			return fmt.Errorf("loading: %w", err)
		}
		compiled := files(p.compiled)
		if err := t.run(p, "-task", "mnist", "-fresh").same(r.result); err != nil {
			return fmt.Errorf("training again: %w", err)
		}
		if len(files(p.compiled)) != len(compiled) {
			return fmt.Errorf("%d compiled programs became %d", len(compiled), len(files(p.compiled)))
		}
		return whole(filepath.Join(p.runs, r.name), r)
	}}
}

// jumpedBetween changes the times while a training is interrupted, between two kills.
func jumpedBetween(task string, at time.Time, mixed bool) attempt {
	what := "an interrupted training's files from " + at.Format("2006")
	if mixed {
		what += ", the newest the oldest"
	}
	return attempt{what: what, try: func(t *trial) error {
		p, r, err := t.interrupted(task)
		if err != nil {
			return err
		}
		if err := date(t.dir, at, mixed); err != nil {
			return err
		}
		o := t.run(p, "-task", task)
		if err := o.same(r.result); err != nil {
			return err
		}
		if !o.says("going on after step") {
			return errors.New("it began anew")
		}
		return whole(filepath.Join(p.runs, r.name), r)
	}}
}

func jumpingClocks() (all []attempt) {
	for _, at := range times {
		all = append(all, jumped(at, false), jumpedBetween("adam", at, false))
	}
	return append(all, jumped(times[3], true), jumpedBetween("adam", times[3], true))
}
