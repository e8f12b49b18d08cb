package safetensors

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
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

func TestReadRefusesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, map[string]Tensor{"a": Float32([]float32{1, 2, 3, 4}, 4)}, nil); err != nil {
		t.Fatal(err)
	}
	good, _ := os.ReadFile(path)
	flipped := append([]byte{}, good...)
	flipped[len(flipped)-3] ^= 4
	for what, content := range map[string][]byte{
		"not a safetensors file": good[:5],
		"cut short, or not":      good[:20],
		"cut short or too long":  good[:len(good)-1],
		"damaged: the SHA-256":   flipped,
		"header":                 append([]byte{8, 0, 0, 0, 0, 0, 0, 0}, "nonsense"...),
		"too long":               append(append([]byte{}, good...), 0),
		"has dimensions":         []byte(strings.Replace(string(good), `"shape":[4]`, `"shape":[-4]`, 1))[1:],
	} {
		if what == "has dimensions" {
			content = append([]byte{good[0] + 1}, content...)
		}
		os.WriteFile(path, content, 0o644)
		if _, _, err := Read(path); err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want %q and the file's name in it", err, what)
		}
	}
}

func TestWriteRefusesWhatDoesNotFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, map[string]Tensor{"a": Float32([]float32{1, 2}, 3)}, nil); err == nil {
		t.Error("wrote 2 values as 3")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("left a file")
	}
}
