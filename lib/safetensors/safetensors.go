// Package safetensors reads and writes named tensors in the safetensors format, which PyTorch, JAX and others
// read too: eight bytes with the length of a header, the header as JSON, then the tensors' values one after another,
// all little-endian. https://huggingface.co/docs/safetensors
//
// Write adds the SHA-256 of the values to the file's metadata, and Read checks it when it is there.
package safetensors

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"unsafe"

	"github.com/google/renameio/v2"
)

// Tensor is an array of numbers of one type, the last dimension running fastest.
type Tensor struct {
	DType string // as the format names it, such as F32, I64 or BF16
	Dims  []int
	Bytes []byte
}

// bits are the sizes of the types.
var bits = map[string]int{"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
	"U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64}

// Float32 is a tensor of the values, which it shares.
func Float32(values []float32, dims ...int) Tensor {
	t := Tensor{DType: "F32", Dims: dims}
	if len(values) > 0 {
		t.Bytes = unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*len(values))
	}
	return t
}

// Float32s returns a copy of an F32 tensor's values. Like the rest of the book it assumes a little-endian machine.
func (t Tensor) Float32s() ([]float32, error) {
	if t.DType != "F32" {
		return nil, fmt.Errorf("a tensor of type %s is not read as F32", t.DType)
	}
	values := make([]float32, len(t.Bytes)/4)
	copy(Float32(values).Bytes, t.Bytes)
	return values, nil
}

// check makes sure that the dimensions, the type and the number of bytes agree.
func (t Tensor) check() error {
	size, ok := bits[t.DType]
	if !ok {
		return fmt.Errorf("is of unknown type %q", t.DType)
	}
	size /= 8
	for _, dim := range t.Dims {
		if dim < 0 || dim > 0 && size > math.MaxInt/dim {
			return fmt.Errorf("has dimensions %v", t.Dims)
		}
		size *= dim
	}
	if size != len(t.Bytes) {
		return fmt.Errorf("of dimensions %v and type %s has %d bytes, not %d", t.Dims, t.DType, len(t.Bytes), size)
	}
	return nil
}

// entry is a tensor in the header.
type entry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// checksum is the metadata key of the values' SHA-256.
const checksum = "sha256"

// Write puts the tensors and the metadata into the file at path, in one step: a reader finds the old file or the whole
// new one.
func Write(path string, tensors map[string]Tensor, metadata map[string]string) error {
	names := slices.Sorted(maps.Keys(tensors))
	header := map[string]any{}
	hash := sha256.New()
	offset := 0
	for _, name := range names {
		t := tensors[name]
		if err := t.check(); err != nil {
			return fmt.Errorf("tensor %s %w", name, err)
		}
		end := offset + len(t.Bytes)
		header[name] = entry{t.DType, append([]int{}, t.Dims...), [2]int{offset, end}}
		offset = end
		hash.Write(t.Bytes)
	}
	about := map[string]string{checksum: fmt.Sprintf("%x", hash.Sum(nil))}
	for key, value := range metadata {
		about[key] = value
	}
	header["__metadata__"] = about
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	text = append(text, bytes.Repeat([]byte(" "), -len(text)&7)...) // the values start at a multiple of 8

	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if err := binary.Write(file, binary.LittleEndian, uint64(len(text))); err != nil {
		return err
	}
	if _, err := file.Write(text); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := file.Write(tensors[name].Bytes); err != nil {
			return err
		}
	}
	return file.CloseAtomicallyReplace()
}

// Read returns the tensors and the metadata of the file at path. A file that is cut short, changed, or not of this
// format is an error that names it.
func Read(path string) (tensors map[string]Tensor, metadata map[string]string, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if tensors, metadata, err = decode(content); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, metadata, nil
}

func decode(content []byte) (map[string]Tensor, map[string]string, error) {
	if len(content) < 8 {
		return nil, nil, fmt.Errorf("not a safetensors file: it has %d bytes", len(content))
	}
	length, content := binary.LittleEndian.Uint64(content), content[8:]
	if length > uint64(len(content)) {
		return nil, nil, fmt.Errorf("cut short, or not a safetensors file: its header needs %d bytes, %d are there", length, len(content))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(content[:length], &header); err != nil {
		return nil, nil, fmt.Errorf("its header: %w", err)
	}
	values := content[length:]
	metadata := map[string]string{}
	if about, ok := header["__metadata__"]; ok {
		if err := json.Unmarshal(about, &metadata); err != nil {
			return nil, nil, fmt.Errorf("its metadata: %w", err)
		}
		delete(header, "__metadata__")
	}
	entries := map[string]entry{}
	end := 0
	for name, text := range header {
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, nil, fmt.Errorf("its tensor %s: %w", name, err)
		}
		entries[name] = e
		end = max(end, e.Offsets[1])
	}
	if end != len(values) {
		return nil, nil, fmt.Errorf("cut short or too long: its tensors need %d bytes, %d are there", end, len(values))
	}
	if want, ok := metadata[checksum]; ok {
		delete(metadata, checksum)
		if sum := fmt.Sprintf("%x", sha256.Sum256(values)); sum != want {
			return nil, nil, fmt.Errorf("damaged: the SHA-256 of its values is %s, not %s", sum, want)
		}
	}
	tensors := map[string]Tensor{}
	for name, e := range entries {
		from, to := e.Offsets[0], e.Offsets[1]
		if from < 0 || from > to {
			return nil, nil, fmt.Errorf("its tensor %s lies at bytes %d to %d", name, from, to)
		}
		t := Tensor{e.DType, e.Shape, values[from:to]}
		if err := t.check(); err != nil {
			return nil, nil, fmt.Errorf("its tensor %s %w", name, err)
		}
		tensors[name] = t
	}
	return tensors, metadata, nil
}
