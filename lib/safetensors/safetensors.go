// Package safetensors reads and writes named tensors in the safetensors format, which PyTorch, JAX and others
// read too: eight bytes with the length of a header, the header as JSON, then the tensors' values one after another,
// all little-endian. https://huggingface.co/docs/safetensors
//
// Read is as strict as the format's own library, and refuses names that come twice, too. Write adds the SHA-256 of the
// whole file to its metadata, and Read checks it when it is there.
package safetensors

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gomlx/compute/dtypes/float16"
	"github.com/google/renameio/v2"
)

// Tensor is an array of numbers of one type, the last dimension running fastest.
type Tensor struct {
	DType string // as the format names it, such as F32, I64 or BF16
	Dims  []int
	Bytes []byte
}

// bitSizes are the sizes of the types' values.
var bitSizes = map[string]uint64{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
	"F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32,
	"F32": 32, "C64": 64, "U64": 64, "I64": 64, "F64": 64}

// Float32 is a tensor of the values, which it shares.
func Float32(values []float32, dims ...int) Tensor {
	t := Tensor{DType: "F32", Dims: dims}
	if len(values) > 0 {
		t.Bytes = unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*len(values))
	}
	return t
}

// Float32s returns a copy of a tensor's values: F32, F16 and BF16 as they are, F64 rounded. Like the rest of the book it
// assumes a little-endian machine.
func (t Tensor) Float32s() ([]float32, error) {
	var values []float32
	switch t.DType {
	case "F32":
		values = make([]float32, len(t.Bytes)/4)
		copy(Float32(values).Bytes, t.Bytes)
	case "F16":
		values = make([]float32, len(t.Bytes)/2)
		for i := range values {
			values[i] = float16.Float16(binary.LittleEndian.Uint16(t.Bytes[2*i:])).Float32()
		}
	case "BF16": // the upper half of an F32
		values = make([]float32, len(t.Bytes)/2)
		for i := range values {
			values[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.Bytes[2*i:])) << 16)
		}
	case "F64":
		values = make([]float32, len(t.Bytes)/8)
		for i := range values {
			values[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(t.Bytes[8*i:])))
		}
	default:
		return nil, fmt.Errorf("a tensor of type %s is not read as F32", t.DType)
	}
	return values, nil
}

// entry is a tensor in the header.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []number `json:"shape"`
	Offsets []number `json:"data_offsets"` // of the first byte and behind the last
}

// number is a whole number that is not negative.
type number int

// UnmarshalJSONFrom refuses null, which would be read as 0 without it.
func (n *number) UnmarshalJSONFrom(in *jsontext.Decoder) error {
	text, err := in.ReadValue()
	if err != nil {
		return err
	}
	value, err := strconv.ParseUint(string(text), 10, 63)
	if err != nil {
		return fmt.Errorf("%s is not a size", text)
	}
	*n = number(value)
	return nil
}

// check makes sure that the dimensions, the type and the place of the values agree.
func (e entry) check() error {
	size, ok := bitSizes[e.DType]
	if !ok {
		return fmt.Errorf("is of unknown type %q", e.DType)
	}
	if e.Shape == nil || len(e.Offsets) != 2 {
		return fmt.Errorf("lacks its shape or its two offsets")
	}
	var over uint64
	values := uint64(1)
	for _, dim := range e.Shape {
		if over, values = bits.Mul64(values, uint64(dim)); dim < 0 || over > 0 {
			return fmt.Errorf("has dimensions %v", e.Shape)
		}
	}
	if over, size = bits.Mul64(values, size); over > 0 || size%8 != 0 {
		return fmt.Errorf("has dimensions %v", e.Shape)
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from > to || uint64(to-from) != size/8 {
		return fmt.Errorf("of dimensions %v and type %s has bytes %d to %d, not %d", e.Shape, e.DType, from, to, size/8)
	}
	return nil
}

const (
	aboutKey  = "__metadata__"
	maxHeader = 100_000_000 // the format's limit

	// Metadata of Write's own: who wrote the file, so a missing sum is noticed, and the SHA-256 of the file with zeros in its
	// place. Earlier versions wrote, without the first, a SHA-256 of the values alone.
	writer, convbook = "writer", "convbook"
	checksum         = "sha256"
)

var zeros = strings.Repeat("0", 2*sha256.Size)

// Write puts the tensors and the metadata into the file at path, in one step: a reader finds the old file or the whole
// new one.
func Write(path string, tensors map[string]Tensor, metadata map[string]string) error {
	about := map[string]string{writer: convbook, checksum: zeros}
	for key, value := range metadata {
		if _, ok := about[key]; ok {
			return fmt.Errorf("%s: the metadata's %s is not to be given", path, key)
		}
		about[key] = value
	}
	names := slices.Sorted(maps.Keys(tensors))
	header := map[string]any{aboutKey: about}
	offset := 0
	for _, name := range names {
		t := tensors[name]
		e := entry{DType: t.DType, Shape: []number{}, Offsets: []number{number(offset), number(offset + len(t.Bytes))}}
		for _, dim := range t.Dims {
			e.Shape = append(e.Shape, number(dim))
		}
		if err := e.check(); err != nil {
			return fmt.Errorf("%s: tensor %q %w", path, name, err)
		}
		if name == aboutKey {
			return fmt.Errorf("%s: a tensor cannot have the name %s", path, name)
		}
		header[name] = e
		offset += len(t.Bytes)
	}
	hash := sha256.New()
	start, err := beginning(header)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	hash.Write(start)
	for _, name := range names {
		hash.Write(tensors[name].Bytes)
	}
	about[checksum] = fmt.Sprintf("%x", hash.Sum(nil))
	if start, err = beginning(header); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}

	if err := writeFile(path, start, names, tensors); err != nil {
		return cannotWrite(path, err)
	}
	return nil
}

// writeFile writes the beginning and the values behind it.
func writeFile(path string, start []byte, names []string, tensors map[string]Tensor) error {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if _, err := file.Write(start); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := file.Write(tensors[name].Bytes); err != nil {
			return err
		}
	}
	return file.CloseAtomicallyReplace()
}

// WriteError is why the file at Path was not written. It names that file and not the temporary one, and a remedy.
type WriteError struct {
	Path string
	Err  error // the system's
}

func cannotWrite(path string, err error) error {
	var of *fs.PathError
	var renamed *os.LinkError
	switch {
	case errors.As(err, &of):
		err = of.Err
	case errors.As(err, &renamed):
		err = renamed.Err
	}
	return &WriteError{path, err}
}

func (e *WriteError) Error() string {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return fmt.Sprintf("cannot write %s: %v: make the folder %s first", e.Path, e.Err, filepath.Dir(e.Path))
	}
	return fmt.Sprintf("cannot write %s: %v: make room or writable there", e.Path, e.Err)
}

func (e *WriteError) Unwrap() error { return e.Err }

// beginning is what comes before the values, which start at a multiple of 8.
func beginning(header map[string]any) ([]byte, error) {
	text, err := json.Marshal(header, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	text = append(text, bytes.Repeat([]byte(" "), -len(text)&7)...)
	if len(text) > maxHeader {
		return nil, fmt.Errorf("names and metadata of %d bytes are more than the format has room for", len(text))
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}

// Read returns the tensors and the metadata of the file at path. A file that is cut short, changed, or not of this
// format is an error that names it.
func Read(path string) (tensors map[string]Tensor, metadata map[string]string, err error) {
	return read(path, io.Discard)
}

// ReadSum returns the tensors of the file at path, as Read does, and the file's sum as sha256sum prints it.
func ReadSum(path string) (tensors map[string]Tensor, digits string, err error) {
	sum := sha256.New()
	tensors, _, err = read(path, sum)
	return tensors, hex.EncodeToString(sum.Sum(nil)), err
}

// read copies to all what it reads.
func read(path string, all io.Writer) (tensors map[string]Tensor, metadata map[string]string, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a file", path)
	}
	if tensors, metadata, err = decode(io.TeeReader(file, all), info.Size()); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, metadata, nil
}

// decode reads a file of that size. It takes no memory for what the header says before the size has proved it.
func decode(in io.Reader, size int64) (tensors map[string]Tensor, metadata map[string]string, err error) {
	start := make([]byte, min(8, size))
	if _, err := io.ReadFull(in, start); err != nil {
		return nil, nil, err
	}
	if len(start) < 8 {
		return nil, nil, fmt.Errorf("not a safetensors file: it has %d bytes", size)
	}
	if string(start) == "version " {
		return nil, nil, fmt.Errorf("not a safetensors file but Git LFS's pointer to one: run git lfs pull where it comes from")
	}
	length, size := binary.LittleEndian.Uint64(start), size-8
	if length > maxHeader {
		return nil, nil, fmt.Errorf("not a safetensors file: its header would have %d bytes", length)
	}
	if int64(length) > size {
		return nil, nil, fmt.Errorf("cut short, or not a safetensors file: its header needs %d bytes, %d are there", length, size)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(in, text); err != nil {
		return nil, nil, err
	}
	entries, metadata, err := parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("its header: %w", err)
	}
	end, err := contiguous(entries)
	if err != nil {
		return nil, nil, err
	}
	if size -= int64(length); int64(end) != size {
		return nil, nil, fmt.Errorf("cut short or too long: its tensors need %d bytes, %d are there", end, size)
	}
	values := make([]byte, size)
	if _, err := io.ReadFull(in, values); err != nil {
		return nil, nil, err
	}
	if err := verify(metadata, start, text, values); err != nil {
		return nil, nil, err
	}
	tensors = map[string]Tensor{}
	for name, e := range entries {
		t := Tensor{DType: e.DType, Dims: []int{}, Bytes: values[e.Offsets[0]:e.Offsets[1]:e.Offsets[1]]}
		for _, dim := range e.Shape {
			t.Dims = append(t.Dims, int(dim))
		}
		tensors[name] = t
	}
	return tensors, metadata, nil
}

// parse reads the header.
func parse(text []byte) (entries map[string]entry, metadata map[string]string, err error) {
	if err := plain(text); err != nil {
		return nil, nil, err
	}
	var header map[string]jsontext.Value
	if err := unmarshal(text, &header); err != nil {
		return nil, nil, err
	}
	if header == nil {
		return nil, nil, fmt.Errorf("it is null")
	}
	metadata = map[string]string{}
	if about, ok := header[aboutKey]; ok {
		pairs := map[string]*string{}
		if err := unmarshal(about, &pairs); err != nil {
			return nil, nil, fmt.Errorf("its metadata: %w", err)
		}
		for key, value := range pairs {
			if value == nil {
				return nil, nil, fmt.Errorf("its metadata's %q is null", key)
			}
			metadata[key] = *value
		}
		delete(header, aboutKey)
	}
	entries = map[string]entry{}
	for name, text := range header {
		var e entry
		if err := unmarshal(text, &e); err != nil {
			return nil, nil, fmt.Errorf("its tensor %q: %w", name, err)
		}
		if err := e.check(); err != nil {
			return nil, nil, fmt.Errorf("its tensor %q %w", name, err)
		}
		entries[name] = e
	}
	return entries, metadata, nil
}

// unmarshal is JSON's, with errors that do not speak of Go.
func unmarshal(text []byte, value any) error {
	err := json.Unmarshal(text, value)
	wrong := new(json.SemanticError)
	if !errors.As(err, &wrong) {
		return err
	}
	if err = wrong.Err; err == nil {
		err = fmt.Errorf("%v is not what belongs there", wrong.JSONKind)
	}
	if wrong.JSONPointer != "" {
		err = fmt.Errorf("at %q: %w", wrong.JSONPointer, err)
	}
	return err
}

// plain refuses what the format's own library does not read although it is JSON: deep nesting and huge numbers.
func plain(text []byte) error {
	for in := jsontext.NewDecoder(bytes.NewReader(text)); ; {
		token, err := in.ReadToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if in.StackDepth() > 127 {
			return fmt.Errorf("it is nested too deeply")
		}
		if token.Kind() == '0' {
			if _, err := strconv.ParseFloat(token.String(), 64); err != nil {
				return err
			}
		}
	}
}

// contiguous makes sure that the tensors lie one after another, in whatever order, and returns where the last one ends.
func contiguous(entries map[string]entry) (end number, err error) {
	names := slices.SortedFunc(maps.Keys(entries), func(a, b string) int {
		return cmp.Or(slices.Compare(entries[a].Offsets, entries[b].Offsets), cmp.Compare(a, b))
	})
	for _, name := range names {
		if from := entries[name].Offsets[0]; from != end {
			return 0, fmt.Errorf("its tensor %q begins at byte %d, but the one before it ends at %d", name, from, end)
		}
		end = entries[name].Offsets[1]
	}
	return end, nil
}

var hexadecimal = regexp.MustCompile(`^[0-9a-f]{64}$`)

// verify checks the sum of the parts of a file if it has one, and takes it out of the metadata. Without a writer it is
// one of an earlier version, and where it cannot be a sum, it is something else that somebody calls sha256.
func verify(metadata map[string]string, start, header, values []byte) error {
	want := metadata[checksum]
	own := metadata[writer] == convbook
	if !own && !hexadecimal.MatchString(want) {
		return nil
	}
	hash := sha256.New()
	if own {
		hash.Write(start)
		hash.Write(bytes.Replace(header, []byte(want), []byte(zeros), 1))
		delete(metadata, writer)
	}
	hash.Write(values)
	if sum := fmt.Sprintf("%x", hash.Sum(nil)); sum != want {
		return fmt.Errorf("damaged: its SHA-256 is %s, not %s", sum, want)
	}
	delete(metadata, checksum)
	return nil
}
