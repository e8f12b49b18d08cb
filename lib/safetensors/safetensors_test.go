package safetensors

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
)

func TestWriteThenRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	tensors := map[string]Tensor{
		"net/weights": Float32([]float32{1, -2.5, 3e-9, float32(math.Inf(1))}, 2, 2),
		"scalar":      Float32([]float32{7}),
		"none":        Float32(nil, 0, 3),
		"state":       {"U64", []int{2}, []byte("0123456789abcdef")},
	}
	if err := Write(path, tensors, map[string]string{"step": "12"}); err != nil {
		t.Fatal(err)
	}
	got, metadata, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || metadata["step"] != "12" || len(metadata) != 1 {
		t.Errorf("read %v with metadata %v", got, metadata)
	}
	values, err := got["net/weights"].Float32s()
	if err != nil || !reflect.DeepEqual(values, []float32{1, -2.5, 3e-9, float32(math.Inf(1))}) {
		t.Errorf("weights: %v, %v", values, err)
	}
	if string(got["state"].Bytes) != "0123456789abcdef" {
		t.Errorf("state: %v", got["state"])
	}
	if _, err := got["state"].Float32s(); err == nil {
		t.Error("a U64 tensor was read as F32")
	}
}

// Numbers of each type by their bits, as IEEE 754 and the definition of bfloat16 have them.
func TestFloat32sOfOtherTypes(t *testing.T) {
	infinity := float32(math.Inf(-1))
	for dtype, c := range map[string]struct {
		bytes []byte
		want  []float32
	}{
		"F16": {[]byte{0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x55, 0x35, 0x01, 0x00, 0x00, 0xfc},
			[]float32{1, -2, 65504, 0.333251953125, 1.0 / (1 << 24), infinity}},
		"BF16": {[]byte{0x80, 0x3f, 0x49, 0x40, 0x80, 0x00, 0x80, 0xff}, []float32{1, 3.140625, 0x1p-126, infinity}},
		"F64":  {[]byte{0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xd5, 0x3f}, []float32{1.0 / 3}},
	} {
		got, err := Tensor{dtype, []int{len(c.want)}, c.bytes}.Float32s()
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", dtype, got, err, c.want)
		}
	}
}

// A file written by hand from the format's description, with the values at odd places and no checksum.
func TestReadWhatOthersWrite(t *testing.T) {
	header := `{"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`
	content := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	content = append(content, header...)
	content = binary.LittleEndian.AppendUint32(content, math.Float32bits(0.5))
	content = binary.LittleEndian.AppendUint32(content, math.Float32bits(-8))
	path := filepath.Join(t.TempDir(), "x.safetensors")
	os.WriteFile(path, content, 0o644)
	got, _, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := got["a"].Float32s()
	b, _ := got["b"].Float32s()
	if a[0] != 0.5 || b[0] != -8 {
		t.Errorf("a = %v, b = %v", a, b)
	}
}

// verdicts are files in and out of the format, each with what the format's own library says: see verdicts.py.
//
//go:embed testdata/verdicts.jsonl
var verdicts string

type verdict struct {
	What, File string
	Reads      bool
	Stricter   string // why the file is to be refused although that library reads it
}

func (v verdict) content() (bytes []byte) {
	for _, r := range v.File {
		bytes = append(bytes, byte(r))
	}
	return bytes
}

func eachVerdict(tb testing.TB, do func(verdict)) {
	for line := range strings.Lines(verdicts) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			tb.Fatal(err)
		}
		do(v)
	}
}

func decodeBytes(content []byte) (map[string]Tensor, map[string]string, error) {
	return decode(bytes.NewReader(content), int64(len(content)))
}

func TestReadsWhatTheFormatsOwnLibraryReads(t *testing.T) {
	n := 0
	eachVerdict(t, func(v verdict) {
		n++
		_, _, err := decodeBytes(v.content())
		if want := v.Reads && v.Stricter == ""; want != (err == nil) {
			t.Errorf("%s: error %v, want it read: %v %s\n%q", v.What, err, want, v.Stricter, v.File)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error of several lines: %v", v.What, err)
		}
	})
	if n < 600 {
		t.Errorf("%d cases", n)
	}
}

// Whatever byte of a file that Write wrote is damaged, in its header or its values, it is noticed; padding aside.
func TestReadNoticesEveryChangedBit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	tensors := map[string]Tensor{"a": Float32([]float32{1, 2, 3, 4}, 2, 2), "b": Float32([]float32{5}), "none": Float32(nil, 0, 3)}
	if err := Write(path, tensors, map[string]string{"position": `{"step":1234}`}); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[at] ^= 1 << bit
			if got, metadata, err := decodeBytes(bad); err == nil {
				t.Errorf("bit %d of byte %d changed %q to %q, and it was read: %v %v", bit, at, good[at], bad[at], got, metadata)
			}
		}
	}
	for size := range good {
		if _, _, err := decodeBytes(good[:size]); err == nil {
			t.Errorf("read of %d bytes", size)
		}
	}
	if _, _, err := decodeBytes(append(bytes.Clone(good), 0)); err == nil {
		t.Error("read with a byte more")
	}
}

// Files of the book's earlier versions have a sum of their values alone, under the same name. What is no sum is none.
func TestReadChecksTheSumOfEarlierVersions(t *testing.T) {
	values := "0123456789abcdef"
	for sum, want := range map[string]map[string]string{
		fmt.Sprintf("%x", sha256.Sum256([]byte(values))): {"step": "12"},
		strings.Repeat("0", 64):                          nil,
		"of another file":                                {"step": "12", "sha256": "of another file"},
	} {
		header := `{"__metadata__":{"sha256":"` + sum + `","step":"12"},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`
		content := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+values...)
		_, metadata, err := decodeBytes(content)
		if (want != nil) != (err == nil) || want != nil && !reflect.DeepEqual(metadata, want) {
			t.Errorf("sum %q: metadata %v, error %v", sum, metadata, err)
		}
	}
}

// The error is one line that names the file and says what is wrong with it.
func TestReadSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	if err := Write(path, map[string]Tensor{"a": Float32([]float32{1, 2, 3, 4}, 4)}, nil); err != nil {
		t.Fatal(err)
	}
	good, _ := os.ReadFile(path)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-3] ^= 4
	of := func(header string) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+"0123456789abcdef"...)
	}
	tensor := func(about string) []byte { return of(`{"a":{` + about + `}}`) }
	for what, content := range map[string][]byte{
		"not a safetensors file: it has 0 bytes":                              {},
		"not a safetensors file: it has 5 bytes":                              good[:5],
		"cut short, or not a safetensors file":                                good[:20],
		"cut short or too long":                                               good[:len(good)-1],
		"too long: its tensors need 16 bytes, 17 are there":                   append(bytes.Clone(good), 0),
		"damaged: its SHA-256 is":                                             flipped,
		"Git LFS's pointer to one: run git lfs pull":                          []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12345\n"),
		"its header would have 9223372036854775807 bytes":                     append([]byte{255, 255, 255, 255, 255, 255, 255, 127}, "{}"...),
		"its header: jsontext: invalid character 'o'":                         of("nonsense"),
		"its header: it is null":                                              of("null"),
		`its header: [ is not what belongs there`:                             of("[]"),
		`duplicate object member name "a"`:                                    of(`{"a":1,"a":2}`),
		`at "/epoch": number`:                                                 of(`{"__metadata__":{"epoch":3}}`),
		`its tensor "a" is of unknown type "I4"`:                              tensor(`"dtype":"I4","shape":[32],"data_offsets":[0,16]`),
		`its tensor "a": at "/shape/0": -4 is not a size`:                     tensor(`"dtype":"F32","shape":[-4],"data_offsets":[0,16]`),
		`its tensor "a": at "/shape": string`:                                 tensor(`"dtype":"F32","shape":"x","data_offsets":[0,16]`),
		`its tensor "a" lacks its shape or its two offsets`:                   tensor(`"dtype":"F32","shape":[0],"data_offsets":[0]`),
		`its tensor "a" has dimensions [4294967296 `:                          tensor(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]`),
		`of dimensions [5] and type F32 has bytes 0 to 16, not 20`:            tensor(`"dtype":"F32","shape":[5],"data_offsets":[0,16]`),
		`its tensor "a" begins at byte 4, but the one before it ends at 0`:    tensor(`"dtype":"F32","shape":[3],"data_offsets":[4,16]`),
		`its tensor "b\n" begins at byte 0, but the one before it ends at 16`: of(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b\n":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`),
		`its tensors need 1000000000000 bytes, 16 are there`:                  tensor(`"dtype":"U8","shape":[1000000000000],"data_offsets":[0,1000000000000]`),
	} {
		os.WriteFile(path, content, 0o644)
		_, _, err := Read(path)
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q and the file's name in it", err, what)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, dir, "/dev/zero"} { // opening the pipe would wait for ever
		if _, _, err := Read(path); err == nil || err.Error() != path+": not a file" {
			t.Errorf("error %v, want that %s is not a file", err, path)
		}
	}
}

// A file that claims to be large costs no memory.
func TestReadTakesNoMemoryForPromises(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	header := `{"a":{"dtype":"U8","shape":[99999999999],"data_offsets":[0,99999999999]}}`
	for want, content := range map[string][]byte{
		"its header would have 99999999999 bytes":    binary.LittleEndian.AppendUint64(nil, 99_999_999_999),
		"its header would have 100000001 bytes":      binary.LittleEndian.AppendUint64(nil, 100_000_001),
		"its tensors need 99999999999 bytes, 999999": append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...),
	} {
		os.WriteFile(path, content, 0o644)
		if err := os.Truncate(path, 100_000_000_000); err != nil { // which takes no room on the disk
			t.Skip(err)
		}
		if _, _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestWriteNamesTheFileThatWasAskedFor(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, why := range map[string]string{
		filepath.Join(dir, "nosuch", "net.safetensors"): "no such file or directory: make the folder " + dir + "/nosuch first",
		filepath.Join(dir, "file", "net.safetensors"):   "not a directory: make room or writable there",
		dir: "file exists: make room or writable there",
	} {
		err := Write(path, map[string]Tensor{"a": Float32([]float32{1}, 1)}, nil)
		if want := "cannot write " + path + ": " + why; err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// On a full disk the system names the temporary file.
func TestFullDiskNamesTheFileThatWasAskedFor(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	_, err = full.Write([]byte("a"))
	err = cannotWrite("net.safetensors", err)
	const want = "cannot write net.safetensors: no space left on device: make room or writable there"
	if err.Error() != want || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestWriteRefusesWhatDoesNotFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	two := Float32([]float32{1, 2}, 2)
	for what, c := range map[string]struct {
		tensors  map[string]Tensor
		metadata map[string]string
	}{
		"2 values as 3":                {tensors: map[string]Tensor{"a": Float32([]float32{1, 2}, 3)}},
		"negative dimensions":          {tensors: map[string]Tensor{"a": Float32([]float32{1, 2}, -1, -2)}},
		"an unknown type":              {tensors: map[string]Tensor{"a": {"F31", []int{2}, two.Bytes}}},
		"a tensor named like metadata": {tensors: map[string]Tensor{"__metadata__": two}},
		"a name that is not UTF-8":     {tensors: map[string]Tensor{"\xff": two, "\xfe": two}}, // both would become one
		"metadata that is not UTF-8":   {metadata: map[string]string{"a": "\xff"}},
		"a sum":                        {metadata: map[string]string{"sha256": ""}},
		"a writer":                     {metadata: map[string]string{"writer": "somebody"}},
		"a header beyond the format's": {metadata: map[string]string{"a": strings.Repeat("a", 100_000_000)}},
	} {
		if err := Write(path, c.tensors, c.metadata); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names the file", what, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: left a file", what)
			os.Remove(path)
		}
	}
}

// Whatever is read can be written, and is the same when it is read again. Nothing takes much more memory than its file.
func FuzzDecode(f *testing.F) {
	eachVerdict(f, func(v verdict) { f.Add(v.content()) })
	path := filepath.Join(f.TempDir(), "x.safetensors")
	if err := Write(path, map[string]Tensor{"a": Float32([]float32{1, 2}, 2)}, map[string]string{"step": "12"}); err != nil {
		f.Fatal(err)
	}
	own, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Fuzz(func(t *testing.T, content []byte) {
		before := allocated()
		tensors, metadata, err := decodeBytes(content)
		if took := allocated() - before; took > 1<<20+100*uint64(len(content)) {
			t.Errorf("%d bytes took %d bytes of memory", len(content), took)
		}
		if err != nil {
			return
		}
		for name, tensor := range tensors {
			if tensor.DType == "F32" {
				if _, err := tensor.Float32s(); err != nil {
					t.Errorf("%q: %v", name, err)
				}
			}
		}
		for _, key := range []string{"writer", "sha256"} {
			if _, ok := metadata[key]; ok {
				return // somebody else's: Write has its own
			}
		}
		path := filepath.Join(t.TempDir(), "again.safetensors")
		if err := Write(path, tensors, metadata); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, about, err := Read(path)
		if err != nil || !reflect.DeepEqual(again, tensors) || !reflect.DeepEqual(about, metadata) {
			t.Errorf("read %v %v, written and read again %v %v, %v", tensors, metadata, again, about, err)
		}
	})
}

// allocated is how many bytes the process has taken by now, whether it has given them back or not.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
