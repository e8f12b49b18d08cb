package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// labelFile is what the user says of a run, in its folder: so it goes where the run goes, and is gone when that is
// removed. It has no part in what the run is, and none in its sums.
const labelFile = "label.json"

// Label is what the user says of a run.
type Label struct {
	Name   string `json:"name,omitempty"`
	Pinned bool   `json:"pinned,omitempty"` // to be kept
}

// readLabel reads what the user said of a run. What cannot be read may say that the run is to be kept, so it does.
func readLabel(folder *os.Root) (l Label) {
	text, err := readFile(folder, labelFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Label{}
	}
	if err != nil || json.Unmarshal(text, &l) != nil {
		return Label{Pinned: true}
	}
	return l
}

// labelOf is the label of the run in a folder.
func labelOf(dir string) Label {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return Label{Pinned: !errors.Is(err, fs.ErrNotExist)}
	}
	defer folder.Close()
	return readLabel(folder)
}

// LockLabels makes sure that one at a time, of all processes, looks at labels to change one.
func LockLabels() (unlock func() error, err error) {
	runs, err := folder()
	if err != nil {
		return nil, err
	}
	lock := flock.New(runs, flock.SetFlag(os.O_RDONLY)) // the folder itself, which has to be there anyway
	if err := lock.Lock(); err != nil {
		return nil, fmt.Errorf("cannot name or pin runs in %s: %w: make it readable, and its file system one that has locks", runs, err)
	}
	return lock.Unlock, nil
}

// SetLabel changes what the user says of the run in a folder, between LockLabels and unlock.
func SetLabel(dir string, change func(*Label)) error {
	if err := checkListed(dir); err != nil {
		return err
	}
	l := labelOf(dir)
	change(&l)
	text, err := json.Marshal(l)
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, labelFile), append(text, '\n'), 0o644, renameio.WithTempDir(dir))
	}
	switch {
	case err != nil && !exists(dir):
		return fmt.Errorf("the run %s is gone: it was removed, or got another name, meanwhile", filepath.Base(dir))
	case err != nil:
		return fmt.Errorf("cannot name or pin the run in %s: %w: make room or writable there", dir, err)
	}
	return nil
}
