package origin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Parts are the files of another form of a data set, by their names, and how each becomes its share of the data set's
// files.
type Parts map[string]Decoder

// Decoder turns the content of one part into its share of the files, which have their sizes already.
type Decoder func(content []byte, files [][]byte) error

// Rebuilt unpacks archives that hold the data set in another form, in whatever folder.
func Rebuilt(parts Parts) Unpacker {
	return func(ctx context.Context, s Source, archive, dir string, missing []File) error {
		return s.rebuild(ctx, dir, missing, parts, entries(archive))
	}
}

// OwnForm finds the parts, or an archive of them with this name and MD5 sum, in a folder of the user's own or in one of
// the folders in it.
func OwnForm(archive, md5 string, parts Parts, folders ...string) func(own string) Origin {
	first := slices.Min(slices.Collect(maps.Keys(parts)))
	return func(own string) Origin {
		for _, sub := range append([]string{""}, folders...) {
			folder := filepath.Join(own, sub)
			if _, err := os.Stat(filepath.Join(folder, first)); err == nil {
				return unpacked(folder, parts)
			}
			packed := filepath.Join(folder, archive)
			if _, err := os.Stat(packed); err == nil {
				return func(ctx context.Context, s Source, dir string, missing []File) error {
					if err := checkMD5(packed, md5); err != nil {
						return err
					}
					return Rebuilt(parts)(ctx, s, packed, dir, missing)
				}
			}
		}
		return nil
	}
}

// unpacked is a folder with the parts.
func unpacked(folder string, parts Parts) Origin {
	return func(ctx context.Context, s Source, dir string, missing []File) error {
		if err := s.rebuild(ctx, dir, missing, parts, filesOf(folder, parts)); err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
		return nil
	}
}

// filesOf lists the files of a folder that are parts.
func filesOf(folder string, parts Parts) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			in, _, err := openFile(filepath.Join(folder, name))
			more := yield(entry{name, in}, err)
			in.Close()
			if !more {
				return
			}
		}
	}
}

// rebuild makes all files from the parts among the entries and installs the missing ones. It takes the memory of the
// files, and that of a few parts at work.
func (s Source) rebuild(
	ctx context.Context, dir string, missing []File, parts Parts, from iter.Seq2[entry, error],
) error {
	files := make([][]byte, len(s.Files))
	for i, f := range s.Files {
		files[i] = make([]byte, f.Size)
	}
	if err := s.decode(ctx, files, parts, from); err != nil {
		return err
	}
	for i, f := range s.Files {
		if slices.Contains(missing, f) {
			if err := f.write(files[i], dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// decode decodes the parts among the entries into the files, a few at once.
func (s Source) decode(ctx context.Context, files [][]byte, parts Parts, from iter.Seq2[entry, error]) error {
	todo, another := maps.Clone(parts), s.counter(len(parts))
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	err := s.take(working, todo, from, func(name string, decode Decoder, content []byte) {
		group.Go(func() error {
			if err := decode(content, files); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			another()
			return nil
		})
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if err := cmp.Or(err, ctx.Err()); err != nil {
		return err
	}
	return lacks(todo)
}

// take reads the parts that are still to do from the entries and does them, until none is left or the context ends.
func (s Source) take(
	ctx context.Context, todo Parts, from iter.Seq2[entry, error], do func(name string, decode Decoder, content []byte),
) error {
	for e, err := range from {
		if err != nil {
			return err
		}
		if len(todo) == 0 || ctx.Err() != nil {
			break
		}
		name := path.Base(e.name)
		decode, ok := todo[name]
		if !ok {
			continue
		}
		delete(todo, name)
		content, err := io.ReadAll(io.LimitReader(e.content, s.size()+1))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if int64(len(content)) > s.size() {
			return fmt.Errorf("%s: it is larger than the whole data set", name)
		}
		do(name, decode, content)
	}
	return nil
}

// counter says that none of the parts is rebuilt yet. What it returns says that one more is.
func (s Source) counter(parts int) (another func()) {
	var one sync.Mutex
	done := 0
	say := func() {
		filled := (20*done + parts/2) / parts
		bar := strings.Repeat("#", filled) + strings.Repeat(".", 20-filled)
		fmt.Fprintf(Log, "%s: rebuilding [%s] %d of %d\n", s.Name, bar, done, parts)
	}
	say()
	return func() {
		one.Lock()
		defer one.Unlock()
		done++
		say()
	}
}
