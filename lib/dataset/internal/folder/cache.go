package folder

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Pictures are those of one split.
type Pictures struct {
	Pixels []byte   // [picture, height, width, channels]
	Labels []byte   // [picture], an index into Classes
	Sums   []byte   // [picture, SumSize], the SHA-256 of each one's pixels
	Names  []string // [picture], of its file, with its folders in the tree
}

// SumSize is how many bytes the sum of a picture has.
const SumSize = sha256.Size

// Splits are the pictures of all splits. There are none for validation unless a folder has them.
type Splits struct{ Train, Test, Validation Pictures }

// The file that keeps pictures has all pixels, those for training first, then those for test, then those for validation,
// because they can be mapped from there as they are; then all sums, all labels, and all names with a zero between each;
// then this, little-endian.
//
// Files from before there were pictures for validation have 64 bits for those for test, so their other half is 0.
type tail struct {
	Key              [sha256.Size]byte // of the files and the frame that the pictures were made of
	Train            uint64            // how many pictures
	Test, Validation uint32
	Picture          uint64            // bytes of a picture's pixels
	Names            uint64            // bytes of all names
	Pixels           uint32            // CRC-32C of all pixels
	Index            [sha256.Size]byte // SHA-256 of all but the pixels and what follows from here
	Mark             [8]byte
}

var (
	mark     = [8]byte([]byte("pictures"))
	tailSize = binary.Size(tail{})
	table    = crc32.MakeTable(crc32.Castagnoli)
)

// checkedPixels is how many bytes of pixels are checked whenever they are opened, which takes a tenth of a second at
// most. Of more, the number alone is: they can be more than the memory has room for.
const checkedPixels = 1 << 30

var errOther = errors.New("made of other files")

// open maps the file that keeps the pictures with this key, which it asks for last. The error is [fs.ErrNotExist] if there
// is none, and errOther if it keeps others.
func open(path string, key func() [sha256.Size]byte) (s Splits, err error) {
	in, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return s, err
	}
	if !info.Mode().IsRegular() || info.Size() < int64(tailSize) {
		return s, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a file of pictures")}
	}
	// Nothing is ever unmapped: someone may use it for as long as the process lives.
	content, err := syscall.Mmap(int(in.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil { // some file systems cannot
		content, err = io.ReadAll(in)
	}
	if err != nil {
		return s, err
	}
	return decode(content, key)
}

// decode finds the pictures in what a file has.
func decode(content []byte, key func() [sha256.Size]byte) (s Splits, err error) {
	var t tail
	if len(content) < tailSize {
		return s, errors.New("it is cut off")
	}
	body, end := content[:len(content)-tailSize], content[len(content)-tailSize:]
	if _, err := binary.Decode(end, binary.LittleEndian, &t); err != nil {
		return s, err
	}
	if t.Mark != mark {
		return s, errors.New("it is cut off")
	}
	most := uint64(len(body)) // of each number: what follows cannot overflow
	tested := t.Train + uint64(t.Test)
	n := tested + uint64(t.Validation)
	if t.Train > most || n > most || t.Picture > most || t.Names > most || n > 0 && t.Picture > most/n ||
		n*t.Picture+n*SumSize+n+t.Names != most {
		return s, errors.New("its numbers contradict each other")
	}
	pixels, index := body[:n*t.Picture], body[n*t.Picture:]
	if t.Index != indexSum(index, end) {
		return s, errors.New("its sum is another")
	}
	if len(pixels) <= checkedPixels && crc32.Checksum(pixels, table) != t.Pixels {
		return s, errors.New("the sum of its pixels is another")
	}
	sums, labels := index[:n*SumSize], index[n*SumSize:n*SumSize+n]
	names := strings.Split(string(index[n*SumSize+n:]), "\x00")
	if uint64(len(names)) != max(n, 1) {
		return s, errors.New("its numbers contradict each other")
	}
	if t.Key != key() {
		return s, errOther
	}
	part := func(i, j uint64) Pictures {
		return Pictures{
			Pixels: pixels[i*t.Picture : j*t.Picture : j*t.Picture], Labels: labels[i:j:j],
			Sums: sums[i*SumSize : j*SumSize : j*SumSize], Names: names[i:j:j],
		}
	}
	return Splits{part(0, t.Train), part(t.Train, tested), part(tested, n)}, nil
}

// indexSum is the sum of all but the pixels.
func indexSum(index, end []byte) [sha256.Size]byte {
	hash := sha256.New()
	hash.Write(index)
	hash.Write(end[:len(end)-sha256.Size-len(mark)])
	return [sha256.Size]byte(hash.Sum(nil))
}

// encode is what follows the pixels in a file.
func encode(t tail, all Pictures) []byte {
	names := strings.Join(all.Names, "\x00")
	t.Names, t.Mark = uint64(len(names)), mark
	var end bytes.Buffer
	if err := binary.Write(&end, binary.LittleEndian, t); err != nil {
		panic(fmt.Sprintf("folder: %v", err)) // a tail has numbers only
	}
	index := append(append(bytes.Clone(all.Sums), all.Labels...), names...)
	sum := indexSum(index, end.Bytes())
	copy(end.Bytes()[end.Len()-len(sum)-len(mark):], sum[:])
	return append(index, end.Bytes()...)
}
