// Package store keeps runs on disk: their folders, locks, checkpoints and sums. It knows nothing of networks. What it
// keeps is text and arrays.
//
// A run trains in a folder of its own and gets its name when it is finished, in one step, so what has the name is
// whole. A run that had the name before is kept under another one.
package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"

	"example.org/convbook/lib/internal/env"
	"example.org/convbook/lib/safetensors"
)

// Env names the folder of runs. It is convbook/runs in the user's cache folder if not set.
const Env = "CONVBOOK_RUNS"

// Suffixes of a run's name: of the folder in which it is trained, and of the run that had the name before.
const (
	trainingSuffix = ".training"
	previousSuffix = ".previous"
)

// Run is a run's place on disk, whether anything is there or not.
type Run struct {
	dir   string            // where its files are once it is finished
	about []byte            // its config.json
	sums  map[string]string // of its files, once it is loaded or finished
}

// plain is a label in the letters and digits that every file system takes.
func plain(label string) string {
	words := strings.FieldsFunc(label, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	label = cmp.Or(strings.Join(words, "-"), "run")
	return label[:min(len(label), longestLabel)]
}

// longestLabel is how much of a folder's name tells people what is in it.
const longestLabel = 60

// New is the place of the run that about describes, a value that is written as JSON. Whatever about says decides the
// folder's name, which ends in the beginning of the description's sum. The name begins with the label.
func New(label string, about any) (*Run, error) {
	runs, err := folder()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(about, "", "  ")
	if err != nil {
		return nil, err
	}
	return &Run{dir: filepath.Join(runs, plain(label)+"-"+sum(text)[:sumInName]), about: text}, nil
}

// sumInName is how many digits of a description's sum tell runs with the same label apart.
const sumInName = 12

// folder is where runs are kept.
func folder() (string, error) {
	if dir, err := env.Folder(Env); dir != "" || err != nil {
		return dir, err
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder for runs (%w): set %s to a folder", err, Env)
	}
	return filepath.Join(dir, "convbook", "runs"), nil
}

// Dir is the folder of the finished run.
func (r *Run) Dir() string { return r.dir }

// About is the run's config.json.
func (r *Run) About() []byte { return r.about }

// path is a file of the finished run.
func (r *Run) path(name string) string { return filepath.Join(r.dir, name) }

// trained is a file of the run while it is trained.
func (r *Run) trained(name string) string { return filepath.Join(r.dir+trainingSuffix, name) }

// Lock makes sure that one process at a time trains the run. Others wait for it, after a call of waiting, and then find
// it done.
func (r *Run) Lock(ctx context.Context, waiting func()) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(r.dir), 0o755); err != nil {
		return nil, r.cannotWrite(err)
	}
	lock, got, err := tryLock(r.dir)
	if err == nil && !got {
		waiting()
	}
	for err == nil && !got {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		lock, got, err = tryLock(r.dir)
	}
	if err != nil {
		return nil, r.cannotWrite(err)
	}
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), lock.Unlock())
	}
	return lock.Unlock, nil
}

// Damaged is the error of a finished run that is not what was written.
func (r *Run) Damaged(format string, args ...any) error {
	return fmt.Errorf("the run in %s is damaged: %w: put its files back, or train it again with Fresh: true",
		r.dir, fmt.Errorf(format, args...))
}

// unreadable explains an error of reading one of a finished run's files: most are damage.
func (r *Run) unreadable(err error) error {
	if unread := r.unread(err); unread != nil {
		return unread
	}
	return r.Damaged("%w", err)
}

// unread explains an error of reading that says nothing about what is in the file or the folder, which may be as it was
// written. It is nil for any other error.
func (r *Run) unread(err error) error {
	remedy := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		remedy = "whoever owns it must let you read it"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		remedy = "raise the number of files that may be open (ulimit -n)"
	case errors.Is(err, syscall.ENOTDIR) && !exists(r.dir): // the folder of runs
		remedy = "set " + Env + " to a folder"
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENOMEM):
		remedy = "try again"
	default:
		return nil
	}
	return fmt.Errorf("cannot read the run in %s: %w: %s", r.dir, err, remedy)
}

// cannotWrite explains an error of writing into the run's folder.
func (r *Run) cannotWrite(err error) error {
	if err == nil {
		return nil
	}
	if file := (*safetensors.WriteError)(nil); errors.As(err, &file) {
		err = file.Err // which has no remedy of its own
	}
	return fmt.Errorf("cannot keep the run in %s: %w: make room or writable there, or set %s to another folder",
		r.dir, err, Env)
}

func sum(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
