package origin

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/google/renameio/v2"
)

// File is one file of a data set.
type File struct {
	Name   string
	Size   int64
	SHA256 string // or several, with spaces between: the sums of as many equal parts, to be checked all at once
}

// damaged is the error of a file that is there but not what it must be.
type damaged struct {
	path, why string
}

func (d damaged) Error() string { return fmt.Sprintf("%s is damaged: %s", d.path, d.why) }

// read returns the file's bytes from the folder dir, and damaged if they are not the right ones.
func (f File) read(dir string) ([]byte, error) {
	path := filepath.Join(dir, f.Name)
	info, err := os.Stat(path)
	if errors.Is(err, syscall.ELOOP) {
		return nil, damaged{path, "it is a link that leads to itself"}
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, damaged{path, "it is not a file"}
	}
	if info.Size() != f.Size {
		return nil, damaged{path, fmt.Sprintf("it has %d bytes, not %d", info.Size(), f.Size)}
	}
	content, err := mapped(path, info)
	if err != nil {
		return nil, err
	}
	if sum, want := f.sum(content); sum != want {
		return nil, damaged{path, fmt.Sprintf("its SHA-256 is %s, not %s", sum, want)}
	}
	return content, nil
}

// sum is the SHA-256 of content and what it should be; of several parts, of the first that is wrong.
func (f File) sum(content []byte) (sum, want string) {
	wants := strings.Fields(f.SHA256)
	sums := make([]string, len(wants))
	var group sync.WaitGroup
	for i := range sums {
		group.Go(func() {
			part := content[i*len(content)/len(sums) : (i+1)*len(content)/len(sums)]
			sums[i] = fmt.Sprintf("%x", sha256.Sum256(part))
		})
	}
	group.Wait()
	for i := range sums {
		if sum, want = sums[i], wants[i]; sum != want {
			break
		}
	}
	return sum, want
}

// mappings holds what is mapped. Someone may use it for as long as the process lives, so nothing is ever unmapped, and
// a file that is opened again is not mapped again.
var mappings struct {
	sync.Mutex
	files map[string]mapping
}

type mapping struct {
	info    fs.FileInfo
	content []byte
}

// mapped is the file's content, read-only. Mapping it takes half the time of reading it into memory, where the copy
// would cost as much as the check, and processes share it. What replaces a file in the cache is a new file, so it never
// changes under a reader.
func mapped(path string, info fs.FileInfo) ([]byte, error) {
	mappings.Lock()
	defer mappings.Unlock()
	m, ok := mappings.files[path]
	if ok && os.SameFile(m.info, info) && m.info.ModTime().Equal(info.ModTime()) && m.info.Size() == info.Size() {
		return m.content, nil
	}
	in, info, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	content, err := syscall.Mmap(int(in.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil { // some file systems cannot
		return io.ReadAll(in)
	}
	if mappings.files == nil {
		mappings.files = map[string]mapping{}
	}
	mappings.files[path] = mapping{info, content}
	return content, nil
}

// openFile opens a file, and nothing that would let it wait, as a pipe does.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errNotFile}
	}
	if err != nil {
		return nil, nil, err
	}
	in, err := os.Open(path)
	return in, info, err
}

var errNotFile = errors.New("not a file")

// writable checks that what is written to path goes to no other place: nothing is there, or a file, and not a link.
func writable(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return &fs.PathError{Op: "write", Path: path, Err: errNotFile}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// install verifies what it reads and then gives it its name in dir, in one step.
func (f File) install(in io.Reader, dir string) error {
	content, err := io.ReadAll(io.LimitReader(in, f.Size+1))
	if err != nil {
		return err
	}
	return f.write(content, dir)
}

func (f File) write(content []byte, dir string) error {
	if sum, want := f.sum(content); sum != want {
		return fmt.Errorf("what arrived as %s is not it: SHA-256 %s, not %s", f.Name, sum, want)
	}
	return renameio.WriteFile(filepath.Join(dir, f.Name), content, 0o644, renameio.WithTempDir(dir))
}
