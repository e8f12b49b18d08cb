package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"example.org/convbook/lib/train/internal/store"
)

// Stored is what is known of a run on disk without reading its weights. [Runs] and [Find] give one; one that is made by
// hand is no run, and its methods refuse it.
type Stored struct {
	ID     string `json:"id"`  // the name of its folder
	Dir    string `json:"dir"` // its folder
	State  State  `json:"state"`
	Step   int    `json:"step,omitempty"`
	Damage string `json:"damage,omitempty"` // what is wrong with it
	Name   string `json:"name,omitempty"`   // given by the user
	Pinned bool   `json:"pinned,omitempty"` // by the user: it is not removed
	Bytes  int64  `json:"bytes"`            // on disk

	// Date is when its training began. Of a run that is not finished or cannot be read, it is when it was last used.
	Date time.Time `json:"date"`
	Used time.Time `json:"used"` // when it was written or loaded last

	// Result is the finished run's. That of an unfinished one has only the network's name, the data and the recipe.
	Result Result `json:"result,omitzero"`

	place  *store.Run // of the folder that was found, whatever Dir is made to say
	digits string     // by which its folder's name ends
}

// State is what a run on disk is; see [Runs].
type State string

const (
	Finished   State = "finished"
	Unfinished State = "unfinished" // a process is training it, or it was interrupted
	Replaced   State = "replaced"   // a newer one with Fresh: true stands where it stood
	Older      State = "older"      // of another version of this package
	Damaged    State = "damaged"    // it cannot be what was written
)

// check refuses what did not come from the disk, such as what a failed Find returns: it names no run, or a folder that is
// none.
func (s Stored) check() error {
	if s.place == nil {
		return errors.New("this is not a stored run: get one with train.Find or train.Runs")
	}
	return nil
}

// Runs lists the runs on disk, those with the latest date first:
//
//   - finished ones;
//   - unfinished ones, which a process is training or which were interrupted, after so many steps;
//   - replaced ones, which stood where a newer one with Fresh: true stands now;
//   - older ones, of another version of this package, which are named and not read;
//   - damaged ones, which cannot be what was written.
//
// It reads of each run only what it says of itself, so damage to weights shows when they are loaded. It writes nothing
// and waits for nothing.
func Runs() ([]Stored, error) { return runsOf("") }

// runsOf lists the runs under a label, and all for none.
func runsOf(label string) ([]Stored, error) {
	entries, err := store.List(label)
	if err != nil {
		return nil, err
	}
	runs := make([]Stored, 0, len(entries))
	for _, e := range entries {
		runs = append(runs, stored(e))
	}
	slices.SortStableFunc(runs, func(a, b Stored) int { return b.Date.Compare(a.Date) })
	return runs, nil
}

// stored is what a run's folder says.
func stored(e store.Entry) Stored {
	s := Stored{
		ID: filepath.Base(e.Dir), Dir: e.Dir, State: Finished, Name: e.Label.Name, Pinned: e.Label.Pinned,
		Bytes: e.Bytes, Date: e.Used, Used: e.Used, place: e.Place(), digits: e.Digits,
	}
	if ofAnother(e.About) {
		s.State = Older
		return s
	}
	err := e.Damage
	if err == nil {
		err = s.read(e)
	}
	if err != nil {
		s.State, s.Damage, s.Result = Damaged, err.Error(), Result{}
	}
	return s
}

// ofAnother reports whether a config.json is of another version of this package. It reads no further than it must:
// networks are long, and runs are many.
func ofAnother(about []byte) bool {
	text := json.NewDecoder(bytes.NewReader(about))
	if start, err := text.Token(); err != nil || start != json.Delim('{') {
		return false
	}
	ours := map[string]float64{"format": format, "version": version}
	for len(ours) > 0 && text.More() {
		key, err := text.Token()
		var value any
		if err != nil || text.Decode(&value) != nil {
			return false
		}
		name, _ := key.(string)
		if want, asked := ours[name]; asked && value != want {
			return true
		}
		delete(ours, name)
	}
	return false
}

// read reads what a run of this version says of itself.
func (s *Stored) read(e store.Entry) error {
	switch e.Kind {
	case store.Training:
		var about known
		if err := json.Unmarshal(e.About, &about); err != nil {
			return fmt.Errorf("%s: %w", store.Config, err)
		}
		s.State, s.Step = Unfinished, e.Step
		s.Result = Result{Network: about.Name, Data: about.Data, Recipe: about.Recipe}
		return nil
	case store.Previous:
		s.State = Replaced
	}
	if err := json.Unmarshal(e.Result, &s.Result); err != nil {
		return fmt.Errorf("%s: %w", store.Result, err)
	}
	s.Date = s.Result.StartedAt
	return nil
}

// Status says in a few words what became of the run.
func (s Stored) Status() string {
	switch s.State {
	case Unfinished:
		return fmt.Sprintf("unfinished, step %d", s.Step)
	case Older:
		return "of another version"
	case Damaged:
		return "damaged: " + s.Damage
	}
	return string(s.State)
}

// Title is the name that the user gave the run, and that of its folder without one.
func (s Stored) Title() string {
	if s.Name != "" {
		return s.Name
	}
	return s.ID
}

// TimeLayout is how dates of runs are shown: a layout for [time.Time.Format].
const TimeLayout = "2006-01-02 15:04"

// Outcome is the run's accuracy in percent and how many seconds it was trained, as tables show them; each is "–" as
// long as the run is not finished.
func (s Stored) Outcome() (accuracy, seconds string) {
	if s.Result.StartedAt.IsZero() {
		return "–", "–"
	}
	return fmt.Sprintf("%.2f", s.Result.TestAccuracy), fmt.Sprintf("%.1f", s.Result.TrainSeconds)
}

// Validated are the runs' accuracies on their validation images in percent, as tables show them, and nil if no run has
// one: "–" stands for a run without validation images, one that is not finished, or one that an earlier version stored.
func Validated(runs ...Stored) (accuracies []string) {
	known := false
	for _, s := range runs {
		accuracy := "–"
		if s.Result.ValidationLoss != 0 || s.Result.ValidationAccuracy != 0 {
			accuracy, known = fmt.Sprintf("%.2f", s.Result.ValidationAccuracy), true
		}
		accuracies = append(accuracies, accuracy)
	}
	if !known {
		return nil
	}
	return accuracies
}

// trained says which finished run it is, for a sentence.
func (s Stored) trained() string {
	which := fmt.Sprintf("the run of %s", s.Date.Local().Format(TimeLayout))
	if s.Name != "" {
		which += fmt.Sprintf(" (%q)", s.Name)
	}
	return fmt.Sprintf("%s with %.2f %%", which, s.Result.TestAccuracy)
}

// History reads how a finished run went.
func (s Stored) History() (h History, err error) {
	return h, s.load(map[string]any{store.History: &h})
}

// load reads and checks the files of a finished run and decodes those that into names.
func (s Stored) load(into map[string]any) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.State != Finished && s.State != Replaced {
		return fmt.Errorf("the run %s was not trained to its end: it is %s", s.ID, s.Status())
	}
	err := s.place.Load(into)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the run %s was removed meanwhile", s.ID)
	}
	return err
}

// Find is the stored run with the name that the user gave it, or with this folder. Of a folder's name its beginning is
// enough, or that of the digits at its end, if there is only one run like that. A path is that folder, or an error.
func Find(name string) (Stored, error) {
	found, err := FindAll(name)
	if err != nil {
		return Stored{}, err
	}
	return found[0], nil
}

// FindAll is [Find] for each of the names. It reads what is on disk once, however many there are.
func FindAll(names ...string) (found []Stored, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	runs, err := Runs()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		run, err := find(runs, name)
		if err != nil {
			return nil, err
		}
		found = append(found, run)
	}
	return found, nil
}

// find is Find among the runs.
func find(runs []Stored, name string) (Stored, error) {
	if strings.ContainsRune(name, os.PathSeparator) {
		return findFolder(runs, name)
	}
	for _, is := range []func(Stored) bool{
		func(s Stored) bool { return sameName(s.Name, name) },
		func(s Stored) bool { return s.ID == name },
		func(s Stored) bool { return strings.HasPrefix(s.ID, name) || strings.HasPrefix(s.digits, name) },
	} {
		var found []Stored
		for _, s := range runs {
			if name != "" && is(s) {
				found = append(found, s)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return Stored{}, fmt.Errorf("%q may be one of %d runs: say which, %s", name, len(found), some(found))
		}
	}
	return Stored{}, noSuchRun(name)
}

func noSuchRun(name string) error {
	return fmt.Errorf("there is no run %q: make runs lists those that there are", name)
}

// findFolder is the run in a folder.
func findFolder(runs []Stored, path string) (Stored, error) {
	wanted, err := os.Stat(path)
	if err != nil {
		return Stored{}, noSuchRun(path)
	}
	for _, s := range runs {
		if there, err := os.Stat(s.Dir); err == nil && os.SameFile(wanted, there) {
			return s, nil
		}
	}
	return Stored{}, fmt.Errorf("%q is not in the folder of runs: set %s to the one that it is in", path, RunsEnv)
}

// sameName compares names as they look: an accent can be a part of its letter or a character of its own.
func sameName(a, b string) bool { return norm.NFC.String(a) == norm.NFC.String(b) }

// some names a few of the runs.
func some(runs []Stored) string {
	const few = 4
	var names []string
	for _, s := range runs[:min(few, len(runs))] {
		names = append(names, s.ID)
	}
	if len(runs) > few {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// longestName is how many characters a run's name may have: what a table has room for.
const longestName = 60

// SetName gives the run a name of the user's, by which Find finds it, or takes it away if it is empty. The run itself
// stays what it is.
func (s Stored) SetName(name string) error {
	if err := s.check(); err != nil {
		return err
	}
	name = strings.TrimSpace(name)
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r == '/' || !unicode.IsPrint(r) }) {
		return fmt.Errorf("a run cannot be called %q: leave out slashes, line breaks and what cannot be seen", name)
	}
	if n := utf8.RuneCountInString(name); n > longestName {
		return fmt.Errorf("a run's name of %d characters is too long: it may have %d", n, longestName)
	}
	unlock, err := store.LockLabels() // or two runs could get one name at the same time
	if err != nil {
		return err
	}
	defer unlock()
	runs, err := Runs()
	if err != nil {
		return err
	}
	for _, other := range runs {
		if name != "" && other.ID != s.ID && (sameName(other.Name, name) || other.ID == name) {
			return fmt.Errorf("another run is called %q already, %s: take another name", name, other.ID)
		}
		if name != "" && other.ID != s.ID && strings.HasPrefix(other.digits, name) {
			return fmt.Errorf("%q is the beginning of another run's digits, %s: take another name", name, other.ID)
		}
	}
	return store.SetLabel(s.place.Dir(), func(l *store.Label) { l.Name = name })
}

// Pin says whether the run is to be kept. A pinned run is not removed, and not replaced for good.
func (s Stored) Pin(pinned bool) error {
	if err := s.check(); err != nil {
		return err
	}
	unlock, err := store.LockLabels()
	if err != nil {
		return err
	}
	defer unlock()
	return store.SetLabel(s.place.Dir(), func(l *store.Label) { l.Pinned = pinned })
}

// Remove deletes the run, unless it is pinned or another process is training it.
func (s Stored) Remove() error {
	if err := s.check(); err != nil {
		return err
	}
	return store.Remove(s.place.Dir())
}

// namesakes are the runs of a network and a data set that are called as the task's are. Where they cannot be listed there
// are none: the task itself says what is wrong with the folder.
func (p *plan) namesakes() []Stored {
	runs, _ := runsOf(p.label())
	return runs
}

// others are those of the runs that are finished, of the task's network on the same data set, with other settings.
func (p *plan) others(all []Stored) (runs []Stored) {
	for _, s := range all {
		if s.State == Finished && s.Result.Network == p.summary.Network && s.Result.Data.Name == p.Data.Name &&
			len(differences(s.place, p.place)) > 0 {
			runs = append(runs, s)
		}
	}
	return runs
}
