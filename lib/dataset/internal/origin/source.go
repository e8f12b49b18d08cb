// Package origin finds files whose sums are known: in a folder of the user's own, in the cache, or, the first time,
// wherever they can be fetched from. It knows nothing of what is in them.
package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"example.org/convbook/lib/internal/env"
	"example.org/convbook/lib/internal/signals"
)

// Log is where fetching says what it does.
var Log io.Writer = os.Stdout

// FolderEnv names a folder of the user's own in which files are looked for first.
const FolderEnv = "CONVBOOK_DATA"

// Source says what the files of a data set are and where they come from.
type Source struct {
	Name    string // the data set's, for people
	Folder  string // its folder in the cache
	Files   []File
	Origins []Origin // where files come from that are nowhere on this machine, the official one first

	Other func(own string) Origin // finds another form of the files in a folder of the user's own; nil if there is none
	Wants string                  // what to put into a folder of the user's own; empty: the files

	own string // the user's own folder with another form, while that is the only origin
}

// Origin brings the missing files of a data set into the folder dir, each verified and under its name in one step.
type Origin func(ctx context.Context, s Source, dir string, missing []File) error

// Cache is the folder where data sets are kept between runs: convbook/data in the user's cache folder.
func Cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder for data sets (%w): "+
			"set XDG_CACHE_HOME, or %s to a folder that has them", err, FolderEnv)
	}
	return filepath.Join(dir, "convbook", "data"), nil
}

// Load returns the bytes of the files with these names, of all if none is named, verified. They are fetched first if
// they are nowhere, and are not to be changed.
func (s Source) Load(names ...string) ([][]byte, error) {
	contents, _, err := s.find(s.named(names))
	return contents, err
}

// named are the files with these names, all if there are none.
func (s Source) named(names []string) []File {
	if len(names) == 0 {
		return s.Files
	}
	var files []File
	for _, name := range names {
		i := slices.IndexFunc(s.Files, func(f File) bool { return f.Name == name })
		files = append(files, s.Files[i])
	}
	return files
}

// Fetch makes sure that Load will find the files and returns their folder.
func (s Source) Fetch() (string, error) {
	_, folder, err := s.find(s.Files)
	return folder, err
}

func (s Source) find(files []File) (contents [][]byte, folder string, err error) {
	if s.own, err = env.Folder(FolderEnv); err != nil {
		return nil, "", err
	}
	if s.own != "" {
		contents, folder, err := s.readOwn(files)
		if !errors.Is(err, os.ErrNotExist) {
			return contents, folder, err
		}
		rebuild := s.otherForm()
		if rebuild == nil {
			return nil, "", fmt.Errorf("%s is not in %s=%s: put %s there, or unset %[2]s",
				s.Name, FolderEnv, s.own, s.wanted())
		}
		s.Origins = []Origin{rebuild}
	}
	cache, err := Cache()
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Join(cache, s.Folder)
	contents, err = read(dir, files)
	if err == nil {
		return contents, dir, nil
	}
	if !errors.Is(err, os.ErrNotExist) && !errors.As(err, &damaged{}) {
		return nil, "", fmt.Errorf("%s: %w", s.Name, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals.ToStop()...)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process
	if err := s.repair(ctx, dir); err != nil {
		if ctx.Err() != nil {
			return nil, "", fmt.Errorf("%s was not fetched: stopped by a signal; try again to go on from there", s.Name)
		}
		return nil, "", err
	}
	contents, err = read(dir, files)
	return contents, dir, err
}

// readOwn reads the files from the user's own folder or the usual folders in it. Nothing is ever written there.
func (s Source) readOwn(files []File) (contents [][]byte, folder string, err error) {
	for _, sub := range []string{"", s.Folder, filepath.Join(s.Name, "raw")} { // the last is torchvision's
		folder = filepath.Join(s.own, sub)
		contents, err = read(folder, files)
		if err == nil {
			return contents, folder, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, "", s.refuseOwn(err)
		}
	}
	return nil, "", err
}

func (s Source) otherForm() Origin {
	if s.Other == nil {
		return nil
	}
	return s.Other(s.own)
}

func (s Source) wanted() string {
	if s.Wants != "" {
		return s.Wants
	}
	var names []string
	for _, f := range s.Files {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

func (s Source) refuseOwn(err error) error {
	return fmt.Errorf("%s from %s: %w: put the right file there, or unset %[2]s", s.Name, FolderEnv, err)
}

// read reads and verifies files of a folder, all at once.
func read(dir string, files []File) ([][]byte, error) {
	contents := make([][]byte, len(files))
	var group errgroup.Group
	for i, f := range files {
		group.Go(func() (err error) {
			contents[i], err = f.read(dir)
			return err
		})
	}
	return contents, group.Wait()
}
