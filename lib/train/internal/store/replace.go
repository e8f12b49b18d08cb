package store

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// replacingMark is in the folder of a run that takes another one's place: a process that is killed on the way leaves it where
// the new run is.
const replacingMark = ".replacing"

// replace gives the run that was trained the name of one that is there, and that one the name of a previous one.
func (r *Run) replace() error {
	if err := discard(previous(r.dir)); err != nil { // first, as it makes room
		return err
	}
	if err := os.WriteFile(r.trained(replacingMark), nil, 0o644); err != nil {
		return err
	}
	if err := exchange(r.dir+trainingSuffix, r.dir); err != nil { // some file systems cannot
		if err := os.Rename(r.dir, previous(r.dir)); err != nil {
			return err
		}
		if err := os.Rename(r.dir+trainingSuffix, r.dir); err != nil {
			return err
		}
	}
	return settle(r.dir)
}

// exchange gives two folders each the other's name in one step. It is a variable for a test.
var exchange = func(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// settle ends what replace began, in whatever process.
func settle(dir string) error {
	mark := filepath.Join(dir, replacingMark)
	if !exists(mark) {
		return nil
	}
	replaced := dir + trainingSuffix
	if exists(replaced) {
		if err := os.Rename(replaced, previous(dir)); err != nil {
			return err
		}
	}
	return os.Remove(mark)
}

// previous is where a run goes that is replaced: where the one before it went, unless that is pinned.
func previous(dir string) string {
	to := dir + previousSuffix
	for n := 2; exists(to) && labelOf(to).Pinned; n++ {
		to = fmt.Sprintf("%s%s-%d", dir, previousSuffix, n)
	}
	return to
}
