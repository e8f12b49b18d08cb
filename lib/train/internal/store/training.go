package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"example.org/convbook/lib/safetensors"
)

// Begin makes the folder in which the run is trained, or takes the one that is there. What a process that was killed
// had begun to write is removed. Only the holder of the lock may call this and what follows.
func (r *Run) Begin() error {
	if err := os.MkdirAll(r.dir+trainingSuffix, 0o755); err != nil {
		return r.cannotWrite(err)
	}
	entries, _ := os.ReadDir(r.dir + trainingSuffix)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") { // renameio's temporary files
			os.Remove(r.trained(entry.Name()))
		}
	}
	return r.write(Config, r.about)
}

// checkpointName is what a checkpoint after a step is called. The names are in the order of the steps.
func checkpointName(step int) string { return fmt.Sprintf("checkpoint-%09d.safetensors", step) }

// checkpointStep is the step of a checkpoint with this name, if it is a name of one.
func checkpointStep(name string) (step int, ok bool) {
	_, err := fmt.Sscanf(name, "checkpoint-%d.safetensors", &step)
	return step, err == nil && name == checkpointName(step)
}

// checkpoints that a run keeps: the newest, and the one before in case the newest is damaged.
const keptCheckpoints = 2

// checkpoints lists the run's checkpoints, the newest first.
func (r *Run) checkpoints() (paths []string, err error) {
	entries, err := os.ReadDir(r.dir + trainingSuffix) // sorted by name
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, r.unreadable(err)
	}
	for _, entry := range entries {
		if _, ok := checkpointStep(entry.Name()); ok {
			paths = append(paths, r.trained(entry.Name()))
		}
	}
	slices.Reverse(paths)
	return paths, nil
}

// Kept is the step of the newest checkpoint, or 0 without one.
func (r *Run) Kept() (step int, err error) {
	paths, err := r.checkpoints()
	if len(paths) > 0 {
		step, _ = checkpointStep(filepath.Base(paths[0]))
	}
	return step, err
}

// Save writes a checkpoint, variables and where the training stands after the step, and removes those that are too old.
func (r *Run) Save(step int, variables map[string]safetensors.Tensor, position any) error {
	text, err := json.Marshal(position)
	if err != nil {
		return err
	}
	path := r.trained(checkpointName(step))
	metadata := map[string]string{"run": sum(r.about), "position": string(text)}
	if err := safetensors.Write(path, variables, metadata); err != nil {
		return r.cannotWrite(err)
	}
	all, _ := r.checkpoints() // the new one is kept; what is too old can wait for the next
	for _, old := range all[min(keptCheckpoints, len(all)):] {
		os.Remove(old)
	}
	return nil
}

// Restore takes what a checkpoint holds, or refuses it.
type Restore func(variables map[string]safetensors.Tensor, position []byte) error

// Resume gives restore what the newest checkpoint holds that is whole and that restore takes, if there is any. What is
// damaged or not taken is set aside, and said. What cannot be read stays, since it may be whole: it is an error.
func (r *Run) Resume(restore Restore, say func(string)) error {
	paths, err := r.checkpoints()
	if err != nil {
		return err
	}
	for _, path := range paths {
		err := r.restore(path, restore)
		if err == nil {
			return nil
		}
		if unread := r.unread(err); unread != nil {
			return unread
		}
		if err := os.Rename(path, path+".damaged"); err != nil {
			return r.cannotWrite(err)
		}
		say(fmt.Sprintf("%v; set aside, going on from the checkpoint before it", err))
	}
	return nil
}

func (r *Run) restore(path string, restore Restore) error {
	variables, metadata, err := safetensors.Read(path)
	if err != nil {
		return fmt.Errorf("checkpoint %w", err)
	}
	if metadata["run"] != sum(r.about) {
		return fmt.Errorf("checkpoint %s: it is of another run", path)
	}
	if err := restore(variables, []byte(metadata["position"])); err != nil {
		return fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return nil
}

// WriteJSON writes a file of the run that is trained.
func (r *Run) WriteJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return r.write(name, append(text, '\n'))
}

// WriteTensors writes a file of arrays of the run that is trained.
func (r *Run) WriteTensors(name string, tensors map[string]safetensors.Tensor, metadata map[string]string) error {
	return r.cannotWrite(safetensors.Write(r.trained(name), tensors, metadata))
}

// Finish writes the sums: a run that has them is whole and can get its name.
func (r *Run) Finish() error {
	var sums []byte
	for _, name := range summedFiles {
		content, err := os.ReadFile(r.trained(name))
		if err != nil {
			return r.cannotWrite(err)
		}
		sums = append(sums, r.sumLine(name, content)...)
	}
	return r.write(sumsFile, sums)
}

func (r *Run) write(name string, content []byte) error {
	return r.cannotWrite(renameio.WriteFile(r.trained(name), content, 0o644, renameio.WithTempDir(r.dir+trainingSuffix)))
}
