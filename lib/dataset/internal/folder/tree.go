// Package folder turns a folder of pictures, with a folder in it for each class, into bytes of one size, and keeps
// those in a file, so they are decoded only once.
package folder

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"golang.org/x/text/unicode/norm"
)

// Tree is a folder of pictures.
type Tree struct {
	Path    string   // absolute
	Classes []string // sorted as torchvision's ImageFolder sorts them

	splits [3]string // the folders in Path for each split; all empty: the pictures are split by their names
	unused []string  // the folders beside them
}

// split is what a picture is for.
type split int

// The splits, in the order in which their pictures are kept.
const (
	forTraining split = iota
	forTest
	forValidation
)

// Read finds the classes of a folder, and looks no further. Errors are one line.
func Read(folder string) (Tree, error) {
	t := Tree{}
	if folder == "" {
		return t, errors.New("no folder of pictures is named: name one that has a folder in it for each class")
	}
	var err error
	if t.Path, err = filepath.Abs(folder); err != nil {
		return t, err
	}
	all, err := folders(t.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, fmt.Errorf("there is no folder %s: name one that has a folder in it for each class", t.Path)
	}
	if err != nil {
		return t, err
	}
	t.Classes = all
	if t.splits = splitFolders(all); t.splits[forTest] != "" {
		if err := t.beside(all); err != nil {
			return t, err
		}
		if t.Classes, err = t.classesOfSplits(); err != nil {
			return t, err
		}
	}
	if err := alike(t.Path, t.Classes); err != nil {
		return t, err
	}
	return t, t.enough()
}

// enough makes sure that there are classes to tell from each other.
func (t Tree) enough() error {
	in := filepath.Join(t.Path, t.splits[forTraining])
	switch {
	case len(t.Classes) > 1:
		return nil
	case len(t.Classes) == 0:
		return fmt.Errorf("%s has no folders in it: put the pictures of each class into one%s", in, butLinks(in))
	case t.splits[forTraining] == "" && called(t.Classes, splitNames[forTraining]) != "":
		return fmt.Errorf("%s has %s, but no test (or val): add that, with pictures for the test, or name %s%s",
			in, t.Classes[0], filepath.Join(in, t.Classes[0]), butLinks(in))
	}
	return fmt.Errorf("%s has one folder in it, %q: put the pictures of other classes into others%s",
		in, t.Classes[0], butLinks(in))
}

// butLinks names a link that somebody may take for a folder of the tree, as the end of a sentence.
func butLinks(in string) string {
	entries, _ := os.ReadDir(in)
	for _, entry := range entries {
		if entry.Type()&fs.ModeSymlink != 0 && !hidden(entry.Name()) {
			return fmt.Sprintf("; %q is a link, which is not followed: put a folder in its place", entry.Name())
		}
	}
	return ""
}

// beside finds the folders that are no split, and two that are the same one.
func (t *Tree) beside(all []string) error {
	t.unused = slices.Clone(all)
	for _, names := range splitNames {
		first := called(t.unused, names)
		t.unused = slices.DeleteFunc(t.unused, func(folder string) bool { return folder == first })
		if second := called(t.unused, names); second != "" {
			both := []string{first, second}
			slices.Sort(both)
			return fmt.Errorf("%s: there are %s and %s: keep one", t.Path, both[1], both[0])
		}
	}
	return nil
}

// splitNames are the names of folders by which a folder is split already.
var splitNames = [...][]string{
	forTraining:   {"train", "training"},
	forTest:       {"test", "testing"},
	forValidation: {"val", "valid", "validation"},
}

// splitFolders are those of the folders that are splits: one for training, and another one at least. Where there is none
// for test, that for validation is: many data sets call it so if they have two splits only.
func splitFolders(folders []string) (splits [3]string) {
	for split := range splits {
		splits[split] = called(folders, splitNames[split])
	}
	if splits[forTest] == "" {
		splits[forTest], splits[forValidation] = splits[forValidation], ""
	}
	if splits[forTraining] == "" || splits[forTest] == "" {
		return [3]string{}
	}
	return splits
}

// HasValidation reports whether there is a folder for validation beside those for training and test.
func (t Tree) HasValidation() bool { return t.splits[forValidation] != "" }

// TestedOn is the folder for test if its name says validation.
func (t Tree) TestedOn() string {
	return called(t.splits[forTest:forTest+1], splitNames[forValidation])
}

// called is the folder that has the first of the names that one has, in small letters or capitals.
func called(folders, names []string) string {
	for _, name := range names {
		for _, folder := range folders {
			if strings.EqualFold(folder, name) {
				return folder
			}
		}
	}
	return ""
}

// classesOfSplits are the classes of the folder for training. The others have no more.
func (t Tree) classesOfSplits() ([]string, error) {
	training, err := folders(filepath.Join(t.Path, t.splits[forTraining]))
	if err != nil {
		return nil, err
	}
	for _, other := range t.splits[forTest:] {
		if other == "" {
			continue
		}
		classes, err := folders(filepath.Join(t.Path, other))
		if err != nil {
			return nil, err
		}
		if err := alike(t.Path, slices.Concat(classes, training)); err != nil {
			return nil, err
		}
		for _, class := range classes {
			if !slices.Contains(training, class) {
				return nil, fmt.Errorf("%s has the class %q in %s and not in %s: learn from it, too, or remove it",
					t.Path, class, other, t.splits[forTraining])
			}
		}
	}
	return training, nil
}

// alike finds names that look the same but are not: an accent can be a part of its letter or a character of its own, and
// macOS writes the one where others write the other.
func alike(in string, names []string) error {
	written := map[string]string{}
	for _, name := range names {
		seen := norm.NFC.String(name)
		if other, ok := written[seen]; ok && other != name {
			return fmt.Errorf("%s has folders that look the same but are written with other characters, %+q and %+q: "+
				"give them one name", in, other, name)
		}
		written[seen] = name
	}
	return nil
}

// folders are the names of the folders in a folder, in the order of their characters' numbers.
func folders(in string) (names []string, err error) {
	entries, err := os.ReadDir(in) // sorted
	for _, entry := range entries {
		if entry.IsDir() && !hidden(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// hidden: what programs keep for themselves.
func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// file is what may be a picture.
type file struct {
	name        string // with its folders in the tree, and slashes between
	class       int
	split       split
	size, ctime int64  // of what a link leads to; when it changed, which nobody can set back
	number      uint64 // drawn by the name
}

// One of testOneOf pictures is for test.
const testOneOf = 5

// files lists what may be pictures, the order drawn by their names, those for training first, then those for test, and
// what is left out, with the reason.
func (t Tree) files() (files []file, leftOut []string, err error) {
	root, err := os.OpenRoot(t.Path)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	splits := slices.DeleteFunc(slices.Clone(t.splits[:]), func(folder string) bool { return folder == "" })
	if len(splits) == 0 {
		splits = []string{""}
	}
	found := make([]search, len(splits)*len(t.Classes))
	var group errgroup.Group
	for i := range found {
		of, class := i/len(t.Classes), i%len(t.Classes)
		found[i] = search{tree: t, root: root, class: class, split: split(of)}
		group.Go(func() error { return found[i].in(path.Join(splits[of], t.Classes[class])) })
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	if leftOut, err = t.links(splits); err != nil {
		return nil, nil, err
	}
	counts := make([]int, len(t.Classes))
	for _, s := range found {
		slices.Sort(s.leftOut)
		files, leftOut = append(files, s.files...), append(leftOut, s.leftOut...)
		counts[s.class] += len(s.files)
	}
	if class := slices.Index(counts, 0); class >= 0 {
		return nil, nil, fmt.Errorf("%s has no pictures of the class %q: put some into that folder, or remove it",
			t.Path, t.Classes[class])
	}
	slices.SortFunc(files, func(a, b file) int {
		if a.split == b.split && a.number == b.number { // as good as never
			return strings.Compare(a.name, b.name)
		}
		return cmp.Or(cmp.Compare(a.split, b.split), cmp.Compare(a.number, b.number))
	})
	return files, leftOut, nil
}

// links are those among the classes' folders, which are left out.
func (t Tree) links(splits []string) (leftOut []string, err error) {
	for _, split := range splits {
		entries, err := os.ReadDir(filepath.Join(t.Path, split))
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if entry.Type()&fs.ModeSymlink != 0 {
				leftOut = append(leftOut, fmt.Sprintf("%q: it is a link, which is not followed",
					path.Join(split, entry.Name())))
			}
		}
	}
	return leftOut, nil
}

// search collects the files of one class.
type search struct {
	tree    Tree
	root    *os.Root
	class   int
	split   split
	files   []file
	leftOut []string
}

// in looks into a folder of the tree and all folders in that.
func (s *search) in(folder string) error {
	dir, err := os.Open(filepath.Join(s.tree.Path, folder))
	if s.split != forTraining && errors.Is(err, fs.ErrNotExist) {
		return nil // no picture of this class is in this split
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := folder + "/" + entry.Name()
		switch {
		case hidden(entry.Name()):
		case entry.IsDir():
			if err := s.in(name); err != nil {
				return err
			}
		default:
			if err := s.add(name, int(dir.Fd()), entry); err != nil {
				s.leftOut = append(s.leftOut, fmt.Sprintf("%q: %v", name, err))
			}
		}
	}
	return nil
}

// endings are those of the files that are read.
var endings = []string{".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"}

// add adds a file of a folder that is open, or says why not. A link is followed if it stays within the tree.
func (s *search) add(name string, folder int, entry fs.DirEntry) error {
	var info unix.Stat_t // of tens of thousands of files, so nothing else is asked for
	err := unix.Fstatat(folder, entry.Name(), &info, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && info.Mode&unix.S_IFMT == unix.S_IFLNK {
		if info, err = s.linked(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.New("it is a link out of the folder, which is not followed")
		}
	}
	switch kind := info.Mode & unix.S_IFMT; {
	case err != nil:
		return errors.New("it is not there")
	case kind == unix.S_IFDIR:
		return errors.New("it is a link to a folder, which is not followed")
	case kind != unix.S_IFREG:
		return errors.New("it is not a file")
	case !slices.Contains(endings, strings.ToLower(path.Ext(name))):
		return fmt.Errorf("its name does not end in %s", strings.Join(endings, ", "))
	}
	f := file{name: name, class: s.class, split: s.split, size: info.Size, ctime: info.Ctim.Nano()}
	sum := sha256.Sum256([]byte(name))
	f.number = binary.BigEndian.Uint64(sum[:])
	if s.tree.splits[forTraining] == "" && f.number%testOneOf == 0 {
		f.split = forTest
	}
	s.files = append(s.files, f)
	return nil
}

// linked is what a link within the tree leads to.
func (s *search) linked(name string) (info unix.Stat_t, err error) {
	found, err := s.root.Stat(name)
	if err == nil {
		of := found.Sys().(*syscall.Stat_t)
		info.Mode, info.Size, info.Ctim = of.Mode, of.Size, unix.Timespec(of.Ctim)
	}
	return info, err
}
