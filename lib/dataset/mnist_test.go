package dataset

import (
	"encoding/binary"
	"slices"
	"testing"

	"example.org/convbook/lib/dataset/internal/origin/origintest"
)

func TestDecodeIDX(t *testing.T) {
	good := []byte{0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6}
	if dims, values, err := decodeIDX(good); err != nil || !slices.Equal(dims, []int{2, 3}) || string(values) != "\x01\x02\x03\x04\x05\x06" {
		t.Errorf("decoded %v %v, %v", dims, values, err)
	}
	huge := []byte{0, 0, 8, 4, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1} // 2^64 is 0 in 64 bits
	for _, bad := range [][]byte{nil, good[:3], good[:10], good[:17], append([]byte{1}, good[1:]...), {0, 0, 13, 0}, huge,
		append(slices.Clone(good), 7), {0, 0, 8, 255, 0, 0}} {
		if _, _, err := decodeIDX(bad); err == nil {
			t.Errorf("decoded %v", bad)
		}
	}
}

// idx is an IDX file of zeros in these dimensions.
func idx(dims ...int) []byte {
	file, size := []byte{0, 0, 8, byte(len(dims))}, 1
	for _, dim := range dims {
		file = binary.BigEndian.AppendUint32(file, uint32(dim))
		size *= dim
	}
	return append(file, make([]byte, size)...)
}

// The two files have to agree about how many pictures there are, and of which size.
func TestMNISTSplit(t *testing.T) {
	split, err := mnistSplit("images", "labels", [][]byte{idx(3, 28, 28), idx(3)})
	if err != nil || split.Len() != 3 || len(split.Pixels) != 3*784 {
		t.Fatalf("%v, %v", split, err)
	}
	for want, files := range map[string][][]byte{
		"images: it has dimensions [3 28 27], not those of images of 28 × 28 pixels": {idx(3, 28, 27), idx(3)},
		"images: it has dimensions [3], not those of images of 28 × 28 pixels":       {idx(3), idx(3, 28, 28)},
		"labels: it has dimensions [2], not those of labels for 3 images":            {idx(3, 28, 28), idx(2)},
		"labels: it has dimensions [3], not those of labels for 2 images":            {idx(2, 28, 28), idx(3)},
		"labels: it has dimensions [2 1], not those of labels for 2 images":          {idx(2, 28, 28), idx(2, 1)},
		"images: not an IDX file of bytes":                                           {[]byte("<html>"), idx(2)},
	} {
		_, err := mnistSplit("images", "labels", files)
		origintest.CheckError(t, err, want)
	}
}
