package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"example.org/convbook/lib/safetensors"
)

// Files of a finished run.
const (
	configFile  = "config.json"       // what decides its result
	historyFile = "history.json"      // how it went
	modelFile   = "model.safetensors" // the network's variables
	resultFile  = "result.json"       // what it says of itself
	testFile    = "test.safetensors"  // what the network gives for each test image

	// sumsFile has the sums of all others, as sha256sum writes and checks them. It is written last.
	sumsFile = "SHA256SUMS"
)

var summedFiles = []string{configFile, historyFile, modelFile, resultFile, testFile}

// A run trains in a folder of its own and gets its name when it is finished, in one step: what has the name is whole. A
// run that was there before is kept under another name.
const (
	trainingSuffix = ".training"
	previousSuffix = ".previous"
)

func (r *Run) path(name string) string { return filepath.Join(r.dir, name) }

// damaged is the error of a finished run that is not what was written.
func (r *Run) damaged(format string, args ...any) error {
	return fmt.Errorf("the run in %s is damaged: %w: put its files back, or train it again with Fresh: true", r.dir, fmt.Errorf(format, args...))
}

// unreadable explains an error of reading one of a finished run's files: most are damage, some say nothing about the file.
func (r *Run) unreadable(err error) error {
	remedy := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		remedy = "whoever owns it must let you read it"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		remedy = "raise the number of files that may be open (ulimit -n)"
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENOMEM):
		remedy = "try again"
	default:
		return r.damaged("%w", err)
	}
	return fmt.Errorf("cannot read the run in %s: %w: %s", r.dir, err, remedy)
}

// cannotWrite explains an error of writing into the run's folder.
func (r *Run) cannotWrite(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot keep the run in %s: %w: make room or writable there, or set %s to another folder", r.dir, err, RunsEnv)
}

// load reads a finished run and compares all of its files with their sums. Without one it returns fs.ErrNotExist.
//
// It needs no lock and writes nothing, so a run can be used by whoever may read it. All files come from the folder that
// was there at first, even if a run that was trained again takes its place meanwhile.
func (r *Run) load() error {
	folder, err := os.OpenRoot(r.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		return r.unreadable(err)
	}
	defer folder.Close()
	read := func(name string) ([]byte, error) {
		content, err := readFile(folder, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, r.damaged("it has no %s", name)
		case err != nil:
			return nil, r.unreadable(err)
		}
		return content, nil
	}
	sums, err := read(sumsFile)
	if err != nil {
		return err
	}
	want, err := parseSums(sums)
	if err != nil {
		return r.damaged("%s: %w", sumsFile, err)
	}
	for _, name := range summedFiles {
		content, err := read(name)
		if err != nil {
			return err
		}
		if sum(content) != want[name] {
			return r.damaged("%s is not the one whose sum is in %s", name, sumsFile)
		}
		switch name {
		case configFile:
			if !bytes.Equal(content, r.about) {
				return r.damaged("%s is of another run", name)
			}
		case historyFile:
			err = json.Unmarshal(content, &r.History)
		case resultFile:
			err = json.Unmarshal(content, &r.Result)
		}
		if err != nil {
			return r.damaged("%s: %w", name, err)
		}
	}
	if n := len(r.History.Epochs); n != r.config.Epochs || len(r.History.Losses)%n != 0 {
		return r.damaged("%s has %d epochs and %d losses, not those of %d epochs", historyFile, n, len(r.History.Losses), r.config.Epochs)
	}
	now := time.Now()
	os.Chtimes(r.dir, now, now) // tells runs in use from those nobody asks for; not essential, so its error is dropped
	return nil
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

func sum(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

// writeSums finishes a run.
func (r *Run) writeSums() error {
	var lines strings.Builder
	for _, name := range summedFiles {
		content, err := os.ReadFile(r.path(name))
		if err != nil {
			return r.cannotWrite(err)
		}
		fmt.Fprintf(&lines, "%s  %s\n", sum(content), name)
	}
	return r.write(sumsFile, []byte(lines.String()))
}

// parseSums reads what writeSums wrote.
func parseSums(text []byte) (map[string]string, error) {
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line, whole := strings.CutSuffix(line, "\n")
		digits, name, ok := strings.Cut(line, "  ")
		if !whole || !ok || !slices.Contains(summedFiles, name) {
			return nil, fmt.Errorf("cannot read the line %q", line)
		}
		sums[name] = digits
	}
	return sums, nil
}

// readTensors reads one of the run's files of arrays.
func (r *Run) readTensors(name string) (map[string]safetensors.Tensor, error) {
	tensors, _, err := safetensors.Read(r.path(name))
	if err != nil {
		return nil, r.unreadable(err)
	}
	return tensors, nil
}

func (r *Run) write(name string, content []byte) error {
	return r.cannotWrite(renameio.WriteFile(r.path(name), content, 0o644, renameio.WithTempDir(r.dir)))
}

func (r *Run) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return r.write(name, append(text, '\n'))
}

// finished reports whether the run was trained to its end, but its process did not live to give it its name.
func (r *Run) finished() bool { return exists(filepath.Join(r.dir+trainingSuffix, sumsFile)) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// install gives a run that was trained to its end its name. A run that had it is kept, damaged or not. Checkpoints, whole
// or damaged, are of no use any more.
func (r *Run) install() error {
	training := r.dir + trainingSuffix
	entries, _ := os.ReadDir(training)
	for _, entry := range entries {
		if name := entry.Name(); name != sumsFile && !slices.Contains(summedFiles, name) {
			os.RemoveAll(filepath.Join(training, name))
		}
	}
	if exists(r.dir) {
		previous := r.dir + previousSuffix
		if err := os.RemoveAll(previous); err != nil {
			return r.cannotWrite(err)
		}
		if err := os.Rename(r.dir, previous); err != nil {
			return r.cannotWrite(err)
		}
	}
	return r.cannotWrite(os.Rename(training, r.dir))
}
