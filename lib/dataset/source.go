package dataset

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"

	"example.org/convbook/lib/internal/env"
)

// Log is where fetching a data set says what it does.
var Log io.Writer = os.Stdout

// FolderEnv names a folder of the user's own in which data sets are looked for first.
const FolderEnv = "CONVBOOK_DATA"

// source says where a data set's files come from and what they must be.
type source struct {
	name    string // the data set's, for people
	folder  string // its folder in the cache
	files   []file
	origins []origin // where files come from that are nowhere on this machine, the official one first

	other func(own string) origin // finds another form of the files in a folder of the user's own; nil if there is none
	wants string                  // what to put into a folder of the user's own; empty: the files
	own   string                  // the user's own folder with another form, while that is the only origin
}

// origin brings the missing files of a data set into the folder dir, each verified and under its name in one step.
type origin func(ctx context.Context, s source, dir string, missing []file) error

// file is one file of a data set.
type file struct {
	name   string
	size   int64
	sha256 string // or several, with spaces between: the sums of as many equal parts, to be checked all at once
}

// damaged is the error of a file that is there but not what it must be.
type damaged struct {
	path, why string
}

func (d damaged) Error() string { return fmt.Sprintf("%s is damaged: %s", d.path, d.why) }

// Cache is the folder where data sets are kept between runs: convbook/data in the user's cache folder.
func Cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder for data sets (%w): set XDG_CACHE_HOME, or %s to a folder that has them", err, FolderEnv)
	}
	return filepath.Join(dir, "convbook", "data"), nil
}

// load returns the bytes of the files with these names, of all if none is named, verified. They are fetched first if they
// are nowhere, and are not to be changed.
func (s source) load(names ...string) ([][]byte, error) {
	contents, _, err := s.find(s.named(names))
	return contents, err
}

// named are the files with these names, all if there are none.
func (s source) named(names []string) []file {
	if len(names) == 0 {
		return s.files
	}
	var files []file
	for _, name := range names {
		i := slices.IndexFunc(s.files, func(f file) bool { return f.name == name })
		files = append(files, s.files[i])
	}
	return files
}

// fetch makes sure that load will find the files and returns their folder.
func (s source) fetch() (string, error) {
	_, folder, err := s.find(s.files)
	return folder, err
}

func (s source) find(files []file) (contents [][]byte, folder string, err error) {
	if s.own, err = env.Folder(FolderEnv); err != nil {
		return nil, "", err
	}
	if s.own != "" {
		contents, folder, err := s.readOwn(files)
		if !errors.Is(err, os.ErrNotExist) {
			return contents, folder, err
		}
		rebuild := s.otherForm()
		if rebuild == nil {
			return nil, "", fmt.Errorf("%s is not in %s=%s: put %s there, or unset %[2]s", s.name, FolderEnv, s.own, s.wanted())
		}
		s.origins = []origin{rebuild}
	}
	cache, err := Cache()
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Join(cache, s.folder)
	contents, err = read(dir, files)
	if err == nil {
		return contents, dir, nil
	}
	if !errors.Is(err, os.ErrNotExist) && !errors.As(err, &damaged{}) {
		return nil, "", fmt.Errorf("%s: %w", s.name, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process
	if err := s.repair(ctx, dir); err != nil {
		if ctx.Err() != nil {
			return nil, "", fmt.Errorf("%s was not fetched: stopped by a signal; try again to go on from there", s.name)
		}
		return nil, "", err
	}
	contents, err = read(dir, files)
	return contents, dir, err
}

// readOwn reads the files from the user's own folder or the usual folders in it. Nothing is ever written there.
func (s source) readOwn(files []file) (contents [][]byte, folder string, err error) {
	for _, sub := range []string{"", s.folder, filepath.Join(s.name, "raw")} { // the last is torchvision's
		folder = filepath.Join(s.own, sub)
		contents, err = read(folder, files)
		if err == nil {
			return contents, folder, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, "", s.refuseOwn(err)
		}
	}
	return nil, "", err
}

func (s source) otherForm() origin {
	if s.other == nil {
		return nil
	}
	return s.other(s.own)
}

func (s source) wanted() string {
	if s.wants != "" {
		return s.wants
	}
	var names []string
	for _, f := range s.files {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

func (s source) refuseOwn(err error) error {
	return fmt.Errorf("%s from %s: %w: put the right file there, or unset %[2]s", s.name, FolderEnv, err)
}

// read reads and verifies files of a folder, all at once.
func read(dir string, files []file) ([][]byte, error) {
	contents := make([][]byte, len(files))
	var group errgroup.Group
	for i, f := range files {
		group.Go(func() (err error) {
			contents[i], err = f.read(dir)
			return err
		})
	}
	return contents, group.Wait()
}

// read returns the file's bytes from the folder dir, and damaged if they are not the right ones.
func (f file) read(dir string) ([]byte, error) {
	path := filepath.Join(dir, f.name)
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
	if info.Size() != f.size {
		return nil, damaged{path, fmt.Sprintf("it has %d bytes, not %d", info.Size(), f.size)}
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
func (f file) sum(content []byte) (sum, want string) {
	wants := strings.Fields(f.sha256)
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

// mappings holds what is mapped. Someone may use it for as long as the process lives, so nothing is ever unmapped, and a
// file that is opened again is not mapped again.
var mappings struct {
	sync.Mutex
	files map[string]mapping
}

type mapping struct {
	info    fs.FileInfo
	content []byte
}

// mapped is the file's content, read-only. Mapping it takes half the time of reading it into memory, where the copy would
// cost as much as the check, and processes share it. What replaces a file in the cache is a new file, so it never
// changes under a reader.
func mapped(path string, info fs.FileInfo) ([]byte, error) {
	mappings.Lock()
	defer mappings.Unlock()
	if m, ok := mappings.files[path]; ok && os.SameFile(m.info, info) && m.info.ModTime().Equal(info.ModTime()) && m.info.Size() == info.Size() {
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

// repair puts whatever is missing or damaged into the cache folder dir. Damaged files are set aside, not deleted. Of
// several processes one does the work and the others wait.
func (s source) repair(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return s.cannotWrite(dir, err)
	}
	lock := flock.New(filepath.Join(dir, ".lock"))
	if err := writable(lock.Path()); err != nil {
		return s.cannotWrite(dir, err)
	}
	stop := waiting(s.name + ": waiting for another process that fetches it")
	_, err := lock.TryLockContext(ctx, 50*time.Millisecond)
	stop()
	if err != nil {
		return s.cannotWrite(dir, err)
	}
	defer lock.Unlock()
	s.sweep(dir)
	var missing []file
	for _, f := range s.files {
		_, err := f.read(dir)
		var bad damaged
		switch {
		case err == nil:
			continue
		case errors.As(err, &bad):
			aside := fmt.Sprintf("%s.damaged-%s", bad.path, time.Now().Format("20060102-150405"))
			if err := os.Rename(bad.path, aside); err != nil {
				return s.cannotWrite(dir, err)
			}
			fmt.Fprintf(Log, "%s: %v; set aside as %s, fetching it again\n", s.name, bad, filepath.Base(aside))
		case !errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("%s: %w", s.name, err)
		}
		missing = append(missing, f)
	}
	if len(missing) == 0 {
		return nil // another process was faster
	}
	return s.obtain(ctx, dir, missing)
}

// sweep removes the temporary files of a process that was killed at work. Only the holder of the lock has any.
func (s source) sweep(dir string) {
	patterns := []string{npmTemp + "*"}
	for _, f := range s.files {
		patterns = append(patterns, "."+f.name+"*") // renameio's
	}
	for _, pattern := range patterns {
		for _, path := range matching(dir, pattern) {
			os.RemoveAll(path)
		}
	}
}

// matching lists what is in dir with names of a pattern. filepath.Glob would take brackets in dir for a pattern, too.
func matching(dir, pattern string) (paths []string) {
	names, _ := fs.Glob(os.DirFS(dir), pattern)
	for _, name := range names {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}

// obtain fetches files into dir from the origins in turn.
func (s source) obtain(ctx context.Context, dir string, missing []file) error {
	var failures []string
	for _, from := range s.origins {
		err := from(ctx, s, dir, missing)
		if err == nil {
			for _, part := range matching(dir, "*.part") { // what a host has left half done is of no use any more
				os.Remove(part)
			}
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if path := new(fs.PathError); errors.As(err, &path) && strings.HasPrefix(path.Path, dir) {
			return s.cannotWrite(dir, err)
		}
		if s.own != "" {
			return s.refuseOwn(err)
		}
		failures = append(failures, err.Error())
	}
	return fmt.Errorf("%s is not in %s and could not be fetched (%s): connect to the network and try again, or set %s to a folder with its files",
		s.name, dir, strings.Join(failures, "; "), FolderEnv)
}

// size is that of all files together.
func (s source) size() (sum int64) {
	for _, f := range s.files {
		sum += f.size
	}
	return sum
}

func (s source) cannotWrite(dir string, err error) error {
	return fmt.Errorf("cannot keep %s in %s: %w: make room or writable there, or set XDG_CACHE_HOME to another folder", s.name, dir, err)
}

// install verifies what it reads and then gives it its name in dir, in one step.
func (f file) install(in io.Reader, dir string) error {
	content, err := io.ReadAll(io.LimitReader(in, f.size+1))
	if err != nil {
		return err
	}
	return f.write(content, dir)
}

func (f file) write(content []byte, dir string) error {
	if sum, want := f.sum(content); sum != want {
		return fmt.Errorf("what arrived as %s is not it: SHA-256 %s, not %s", f.name, sum, want)
	}
	return renameio.WriteFile(filepath.Join(dir, f.name), content, 0o644, renameio.WithTempDir(dir))
}
