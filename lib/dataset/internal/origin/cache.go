package origin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// repair puts whatever is missing or damaged into the cache folder dir. Damaged files are set aside, not deleted. Of
// several processes one does the work and the others wait.
func (s Source) repair(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return s.cannotWrite(dir, err)
	}
	lock := flock.New(filepath.Join(dir, ".lock"))
	if err := writable(lock.Path()); err != nil {
		return s.cannotWrite(dir, err)
	}
	stop := waiting(s.Name + ": waiting for another process that fetches it")
	_, err := lock.TryLockContext(ctx, 50*time.Millisecond)
	stop()
	if err != nil {
		return s.cannotWrite(dir, err)
	}
	defer lock.Unlock()
	s.sweep(dir)
	var missing []File
	for _, f := range s.Files {
		_, err := f.read(dir)
		var bad damaged
		switch {
		case err == nil:
			continue
		case errors.As(err, &bad):
			aside := fmt.Sprintf("%s.damaged-%s", bad.path, time.Now().Format("20060102-150405"))
			if err := os.Rename(bad.path, aside); err != nil {
				return s.cannotWrite(dir, err)
			}
			fmt.Fprintf(Log, "%s: %v; set aside as %s, fetching it again\n", s.Name, bad, filepath.Base(aside))
		case !errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		missing = append(missing, f)
	}
	if len(missing) == 0 {
		return nil // another process was faster
	}
	return s.obtain(ctx, dir, missing)
}

// sweep removes the temporary files of a process that was killed at work. Only the holder of the lock has any.
func (s Source) sweep(dir string) {
	patterns := []string{npmTemp + "*"}
	for _, f := range s.Files {
		patterns = append(patterns, "."+f.Name+"*") // renameio's
	}
	for _, pattern := range patterns {
		for _, path := range matching(dir, pattern) {
			os.RemoveAll(path)
		}
	}
}

// matching lists what is in dir with names of a pattern. filepath.Glob would take brackets in dir for a pattern, too.
func matching(dir, pattern string) (paths []string) {
	names, _ := fs.Glob(os.DirFS(dir), pattern)
	for _, name := range names {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}

// obtain fetches files into dir from the origins in turn.
func (s Source) obtain(ctx context.Context, dir string, missing []File) error {
	var failures []string
	for _, from := range s.Origins {
		err := from(ctx, s, dir, missing)
		if err == nil {
			for _, part := range matching(dir, "*.part") { // what a host has left half done is of no use any more
				os.Remove(part)
			}
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if path := new(fs.PathError); errors.As(err, &path) && strings.HasPrefix(path.Path, dir) {
			return s.cannotWrite(dir, err)
		}
		if s.own != "" {
			return s.refuseOwn(err)
		}
		failures = append(failures, err.Error())
	}
	return fmt.Errorf("%s is not in %s and could not be fetched (%s): "+
		"connect to the network and try again, or set %s to a folder with its files",
		s.Name, dir, strings.Join(failures, "; "), FolderEnv)
}

// size is that of all files together.
func (s Source) size() (sum int64) {
	for _, f := range s.Files {
		sum += f.Size
	}
	return sum
}

func (s Source) cannotWrite(dir string, err error) error {
	return fmt.Errorf("cannot keep %s in %s: %w: make room or writable there, or set XDG_CACHE_HOME to another folder",
		s.Name, dir, err)
}
