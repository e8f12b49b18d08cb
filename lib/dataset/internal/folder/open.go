package folder

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"

	"example.org/convbook/lib/picture"
)

// Open brings the pictures to the frame and keeps them in a file in the folder cache, or opens that file if it is of
// the same pictures: their names, sizes and times of change tell. Log is told what is decoded and what is left out.
//
// It takes the memory of a few pictures, and that of the file only where someone looks at it.
func (t Tree) Open(frame picture.Frame, cache string, log io.Writer) (s Splits, err error) {
	var files []file
	var leftOut []string
	var key [sha256.Size]byte
	var listing errgroup.Group
	listing.Go(func() (err error) {
		if files, leftOut, err = t.files(); err == nil {
			key = t.key(files, frame)
		}
		return err
	})
	kept := filepath.Join(cache, t.keptAs(frame))
	listed := func() [sha256.Size]byte { listing.Wait(); return key }
	s, unusable := open(kept, listed) // while the files are listed, its sums are checked
	if err := listing.Wait(); err != nil {
		return Splits{}, err
	}
	if unusable == nil {
		return s, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return s, t.cannotKeep(cache, err)
	}
	lock := flock.New(kept + ".lock") // of several processes one decodes, and the others wait
	if ok, err := lock.TryLock(); err == nil && !ok {
		fmt.Fprintf(log, "%s: waiting for another process that decodes it\n", t.name())
	}
	if _, err := lock.TryLockContext(context.Background(), 50*time.Millisecond); err != nil {
		return s, t.cannotKeep(cache, err)
	}
	defer lock.Unlock()
	s, err = open(kept, listed)
	if err == nil {
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errOther) {
		fmt.Fprintf(log, "%s: what was decoded before cannot be used, %v\n", t.name(), err)
	}
	b := build{Tree: t, frame: frame, key: key, log: log, leftOut: leftOut}
	if err := b.write(kept, files); err != nil {
		return s, err
	}
	return open(kept, listed)
}

// name is the folder's own.
func (t Tree) name() string { return filepath.Base(t.Path) }

// key identifies the pictures: equal ones mean equal bytes.
func (t Tree) key(files []file, frame picture.Frame) (key [sha256.Size]byte) {
	hash := sha256.New()
	json.NewEncoder(hash).Encode(struct {
		Version int // raised when the same files become other bytes
		Classes []string
		Frame   picture.Frame
	}{2, t.Classes, frame})
	line := []byte{}
	for _, f := range files {
		line = append(append(line[:0], f.name...), 0, byte(f.class), byte(f.split))
		line = binary.LittleEndian.AppendUint64(line, uint64(f.size))
		hash.Write(binary.LittleEndian.AppendUint64(line, uint64(f.ctime)))
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

// keptAs is the name of the file that keeps the pictures.
func (t Tree) keptAs(frame picture.Frame) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %+v", t.Path, frame))
	return fmt.Sprintf("%x.pictures", sum[:8])
}

func (t Tree) cannotKeep(cache string, err error) error {
	return fmt.Errorf("cannot keep the pictures of %s in %s: %w: make room or writable there, "+
		"or set XDG_CACHE_HOME to another folder", t.Path, cache, err)
}

// build decodes a tree.
type build struct {
	Tree
	frame   picture.Frame
	key     [sha256.Size]byte
	log     io.Writer
	leftOut []string
}

// decoded is what became of a file.
type decoded struct {
	pixels []byte
	sum    [sha256.Size]byte
	err    error
}

// write decodes the files, on all cores, and writes what is kept of them in one step.
func (b *build) write(kept string, files []file) error {
	root, err := os.OpenRoot(b.Path)
	if err != nil {
		return err
	}
	defer root.Close()
	sweep(kept)
	out, err := renameio.NewPendingFile(kept, renameio.WithTempDir(filepath.Dir(kept)), renameio.WithPermissions(0o644))
	if err != nil {
		return b.cannotKeep(filepath.Dir(kept), err)
	}
	defer out.Cleanup()
	buffer := bufio.NewWriterSize(out, 1<<20)
	t := tail{Key: b.key, Picture: uint64(b.frame.Height * b.frame.Width * b.frame.Channels)}
	var all Pictures
	learned := make([]int, len(b.Classes)) // pictures for training, of each class
	report := progress{log: b.log, what: b.name() + ": decoding", total: len(files)}
	report.say()
	for i, one := range decodeAll(root, b.frame, files) {
		report.add()
		if one.err != nil {
			b.leftOut = append(b.leftOut, fmt.Sprintf("%q: %v", files[i].name, one.err))
			continue
		}
		switch files[i].split {
		case forTraining:
			t.Train++
			learned[files[i].class]++
		case forTest:
			t.Test++
		case forValidation:
			t.Validation++
		}
		t.Pixels = crc32.Update(t.Pixels, table, one.pixels)
		if _, err := buffer.Write(one.pixels); err != nil {
			return b.cannotKeep(filepath.Dir(kept), err)
		}
		all.Sums = append(all.Sums, one.sum[:]...)
		all.Labels = append(all.Labels, byte(files[i].class))
		all.Names = append(all.Names, files[i].name)
	}
	b.sayLeftOut()
	if on := b.TestedOn(); on != "" {
		fmt.Fprintf(b.log, "%s: there is no folder test, so the pictures in %s are for the test\n", b.name(), on)
	}
	for _, folder := range b.unused {
		fmt.Fprintf(b.log, "%s: the folder %q beside %s is not used\n", b.name(), folder, b.splits[forTraining])
	}
	if err := b.check(learned, t); err != nil {
		return err
	}
	buffer.Write(encode(t, all))
	if err := buffer.Flush(); err != nil {
		return b.cannotKeep(filepath.Dir(kept), err)
	}
	if err := out.CloseAtomicallyReplace(); err != nil {
		return b.cannotKeep(filepath.Dir(kept), err)
	}
	return nil
}

// decodeAll yields what becomes of the files in their order, and works on as many of them at once as there are cores.
func decodeAll(root *os.Root, frame picture.Frame, files []file) func(yield func(int, decoded) bool) {
	return func(yield func(int, decoded) bool) {
		queue, stop := make(chan chan decoded, runtime.GOMAXPROCS(0)), make(chan struct{})
		defer close(stop)
		go func() {
			defer close(queue)
			for _, f := range files {
				one := make(chan decoded, 1)
				select {
				case queue <- one:
					go func() { one <- decodeFile(root, frame, f) }()
				case <-stop:
					return
				}
			}
		}()
		i := 0
		for one := range queue {
			if !yield(i, <-one) {
				return
			}
			i++
		}
	}
}

func decodeFile(root *os.Root, frame picture.Frame, f file) (d decoded) {
	in, err := root.Open(f.name)
	if err != nil {
		return decoded{err: errors.New("it cannot be opened")}
	}
	defer in.Close()
	img, err := picture.Decode(in)
	if err != nil {
		return decoded{err: err}
	}
	d.pixels = frame.Pixels(img)
	d.sum = sha256.Sum256(d.pixels)
	return d
}

// sweep removes what a process left that was killed while it wrote. Only the holder of the lock writes.
func sweep(kept string) {
	names, _ := fs.Glob(os.DirFS(filepath.Dir(kept)), "."+filepath.Base(kept)+"*") // renameio's
	for _, name := range names {
		os.Remove(filepath.Join(filepath.Dir(kept), name))
	}
}

// named is how many of the files that are left out are named.
const named = 5

func (b *build) sayLeftOut() {
	for i, line := range b.leftOut {
		if i == named {
			fmt.Fprintf(b.log, "%s: left out %d more\n", b.name(), len(b.leftOut)-named)
			break
		}
		fmt.Fprintf(b.log, "%s: left out %s\n", b.name(), line)
	}
}

// check finds classes and splits that are empty now.
func (b *build) check(learned []int, t tail) error {
	for class, n := range learned {
		if n == 0 {
			return fmt.Errorf("%s has no picture of the class %q to learn from: add some", b.Path, b.Classes[class])
		}
	}
	switch {
	case t.Test == 0 && b.splits[forTest] == "":
		return fmt.Errorf("%s has no pictures for the test, which are one of %d, drawn by their names: add some",
			b.Path, testOneOf)
	case t.Test == 0:
		return fmt.Errorf("%s has no pictures in %s: put some there", b.Path, b.splits[forTest])
	case t.Validation == 0 && b.HasValidation():
		return fmt.Errorf("%s has no pictures in %s: put some there, or remove it", b.Path, b.splits[forValidation])
	}
	return nil
}

// progress says how many files are done, at the beginning, at the end, and every few seconds between.
type progress struct {
	log         io.Writer
	what        string
	done, total int
	last        time.Time
}

func (p *progress) add() {
	p.done++
	if p.done == p.total || time.Since(p.last) > 3*time.Second {
		p.say()
	}
}

func (p *progress) say() {
	p.last = time.Now()
	filled := 20 * p.done / p.total
	bar := strings.Repeat("#", filled) + strings.Repeat(".", 20-filled)
	fmt.Fprintf(p.log, "%s [%s] %d of %d\n", p.what, bar, p.done, p.total)
}
