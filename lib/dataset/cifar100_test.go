package dataset

import (
	"bytes"
	"image/color"
	"path/filepath"
	"strings"
	"testing"

	"example.org/convbook/lib/dataset/internal/origin/origintest"
)

// record100 is an image in the official form, with its coarse and its fine label: red is its number, green the row,
// blue the column.
func record100(coarse, fine, number byte) string {
	record := []byte{coarse, fine}
	for colour := range 3 {
		for p := range 1024 {
			record = append(record, []byte{number, byte(p / 32), byte(p % 32)}[colour])
		}
	}
	return string(record)
}

func TestCIFAR100(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my data")
	unpacked := filepath.Join(dir, "cifar-100-binary")
	origintest.Put(t, unpacked, "fine_label_names.txt", "apple\naquarium_fish\nbaby\n\n")
	origintest.Put(t, unpacked, "train.bin", record100(4, 0, 7)+record100(1, 1, 8)+record100(14, 2, 9))
	origintest.Put(t, unpacked, "test.bin", record100(14, 2, 10))
	for _, folder := range []string{dir, unpacked} {
		d := CIFAR100(folder)
		train, err := d.Train()
		if err != nil {
			t.Fatal(err)
		}
		test, err := d.Test()
		if err != nil {
			t.Fatal(err)
		}
		if train.Len() != 3 || train.Label(1) != "aquarium_fish" || test.Label(0) != "baby" || d.Published() {
			t.Errorf("%d images, the second of %s; the test image of %s", train.Len(), train.Label(1), test.Label(0))
		}
		if got, want := train.Image(2).At(5, 17), (color.RGBA{9, 17, 5, 255}); got != want {
			t.Errorf("a pixel is %v, want %v", got, want)
		}
	}
	origintest.Put(t, unpacked, "test.bin", record100(14, 2, 10)[1:])
	_, err := CIFAR100(dir).Test()
	origintest.CheckError(t, err, filepath.Join(unpacked, "test.bin")+": it has 3073 bytes, not 0")
	origintest.Put(t, unpacked, "test.bin", record100(14, 3, 10))
	_, err = CIFAR100(dir).Test()
	origintest.CheckError(t, err, "test image 0 of CIFAR-100 has the label 3: its 3 classes have the labels 0 to 2")
	_, err = CIFAR100(t.TempDir()).Train()
	origintest.CheckError(t, err, "fine_label_names.txt: no such file or directory: unpack cifar-100-binary.tar.gz there")
}

// Labels of two bytes are decoded as those of one are, with the last byte as label.
func FuzzCIFAR100(f *testing.F) {
	f.Add([]byte(record100(4, 0, 7) + record100(1, 1, 8)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		n := (len(file) + 1) / 3074
		pixels, labels := make([]byte, n*3072), make([]byte, n)
		again, other := make([]byte, n*3072), make([]byte, n)
		if decodeRecords(file, 2, pixels, labels) != nil {
			return
		}
		var batch strings.Builder
		for i := range n {
			batch.Write(file[i*3074+1:][:3073])
		}
		err := decodeBatch([]byte(batch.String()), again, other)
		if err != nil || !bytes.Equal(again, pixels) || !bytes.Equal(other, labels) {
			t.Errorf("as a batch of CIFAR-10 it is another, %v", err)
		}
	})
}
