// Command patch copies the Go packages of a module and applies patches to the copy, in their order:
//
//	patch FROM TO PATCH ...
//
// TO is made anew. A patch that does not fit exactly is an error, so a new version of the module is not built with half
// of them.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "error: usage: patch FROM TO PATCH ...")
		os.Exit(2)
	}
	from, to, patches := os.Args[1], os.Args[2], os.Args[3:]
	if err := run(from, to, patches); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(from, to string, patches []string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := copyPackages(from, to); err != nil {
		return err
	}
	for _, patch := range patches {
		if err := apply(patch, to); err != nil {
			return fmt.Errorf("%s does not fit %s: %w: adapt the patch, or remove it if the module no longer needs it",
				patch, filepath.Base(from), err)
		}
	}
	return nil
}

// copyPackages copies a module without the folders in which there is no package, such as those of its pictures.
func copyPackages(from, to string) error {
	module := os.DirFS(from)
	return fs.WalkDir(module, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if code, err := fs.Glob(module, path.Join(path.Dir(name), "*.go")); err != nil || len(code) == 0 {
			return err
		}
		content, err := fs.ReadFile(module, name)
		if err != nil {
			return err
		}
		return write(filepath.Join(to, name), content)
	})
}

// apply applies one patch to the files in a folder.
func apply(patch, folder string) error {
	file, err := os.Open(patch)
	if err != nil {
		return err
	}
	defer file.Close()
	changes, _, err := gitdiff.Parse(file)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return errors.New("it has no changes")
	}
	for _, change := range changes {
		var before, after bytes.Buffer
		if !change.IsNew {
			content, err := os.ReadFile(filepath.Join(folder, change.OldName))
			if err != nil {
				return err
			}
			before.Write(content)
		}
		if err := gitdiff.Apply(&after, bytes.NewReader(before.Bytes()), change); err != nil {
			return fmt.Errorf("%s: %w", change.OldName, err)
		}
		if err := write(filepath.Join(folder, change.NewName), after.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o666)
}
