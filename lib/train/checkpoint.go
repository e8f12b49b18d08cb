package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/safetensors"
)

// position is where a training stands, beside its variables. The order of the images follows from the seed and the
// epoch, so this is all that an exact resumption needs.
type position struct {
	Step           int     `json:"step"` // steps done since the start
	TrainSeconds   float64 `json:"train_seconds"`
	CompileSeconds float64 `json:"compile_seconds"`
	Started        int64   `json:"started"` // Unix time
	History        History `json:"history"`
}

// Checkpoints that a run keeps: the newest, and the one before in case the newest is damaged.
const keptCheckpoints = 2

// dtypeNames are safetensors' names for GoMLX's types.
var dtypeNames = map[dtypes.DType]string{
	dtypes.Float32: "F32", dtypes.Float64: "F64", dtypes.Float16: "F16", dtypes.BFloat16: "BF16",
	dtypes.Int8: "I8", dtypes.Int16: "I16", dtypes.Int32: "I32", dtypes.Int64: "I64",
	dtypes.Uint8: "U8", dtypes.Uint16: "U16", dtypes.Uint32: "U32", dtypes.Uint64: "U64", dtypes.Bool: "BOOL",
}

// variables copies the store's variables for which keep is true.
func variables(store *model.Store, keep func(v *model.Variable) bool) (map[string]safetensors.Tensor, error) {
	saved := map[string]safetensors.Tensor{}
	for v := range store.IterVariables() {
		if !keep(v) {
			continue
		}
		value, err := v.Value()
		if err != nil {
			return nil, oneLine(err)
		}
		t := safetensors.Tensor{DType: dtypeNames[v.DType()], Dims: v.Shape().Dimensions}
		if err := value.ConstBytes(func(data []byte) { t.Bytes = slices.Clone(data) }); err != nil {
			return nil, oneLine(err)
		}
		saved[v.Path()] = t
	}
	return saved, nil
}

// setVariables gives the store's variables the saved values. They must be the same variables: of the same names, types
// and dimensions.
func setVariables(store *model.Store, saved map[string]safetensors.Tensor) error {
	n := 0
	for v := range store.IterVariables() {
		t, ok := saved[v.Path()]
		if !ok || t.DType != dtypeNames[v.DType()] || !slices.Equal(t.Dims, v.Shape().Dimensions) {
			return fmt.Errorf("it is of another network: there is no %s of type %s and dimensions %v in it",
				v.Path(), dtypeNames[v.DType()], v.Shape().Dimensions)
		}
		n++
	}
	if n != len(saved) {
		return fmt.Errorf("it is of another network: it has %d variables, not %d", len(saved), n)
	}
	for v := range store.IterVariables() {
		value, err := tensors.FromRaw(nil, 0, shapes.Make(v.DType(), v.Shape().Dimensions...), saved[v.Path()].Bytes)
		if err == nil {
			err = v.SetValue(value)
		}
		if err != nil {
			return oneLine(err)
		}
	}
	return nil
}

// checkpoints lists the run's checkpoints, the newest first.
func (r *Run) checkpoints() (paths []string) {
	entries, _ := os.ReadDir(r.dir) // sorted by name
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, "checkpoint-") && strings.HasSuffix(name, ".safetensors") {
			paths = append(paths, r.path(name))
		}
	}
	slices.Reverse(paths)
	return paths
}

// sweep removes what a process that was killed had begun to write. Only the holder of the lock writes here.
func (r *Run) sweep() {
	entries, _ := os.ReadDir(r.dir)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") { // renameio's temporary files
			os.Remove(r.path(entry.Name()))
		}
	}
}

// save writes a checkpoint and removes the ones that are too old.
func (r *Run) save(store *model.Store, at position) error {
	saved, err := variables(store, func(*model.Variable) bool { return true })
	if err != nil {
		return err
	}
	text, err := json.Marshal(at)
	if err != nil {
		return err
	}
	path := r.path(fmt.Sprintf("checkpoint-%09d.safetensors", at.Step))
	if err := safetensors.Write(path, saved, map[string]string{"run": sum(r.about), "position": string(text)}); err != nil {
		return r.cannotWrite(err)
	}
	for i, old := range r.checkpoints() {
		if i >= keptCheckpoints {
			os.Remove(old)
		}
	}
	return nil
}

// resume sets the store's variables to the newest checkpoint that is whole, and returns where it stood. Without any it
// returns the start. What is damaged is set aside, and said.
func (r *Run) resume(store *model.Store, batches int) (at position, err error) {
	for _, path := range r.checkpoints() {
		at, err := r.readCheckpoint(path, store, batches)
		if err == nil {
			return at, nil
		}
		if errors.Is(err, os.ErrPermission) {
			return position{}, err
		}
		if err := os.Rename(path, path+".damaged"); err != nil {
			return position{}, r.cannotWrite(err)
		}
		fmt.Fprintf(r.config.Out, "%v; set aside, going on from the checkpoint before it\n", err)
	}
	return position{}, nil
}

func (r *Run) readCheckpoint(path string, store *model.Store, batches int) (at position, err error) {
	saved, metadata, err := safetensors.Read(path)
	if err != nil {
		return at, fmt.Errorf("checkpoint %w", err)
	}
	if metadata["run"] != sum(r.about) {
		return at, fmt.Errorf("checkpoint %s: it is of another run", path)
	}
	if err := json.Unmarshal([]byte(metadata["position"]), &at); err != nil || !at.possible(batches, r.config.Epochs) {
		return at, fmt.Errorf("checkpoint %s: it cannot be from where it says, after step %d", path, at.Step)
	}
	if err := setVariables(store, saved); err != nil {
		return at, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return at, nil
}

// possible reports whether a training of so many batches an epoch can stand there: at the loss after each step, and at the
// test after each epoch, but for the last one perhaps.
func (at position) possible(batches, epochs int) bool {
	done, tested := at.Step/batches, len(at.History.Epochs)
	return at.Step > 0 && at.Step <= epochs*batches && len(at.History.Losses) == at.Step && tested < epochs &&
		(tested == done || tested == done-1 && at.Step%batches == 0)
}
