package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// reader is a way to be somebody who may read a folder but not write it.
type reader struct {
	name   string
	reason string // the system's words for it
	// forbid makes what is below dir read-only for the children of the place that it returns, which reaches it by
	// another path perhaps; allow undoes it.
	forbid func(t *trial, p place, dir string) (q place, allow func(), err error)
}

var readers = []reader{
	{"a read-only mount", "read-only file system", func(t *trial, p place, dir string) (place, func(), error) {
		h, err := t.mount("read-only", dir)
		if err != nil {
			return p, nil, err
		}
		for _, folder := range []*string{&p.runs, &p.cache, &p.compiled} {
			*folder = h.path + strings.TrimPrefix(*folder, t.dir)
		}
		return p, h.close, nil
	}},
	{"missing permission", "permission denied", func(t *trial, p place, dir string) (place, func(), error) {
		if os.Getuid() != 0 {
			return p, func() { setModes(dir, 0o200, true) }, setModes(dir, 0o200, false)
		}
		// The administrator may write everywhere, so the child is somebody else: nobody, by the system's convention.
		const nobody = 65534
		p.as = &syscall.Credential{Uid: nobody, Gid: nobody}
		for _, folder := range []string{p.runs, p.cache, p.compiled} {
			if err := giveTo(folder, nobody); err != nil {
				return p, nil, err
			}
		}
		if err := giveTo(dir, 0); err != nil {
			return p, nil, err
		}
		return p, func() { giveTo(dir, nobody) }, nil
	}},
}

// setModes gives or takes permission to write below dir.
func setModes(dir string, bits fs.FileMode, allow bool) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() &^ bits
		if allow {
			mode |= bits
		}
		return os.Chmod(path, mode)
	})
}

// giveTo makes somebody the owner of all below dir.
func giveTo(dir string, user int) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, user, user)
	})
}

// usable tells whether such a reader can run a child at all, whose plugin may lie where he may not read.
func (t *trial) usable(p place) error {
	if p.as == nil {
		return nil
	}
	_, err := once(t.lab, "another user", func() (bool, error) {
		dir, err := os.MkdirTemp(t.lab.dir, "another-")
		if err != nil {
			return false, err
		}
		if err := errors.Join(os.Chmod(dir, 0o755), giveTo(dir, int(p.as.Uid))); err != nil {
			return false, err
		}
		q := newPlace(dir)
		q.as = p.as
		if o := t.run(q, "-task", "tiny"); o.code != 0 {
			return false, skipped{"another user cannot use this folder: " + shortened(o.errors)}
		}
		return true, nil
	})
	return err
}

// readOnly is a trial in which a folder may only be read.
func (by reader) trial(what, task string, prepare func(t *trial, p place, r reference) (dir string, err error),
	use func(t *trial, p place, r reference) error, after func(t *trial, p place, r reference) error) attempt {
	return attempt{what: what + ", by " + by.name, try: func(t *trial) error {
		p, r, err := t.fresh(task, true)
		if err != nil {
			return err
		}
		dir, err := prepare(t, p, r)
		if err != nil {
			return err
		}
		for _, folder := range []string{p.runs, p.cache, p.compiled} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
		}
		q, allow, err := by.forbid(t, p, dir)
		if err != nil {
			return err
		}
		if err := t.usable(q); err != nil {
			return err
		}
		shown := strings.Replace(dir, t.dir, strings.TrimSuffix(q.runs, "/runs"), 1)
		if err := t.run(q, "-write", filepath.Join(shown, "written")).failed(by.reason); err != nil {
			allow()
			return fmt.Errorf("the trial itself broke, nothing is forbidden: %w", err)
		}
		err = use(t, q, r)
		allow()
		if err != nil || after == nil {
			return err
		}
		p.as = q.as
		if err := after(t, p, r); err != nil {
			return fmt.Errorf("when it may be written again: %w", err)
		}
		return nil
	}}
}

// gives wants the undisturbed result of loading, if it is finished, and of training.
func gives(task string, load bool, args ...string) func(t *trial, p place, r reference) error {
	return func(t *trial, p place, r reference) error {
		if load {
			if err := t.run(p, "-task", task, "-load").same(r.result); err != nil {
				return fmt.Errorf("loading: %w", err)
			}
		}
		return t.run(p, append([]string{"-task", task}, args...)...).same(r.result)
	}
}

func readOnlyFolders() (all []attempt) {
	for _, by := range readers {
		all = append(append(all, by.runs()...), by.caches()...)
	}
	return all
}

// refuses is a look that finds the folder named, and why nothing can be written into it.
func (by reader) refuses(task string, folder func(p place) string, args ...string) func(t *trial, p place, r reference) error {
	return func(t *trial, p place, r reference) error {
		return t.run(p, append([]string{"-task", task}, args...)...).refused(by.reason, folder(p))
	}
}

// runs are trials with folders of runs.
func (by reader) runs() []attempt {
	put := func(from, to string) error { removeAll(to); return copyTree(from, to) }
	runs := func(p place) string { return p.runs }
	return []attempt{
		by.trial("everything, a finished run", "mnist",
			func(t *trial, p place, r reference) (string, error) { return t.dir, put(r.runs, p.runs) },
			gives("mnist", true), nil),
		by.trial("the runs, a finished run", "adam",
			func(t *trial, p place, r reference) (string, error) { return p.runs, put(r.runs, p.runs) },
			gives("adam", true), nil),
		by.trial("the runs, a finished run without its lock", "sgd",
			func(t *trial, p place, r reference) (string, error) {
				return p.runs, errors.Join(put(r.runs, p.runs), os.Remove(filepath.Join(p.runs, r.name+".lock")))
			},
			gives("sgd", true), nil),
		by.trial("a finished run's folder", "sgd",
			func(t *trial, p place, r reference) (string, error) {
				return filepath.Join(p.runs, r.name), put(r.runs, p.runs)
			},
			gives("sgd", true), nil),
		by.trial("the runs, a finished run with Fresh", "sgd",
			func(t *trial, p place, r reference) (string, error) { return p.runs, put(r.runs, p.runs) },
			func(t *trial, p place, r reference) error {
				return errors.Join(by.refuses("sgd", runs, "-fresh")(t, p, r), gives("sgd", true)(t, p, r))
			}, gives("sgd", true, "-fresh")),
		by.trial("the runs, none there", "sgd",
			func(t *trial, p place, r reference) (string, error) { return p.runs, nil },
			by.refuses("sgd", runs), gives("sgd", false)),
		by.trial("the runs, an interrupted one", "adam",
			func(t *trial, p place, r reference) (string, error) { return p.runs, t.addInterrupted(p, "adam") },
			by.refuses("adam", runs), gives("adam", false)),
		by.trial("an interrupted run's folder", "adam",
			func(t *trial, p place, r reference) (string, error) {
				return r.training(p), t.addInterrupted(p, "adam")
			},
			by.refuses("adam", runs), gives("adam", false)),
	}
}

// caches are trials with folders of data and of compiled programs.
func (by reader) caches() []attempt {
	cache := func(p place) string { return p.cache }
	return []attempt{
		by.trial("the cache with the data", "mnist",
			func(t *trial, p place, r reference) (string, error) { return p.cache, nil },
			gives("mnist", false), nil),
		by.trial("the cache without the data", "mnist",
			func(t *trial, p place, r reference) (string, error) {
				removeAll(p.cache)
				return p.cache, t.lab.pack("mnist")
			},
			by.refuses("mnist", cache), gives("mnist", false)),
		by.trial("the cache with damaged data", "mnist",
			func(t *trial, p place, r reference) (string, error) {
				d := damages[t.random.IntN(4)]
				return p.cache, errors.Join(t.lab.pack("mnist"), t.harmData(d, p.data("mnist"), mnistFiles[t.random.IntN(4)]))
			},
			by.refuses("mnist", cache), gives("mnist", false)),
		by.trial("the compiled programs", "sgd",
			func(t *trial, p place, r reference) (string, error) { return p.compiled, nil },
			gives("sgd", false), nil),
		by.trial("the folder for compiled programs, none there", "sgd",
			func(t *trial, p place, r reference) (string, error) { removeAll(p.compiled); return p.compiled, nil },
			gives("sgd", false), nil),
	}
}

// addInterrupted puts an interrupted training of the task into the place.
func (t *trial) addInterrupted(p place, task string) error {
	q := &trial{lab: t.lab, random: t.random, dir: filepath.Join(t.dir, "other"), landed: t.landed}
	from, _, err := q.interrupted(task)
	if err != nil {
		return err
	}
	removeAll(p.runs)
	return copyTree(from.runs, p.runs)
}
