package origin

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Unpacker installs the missing files out of an archive, a gzipped tar.
type Unpacker func(ctx context.Context, s Source, archive, dir string, missing []File) error

// FilesIn unpacks archives that hold the files as they are, in the folder prefix.
func FilesIn(prefix string) Unpacker {
	return func(_ context.Context, _ Source, archive, dir string, missing []File) error {
		want := map[string]File{}
		for _, f := range missing {
			want[prefix+f.Name] = f
		}
		for e, err := range entries(archive) {
			if err != nil {
				return err
			}
			f, ok := want[e.name]
			if !ok {
				continue
			}
			if err := f.install(e.content, dir); err != nil {
				return err
			}
			if delete(want, e.name); len(want) == 0 {
				break
			}
		}
		return lacks(want)
	}
}

// lacks is the error of an archive or folder in which something is not found.
func lacks[T any](want map[string]T) error {
	if len(want) == 0 {
		return nil
	}
	return fmt.Errorf("it lacks %s", strings.Join(slices.Sorted(maps.Keys(want)), ", "))
}

// entry is a file in an archive; its content can be read until the next one is asked for.
type entry struct {
	name    string
	content io.Reader
}

// entries lists the files in a gzipped tar.
func entries(archive string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		in, _, err := openFile(archive)
		if err != nil {
			yield(entry{}, err)
			return
		}
		defer in.Close()
		filesInTar(in)(yield)
	}
}

// filesInTar lists the files in a gzipped tar: no links, and nothing is written by the names that are in it.
func filesInTar(in io.Reader) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			yield(entry{}, err)
			return
		}
		for files := tar.NewReader(unzipped); ; {
			header, err := files.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(entry{}, err)
				return
			}
			if header.Typeflag == tar.TypeReg && !yield(entry{header.Name, files}, nil) {
				return
			}
		}
	}
}
