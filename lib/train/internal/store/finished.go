package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
// It needs no lock and writes nothing, so a run can be used by whoever may read it. All files come from one folder, even
// if a run that was trained again takes its place meanwhile.
func (r *Run) Load(into map[string]any) error {
	for {
		there, err := r.loadOnce(into)
		if there || err != nil {
			return err
		}
	}
}

// loadOnce loads the run from the folder that has the name, and reports whether it still had it in the end.
func (r *Run) loadOnce(into map[string]any) (there bool, err error) {
	folder, err := os.OpenRoot(r.dir)
	if err != nil {
		return false, r.notThere(err)
	}
	defer folder.Close() // not before the end: as long as it is open, no other folder is taken for it
	damage := r.load(folder, into)
	if damage == nil {
		return true, nil
	}
	if there, err = has(r.dir, folder); err != nil {
		return false, r.notThere(err)
	}
	if !there { // it is not damaged but was replaced and removed meanwhile
		return false, nil
	}
	return true, damage
}

// has reports whether the folder that is open still has the name.
func has(name string, folder *os.Root) (bool, error) {
	was, err := folder.Stat(".")
	if err != nil {
		return false, err
	}
	now, err := os.Stat(name)
	return err == nil && os.SameFile(was, now), err
}

// notThere is the error of a run's folder that cannot be found.
func (r *Run) notThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fs.ErrNotExist
	}
	return r.unreadable(err)
}

func (r *Run) load(folder *os.Root, into map[string]any) error {
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

// Tensors reads one of the files of arrays of the run that was loaded or finished, even if one that was trained again has
// taken its place meanwhile.
func (r *Run) Tensors(name string) (map[string]safetensors.Tensor, error) {
	tensors, err := r.tensors(r.dir, name)
	if err == nil {
		return tensors, nil
	}
	replaced, _ := filepath.Glob(escape(r.dir+previousSuffix) + "*")
	for _, dir := range append(replaced, r.dir+trainingSuffix) {
		if tensors, err := r.tensors(dir, name); err == nil {
			return tensors, nil
		}
	}
	if now := (&Run{dir: r.dir, about: r.about}); now.Load(nil) == nil && now.sums[name] != r.sums[name] {
		return nil, fmt.Errorf("the run in %s was trained again since it was loaded: load it again", r.dir)
	}
	return nil, r.unreadable(err)
}

func (r *Run) tensors(dir, name string) (map[string]safetensors.Tensor, error) {
	tensors, digits, err := safetensors.ReadSum(filepath.Join(dir, name))
	if err == nil && digits != r.sums[name] {
		err = fmt.Errorf("%s is not the one that was loaded", name)
	}
	return tensors, err
}

// sumLine is the line of a file in the sums, which is remembered.
func (r *Run) sumLine(name string, content []byte) []byte {
	if r.sums == nil {
		r.sums = map[string]string{}
	}
	r.sums[name] = sum(content)
	return sumLine(r.sums[name], name)
}

func sumLine(digits, name string) []byte { return fmt.Appendf(nil, "%s  %s\n", digits, name) }

// ModelSum identifies the variables of the run's network, once it is loaded or finished.
func (r *Run) ModelSum() string { return r.sums[Model] }

// Trained reports whether the run was trained to its end, but its process did not live to give it its name.
func (r *Run) Trained() bool { return exists(r.trained(sumsFile)) }

// Install gives a run that was trained to its end its name. A run that had it is kept, damaged or not, and there is no
// moment at which nothing has the name. Checkpoints, whole or damaged, are of no use any more.
func (r *Run) Install() error {
	entries, _ := os.ReadDir(r.dir + trainingSuffix)
	for _, entry := range entries {
		if name := entry.Name(); name != sumsFile && name != labelFile && !slices.Contains(summedFiles, name) {
			os.RemoveAll(r.trained(name))
		}
	}
	if !exists(r.dir) {
		return r.cannotWrite(os.Rename(r.dir+trainingSuffix, r.dir))
	}
	return r.cannotWrite(r.replace())
}
