package folder

import (
	"bytes"
	"crypto/sha256"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var someKey = sha256.Sum256([]byte("some files"))

// is gives a key when it is asked for.
func is(key [sha256.Size]byte) func() [sha256.Size]byte {
	return func() [sha256.Size]byte { return key }
}

// some is what keeps pictures of two bytes, so many for training, for test and for validation.
func some(train, test, validation int) []byte {
	var all Pictures
	for i := range train + test + validation {
		pixels := []byte{byte(i), byte(2 * i)}
		sum := sha256.Sum256(pixels)
		all.Pixels, all.Sums = append(all.Pixels, pixels...), append(all.Sums, sum[:]...)
		all.Labels, all.Names = append(all.Labels, byte(i%3)), append(all.Names, "a class/"+strconv.Itoa(i))
	}
	t := tail{
		Key: someKey, Train: uint64(train), Test: uint32(test), Validation: uint32(validation), Picture: 2,
		Pixels: crc32.Checksum(all.Pixels, crc32.MakeTable(crc32.Castagnoli)),
	}
	return append(all.Pixels, encode(t, all)...)
}

func TestDecodeFindsWhatWasEncoded(t *testing.T) {
	s, err := decode(some(3, 2, 1), is(someKey))
	if err != nil {
		t.Fatal(err)
	}
	train, test, validation := s.Train, s.Test, s.Validation
	if !bytes.Equal(train.Pixels, []byte{0, 0, 1, 2, 2, 4}) || !bytes.Equal(test.Pixels, []byte{3, 6, 4, 8}) ||
		!bytes.Equal(train.Labels, []byte{0, 1, 2}) || !bytes.Equal(test.Labels, []byte{0, 1}) ||
		!slices.Equal(train.Names, []string{"a class/0", "a class/1", "a class/2"}) ||
		!slices.Equal(test.Names, []string{"a class/3", "a class/4"}) ||
		!bytes.Equal(validation.Pixels, []byte{5, 10}) || !bytes.Equal(validation.Labels, []byte{2}) ||
		!slices.Equal(validation.Names, []string{"a class/5"}) {
		t.Errorf("%v, %v and %v", train, test, validation)
	}
	if sum := sha256.Sum256([]byte{4, 8}); !bytes.Equal(test.Sums[SumSize:], sum[:]) {
		t.Errorf("the last sum is %x, want %x", test.Sums[SumSize:], sum)
	}
	if _, err := decode(some(3, 2, 1), is(sha256.Sum256(nil))); err != errOther {
		t.Errorf("with another key: %v", err)
	}
}

// Files that were written before there were pictures for validation are read as they were: the tail of
// one is as long, and says with 64 bits each that it has three pictures for training and two for test.
func TestDecodeReadsFilesOfBefore(t *testing.T) {
	old := some(3, 2, 0)
	counts := old[len(old)-tailSize+len(someKey):][:16]
	if want := []byte{3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}; !bytes.Equal(counts, want) || tailSize != 108 {
		t.Errorf("the numbers are %v in a tail of %d bytes, want %v", counts, tailSize, want)
	}
}

// resident is how many bytes of this process are in memory.
func resident(t *testing.T) int {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// 100,000 pictures of 224 × 224 are 15 GB; opening them takes little memory.
func TestManyPicturesTakeLittleMemory(t *testing.T) {
	const n, picture = 100_000, 224 * 224 * 3
	all := Pictures{Sums: make([]byte, n*SumSize), Labels: make([]byte, n)}
	for i := range n {
		all.Names = append(all.Names, "class/"+strconv.Itoa(i)+".png")
	}
	path := filepath.Join(t.TempDir(), "many.pictures")
	out, err := os.Create(path) // the pixels are a hole in it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteAt(encode(tail{Key: someKey, Train: n, Picture: picture}, all), n*picture); err != nil {
		t.Skip(err) // a file system without holes
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	before := resident(t)
	s, err := open(path, is(someKey))
	if err != nil {
		t.Fatal(err)
	}
	train := s.Train
	if len(train.Labels) != n || len(train.Pixels) != n*picture || train.Pixels[n*picture-1] != 0 {
		t.Errorf("%d labels and %d bytes of pixels", len(train.Labels), len(train.Pixels))
	}
	if took := resident(t) - before; took > 256<<20 {
		t.Errorf("opening took %d MB of memory", took>>20)
	}
}

// allocated is how many bytes the process has taken by now, whether it has given them back or not.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// FuzzDecode looks for files that make it panic, take much memory, or give splits that contradict themselves. The sums
// of what it is given are put right, so it gets behind them.
func FuzzDecode(f *testing.F) {
	f.Add(some(3, 2, 1), true)
	f.Add(some(0, 0, 0), true)
	f.Add(some(1, 0, 0), false)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, content []byte, mend bool) {
		if mend && len(content) >= tailSize {
			content = mended(content)
		}
		before := allocated()
		s, err := decode(content, is(someKey))
		if took := allocated() - before; took > 1<<20+50*uint64(len(content)) {
			t.Errorf("%d bytes took %d bytes of memory", len(content), took)
		}
		if err != nil {
			return
		}
		for _, p := range []Pictures{s.Train, s.Test, s.Validation} {
			n := len(p.Labels)
			if len(p.Names) != n || len(p.Sums) != n*SumSize || n > 0 && len(p.Pixels)%n != 0 {
				t.Errorf("%d labels, %d names, %d bytes of sums, %d of pixels",
					n, len(p.Names), len(p.Sums), len(p.Pixels))
			}
		}
	})
}

// mended is a file of the same numbers with the right key, mark and sum of its index.
func mended(content []byte) []byte {
	content = bytes.Clone(content)
	body, end := content[:len(content)-tailSize], content[len(content)-tailSize:]
	copy(end, someKey[:])
	copy(end[tailSize-len(mark):], mark[:])
	for pixels := range min(len(body), 64) + 1 { // wherever the index begins
		sum := indexSum(body[pixels:], end)
		copy(end[tailSize-len(mark)-len(sum):], sum[:])
		if _, err := decode(content, is(someKey)); err == nil {
			break
		}
	}
	return content
}
