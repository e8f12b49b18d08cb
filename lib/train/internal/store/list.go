package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Entry is a run's folder as it was found. Its arrays are not read.
type Entry struct {
	Dir    string
	Digits string // the end of its name, which tells runs of one label apart
	Kind   Kind
	About  []byte    // config.json
	Result []byte    // result.json, of a finished run
	Step   int       // of the newest checkpoint, of a run that is trained
	Bytes  int64     // of all its files
	Used   time.Time // when the run was written or loaded last
	Label  Label
	Damage error // why the run cannot be what was written; nil if nothing shows that
}

// Kind is what a folder's name says about what is in it.
type Kind int

// The kinds of folders.
const (
	Whole    Kind = iota // a finished run
	Training             // one that is trained, or whose training was interrupted
	Previous             // one that a newer run with the same name replaced
)

// folderName is how runs' folders are called: the label, the beginning of the description's sum, the kind.
var folderName = regexp.MustCompile(fmt.Sprintf(`^[^.]+-([0-9a-f]{%d}(\%s|\%s(?:-[0-9]+)?)?)$`,
	sumInName, trainingSuffix, previousSuffix))

// Place is the run itself, to be loaded.
func (e Entry) Place() *Run { return &Run{dir: e.Dir, about: e.About} }

// InTraining is the place that List gives the run as long as it is trained.
func (r *Run) InTraining() *Run { return &Run{dir: r.dir + trainingSuffix, about: r.about} }

// List lists what is stored under a label, or everything if that is empty. It writes nothing, waits for nothing, and
// leaves out what is removed meanwhile and whatever is not called as runs are.
func List(label string) (entries []Entry, err error) {
	dir, err := folder()
	if err != nil {
		return nil, err
	}
	prefix := ""
	if label != "" {
		prefix = plain(label) + "-"
	}
	// A run that gets its name meanwhile is gone under the one that was listed, so the list is made again.
	for range 3 {
		names, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot list the runs: %w: make the folder readable, or set %s to another", err, Env)
		}
		entries = nil
		gone := false
		for _, found := range names {
			name := folderName.FindStringSubmatch(found.Name())
			if name == nil || label != "" && strings.TrimSuffix(found.Name(), name[1]) != prefix {
				continue
			}
			e := Entry{Dir: filepath.Join(dir, found.Name()), Digits: name[1]}
			switch {
			case name[2] == trainingSuffix && !exists(filepath.Join(strings.TrimSuffix(e.Dir, trainingSuffix), replacingMark)):
				e.Kind = Training // else it is the old run, and its replacement was killed before it got its other name
			case name[2] != "":
				e.Kind = Previous
			}
			if e.read() {
				entries = append(entries, e)
			} else {
				gone = true
			}
		}
		if !gone {
			break
		}
	}
	return entries, nil
}

// read reads what is in the folder, and reports whether it is there. All files come from the folder that was there at
// first.
func (e *Entry) read() (there bool) {
	info, err := os.Stat(e.Dir)
	if err != nil || !info.IsDir() {
		return false
	}
	e.Used = info.ModTime()
	folder, err := os.OpenRoot(e.Dir)
	if err != nil {
		e.Damage = withoutPath(err)
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer folder.Close() // not before the end: as long as it is open, no other folder is taken for it
	if e.Damage = e.readFiles(folder); e.Damage == nil {
		return true
	}
	there, _ = has(e.Dir, folder) // else it is not damaged but was removed meanwhile
	return there
}

func (e *Entry) readFiles(folder *os.Root) error {
	files, err := fs.ReadDir(folder.FS(), ".")
	if err != nil {
		return withoutPath(err)
	}
	there := map[string]bool{}
	for _, file := range files {
		there[file.Name()] = true
		if info, err := file.Info(); err == nil {
			e.Bytes += info.Size()
		}
		if step, ok := checkpointStep(file.Name()); ok {
			e.Step = max(e.Step, step)
		}
	}
	if there[labelFile] {
		e.Label = readLabel(folder)
	}
	if e.About, err = readFile(folder, Config); err != nil {
		return lacking(Config, err)
	}
	if e.Kind == Training {
		return nil
	}
	if e.Result, err = readFile(folder, Result); err != nil {
		return lacking(Result, err)
	}
	for _, name := range summedFiles {
		if !there[name] {
			return lacking(name, fs.ErrNotExist)
		}
	}
	return e.compare(folder)
}

// compare compares what was read with its sums.
func (e *Entry) compare(folder *os.Root) error {
	sums, err := readFile(folder, sumsFile)
	if err != nil {
		return lacking(sumsFile, err)
	}
	about := sum(e.About)
	for name, digits := range map[string]string{Config: about, Result: sum(e.Result)} {
		if !bytes.Contains(sums, sumLine(digits, name)) {
			return fmt.Errorf("%s is not the one whose sum is in %s", name, sumsFile)
		}
	}
	if !strings.HasPrefix(e.Digits, about[:sumInName]) {
		return fmt.Errorf("%s is of another run", Config)
	}
	return nil
}

// lacking says in a few words why a file of a run cannot be read.
func lacking(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it has no %s", name)
	}
	return fmt.Errorf("%s: %w", name, withoutPath(err))
}

// withoutPath is the reason alone, for a line that names the run already.
func withoutPath(err error) error {
	if of := (*fs.PathError)(nil); errors.As(err, &of) {
		return of.Err
	}
	return err
}
