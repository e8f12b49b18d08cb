package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"example.org/convbook/lib/safetensors"
)

// Files of a finished run.
const (
	Config  = "config.json"       // what decides its result
	History = "history.json"      // how it went
	Model   = "model.safetensors" // the network's variables
	Result  = "result.json"       // what it says of itself
	Test    = "test.safetensors"  // what the network gives for each test image

	// sumsFile has the sums of all others, as sha256sum writes and checks them. It is written last.
	sumsFile = "SHA256SUMS"
)

var summedFiles = []string{Config, History, Model, Result, Test}

// Load reads the finished run, compares all of its files with their sums and decodes those that into names, which are
// JSON. Without a finished run, or if it is removed meanwhile, it returns fs.ErrNotExist.
//
// It needs no lock and writes nothing, so a run can be used by whoever may read it. All files come from the folder that
// was there at first, even if a run that was trained again takes its place meanwhile.
func (r *Run) Load(into map[string]any) error {
	err := r.load(into)
	if err != nil && !exists(r.dir) {
		return fs.ErrNotExist
	}
	return err
}

func (r *Run) load(into map[string]any) error {
	folder, err := os.OpenRoot(r.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		return r.unreadable(err)
	}
	defer folder.Close()
	sums, err := r.read(folder, sumsFile)
	if err != nil {
		return err
	}
	var wanted []byte
	for _, name := range summedFiles {
		content, err := r.read(folder, name)
		if err != nil {
			return err
		}
		line := r.sumLine(name, content)
		if !bytes.Contains(sums, line) {
			return r.Damaged("%s is not the one whose sum is in %s", name, sumsFile)
		}
		if name == Config && !bytes.Equal(content, r.about) {
			return r.Damaged("%s is of another run", name)
		}
		wanted = append(wanted, line...)
		if v, ok := into[name]; ok {
			if err := json.Unmarshal(content, v); err != nil {
				return r.Damaged("%s: %w", name, err)
			}
		}
	}
	if !bytes.Equal(sums, wanted) {
		return r.Damaged("%s has more in it than the files' sums", sumsFile)
	}
	now := time.Now()
	os.Chtimes(r.dir, now, now) // tells runs in use from those nobody asks for; not essential, so its error is dropped
	return nil
}

// read reads a file of the run's folder.
func (r *Run) read(folder *os.Root, name string) ([]byte, error) {
	content, err := readFile(folder, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, r.Damaged("it has no %s", name)
	case err != nil:
		return nil, r.unreadable(err)
	}
	return content, nil
}

// readFile reads a file of a folder, if it is one: a pipe in its place must not make the program wait.
func readFile(folder *os.Root, name string) ([]byte, error) {
	info, err := folder.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	return folder.ReadFile(name)
}

// Tensors reads one of the finished run's files of arrays.
func (r *Run) Tensors(name string) (map[string]safetensors.Tensor, error) {
	tensors, _, err := safetensors.Read(r.path(name))
	if err != nil {
		return nil, r.unreadable(err)
	}
	return tensors, nil
}

// sumLine is the line of a file in the sums. The model's is remembered.
func (r *Run) sumLine(name string, content []byte) []byte {
	digits := sum(content)
	if name == Model {
		r.model = digits
	}
	return sumLine(digits, name)
}

func sumLine(digits, name string) []byte { return fmt.Appendf(nil, "%s  %s\n", digits, name) }

// ModelSum identifies the variables of the run's network, once it is loaded or finished.
func (r *Run) ModelSum() string { return r.model }

// Trained reports whether the run was trained to its end, but its process did not live to give it its name.
func (r *Run) Trained() bool { return exists(r.trained(sumsFile)) }

// Install gives a run that was trained to its end its name. A run that had it is kept, damaged or not. Checkpoints,
// whole or damaged, are of no use any more.
func (r *Run) Install() error {
	entries, _ := os.ReadDir(r.dir + trainingSuffix)
	for _, entry := range entries {
		if name := entry.Name(); name != sumsFile && name != labelFile && !slices.Contains(summedFiles, name) {
			os.RemoveAll(r.trained(name))
		}
	}
	if exists(r.dir) {
		previous := r.previous()
		if err := discard(previous); err != nil {
			return r.cannotWrite(err)
		}
		if err := os.Rename(r.dir, previous); err != nil {
			return r.cannotWrite(err)
		}
	}
	return r.cannotWrite(os.Rename(r.dir+trainingSuffix, r.dir))
}

// previous is where a run goes that is replaced: where the one before it went, unless that is pinned.
func (r *Run) previous() string {
	dir := r.dir + previousSuffix
	for n := 2; exists(dir) && labelOf(dir).Pinned; n++ {
		dir = fmt.Sprintf("%s%s-%d", r.dir, previousSuffix, n)
	}
	return dir
}
