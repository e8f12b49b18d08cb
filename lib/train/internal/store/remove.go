package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// removedPrefix begins the name of a folder that is being removed. No run is called so.
const removedPrefix = ".removed-"

// discard removes a run's folder, if it is there: it is a run no more in one step, whatever happens while its files are
// deleted. It needs no room, since a full disk is when it is called for.
func discard(dir string) error {
	rest := filepath.Join(filepath.Dir(dir), removedPrefix+filepath.Base(dir))
	if err := os.RemoveAll(rest); err != nil { // of a process that was killed here
		return err
	}
	if err := os.Rename(dir, rest); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return os.RemoveAll(rest)
}

// checkListed refuses a folder that List would not list, since nobody may change or delete what is not a run's.
func checkListed(dir string) error {
	runs, err := folder()
	if err != nil {
		return err
	}
	if filepath.Dir(dir) != filepath.Clean(runs) || !folderName.MatchString(filepath.Base(dir)) {
		return fmt.Errorf("%s is not the folder of a run in %s: name one that make runs lists", dir, runs)
	}
	return nil
}

// Remove removes a folder that List listed, unless it is pinned or a process trains the run.
func Remove(dir string) error {
	if err := checkListed(dir); err != nil {
		return err
	}
	id := filepath.Base(dir)
	base := strings.TrimSuffix(dir, filepath.Ext(dir)) // labels and sums have no dots
	was := exists(dir)
	lock, got, err := tryLock(base)
	if err != nil {
		return fmt.Errorf("cannot remove the run in %s: %w: its folder and its lock must be writable", dir, err)
	}
	if !got {
		return fmt.Errorf("the run %s is being trained by another process: stop that first", id)
	}
	defer lock.Unlock()
	if was && !exists(dir) { // tryLock may have ended a replacement, which moves the run
		return fmt.Errorf("the run %s is no longer there: look what make runs lists", id)
	}
	if labelOf(dir).Pinned {
		return fmt.Errorf("the run %s is pinned: unpin it first", id)
	}
	if err := discard(dir); err != nil {
		return fmt.Errorf("cannot remove the run in %s: %w: make its folder writable", dir, err)
	}
	sweep(filepath.Dir(dir))
	if left, _ := filepath.Glob(escape(base) + "*"); len(left) == 1 { // nothing is left but the lock
		os.Remove(lock.Path())
	}
	return nil
}

// sweep deletes what processes left that were killed while they removed runs.
func sweep(runs string) {
	left, _ := filepath.Glob(filepath.Join(escape(runs), removedPrefix+"*"))
	for _, dir := range left {
		os.RemoveAll(dir)
	}
}

// escape is a path as a pattern that only the path matches.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// tryLock takes the lock of a run, if nobody has it, and ends what whoever had it had begun.
func tryLock(dir string) (lock *flock.Flock, got bool, err error) {
	lock = flock.New(dir + ".lock")
	for {
		if got, err = lock.TryLock(); err != nil || !got {
			return lock, false, err
		}
		if isCurrent(lock) {
			if err = settle(dir); err != nil {
				lock.Unlock()
			}
			return lock, err == nil, err
		}
		lock.Unlock()
	}
}

// isCurrent reports whether a lock's file is still there. The last thing that is removed of a run is its lock; whoever
// waited for that has a lock that nobody else will see.
func isCurrent(lock *flock.Flock) bool {
	mine, err := lock.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(lock.Path())
	return err == nil && os.SameFile(mine, now)
}
