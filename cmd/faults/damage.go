package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// damage is what can happen to a file. The stranger is a file of the same name of another network, the neighbour
// another file of the same folder.
type damage struct {
	name string
	do   func(t *trial, path string, stranger, neighbour string) error
}

// damages, first those that leave a file, then those that put something else in its place.
var damages = []damage{
	{"cut in half", changed(func(t *trial, content []byte) []byte { return content[:len(content)/2] })},
	{"without its last byte", changed(func(t *trial, content []byte) []byte { return content[:len(content)-1] })},
	{"cut anywhere", changed(func(t *trial, content []byte) []byte { return content[:t.random.IntN(len(content))] })},
	{"empty", changed(func(*trial, []byte) []byte { return nil })},
	{"with a byte more", changed(func(_ *trial, content []byte) []byte { return append(content, '\n') })},
	{"with a flipped bit", changed(func(t *trial, content []byte) []byte { return flipped(t, content, len(content)) })},
	{"with a flipped bit near its beginning", changed(func(t *trial, content []byte) []byte {
		return flipped(t, content, min(len(content), 300))
	})},
	{"with a changed digit", changed(otherDigit)},
	{"with zeros in the middle", changed(func(_ *trial, content []byte) []byte {
		clear(content[len(content)/3 : len(content)/3+min(512, len(content)/3)])
		return content
	})},
	{"swapped with another file", func(_ *trial, path, _, neighbour string) error { return swap(path, neighbour) }},
	{"of another network", func(_ *trial, path, stranger, _ string) error { return copyFile(stranger, path, 0o644) }},
	{"missing", func(*trial, string, string, string) error { return nil }},
	{"a folder", func(_ *trial, path, _, _ string) error { return os.Mkdir(path, 0o755) }},
	{"a FIFO", func(_ *trial, path, _, _ string) error { return syscall.Mkfifo(path, 0o644) }},
	{"a link to nowhere", func(_ *trial, path, _, _ string) error { return os.Symlink("nowhere", path) }},
	{"a link to itself", func(_ *trial, path, _, _ string) error { return os.Symlink(filepath.Base(path), path) }},
	{"a device without end", func(_ *trial, path, _, _ string) error { return os.Symlink("/dev/zero", path) }},
}

// changed damages a file's content. The file is a new one: others may be links to the old one.
func changed(change func(t *trial, content []byte) []byte) func(t *trial, path, stranger, neighbour string) error {
	return func(t *trial, path, _, _ string) error {
		content, err := os.ReadFile(path + asideSuffix)
		if err != nil {
			return err
		}
		good := slices.Clone(content)
		bad := change(t, content)
		if bytes.Equal(good, bad) {
			return errors.New("the trial has changed nothing")
		}
		return os.WriteFile(path, bad, 0o644)
	}
}

func flipped(t *trial, content []byte, n int) []byte {
	content[t.random.IntN(n)] ^= 1 << t.random.IntN(8)
	return content
}

var digit = regexp.MustCompile(`[0-9]`)

func otherDigit(t *trial, content []byte) []byte {
	places := digit.FindAllIndex(content, -1)
	if len(places) == 0 {
		return flipped(t, content, len(content))
	}
	at := places[t.random.IntN(len(places))][0]
	content[at] = '0' + (content[at]-'0'+1+byte(t.random.IntN(9)))%10
	return content
}

func swap(path, neighbour string) error {
	return errors.Join(copyFile(neighbour, path, 0o644), os.Rename(path+asideSuffix, neighbour))
}

// asideSuffix is of the undamaged file while a damage is done.
const asideSuffix = ".undamaged"

// harm does the damage to a file. Its mode stays what it was.
func (t *trial) harm(d damage, path, stranger, neighbour string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := os.Rename(path, path+asideSuffix); err != nil {
		return err
	}
	if err := d.do(t, path, stranger, neighbour); err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink == 0 && !info.IsDir() {
		os.Chmod(path, 0o644)
	}
	if now, err := os.Lstat(path); err == nil && now.Mode().IsRegular() {
		os.Chmod(path, info.Mode().Perm())
	}
	os.Remove(path + asideSuffix)
	return nil
}

// other is the task whose files are the strangers.
var other = map[string]string{"adam": "muon", "muon": "sgd", "sgd": "tiny", "tiny": "sgd"}

// damagedRun damages a file of a finished run: it must not be loaded, and the error must name the file, or its run; and
// training again must give what it gave.
func damagedRun(task, file string, d damage) attempt {
	return attempt{what: fmt.Sprintf("a finished run's %s, %s", file, d.name), try: func(t *trial) error {
		p, r, err := t.finished(task)
		if err != nil {
			return err
		}
		strange, err := t.lab.reference(other[task])
		if err != nil {
			return err
		}
		run := filepath.Join(p.runs, r.name)
		neighbours := slices.DeleteFunc(slices.Clone(finishedFiles), func(name string) bool { return name == file })
		neighbour := filepath.Join(run, neighbours[t.random.IntN(len(neighbours))])
		if err := t.harm(d, filepath.Join(run, file), filepath.Join(strange.run(), file), neighbour); err != nil {
			return err
		}
		if strings.HasPrefix(d.name, "swapped") {
			file = "" // either may be named
		}
		return t.damagedRunIsNoticed(p, r, task, file)
	}}
}

// damagedRunIsNoticed looks whether a finished run with a damaged file is refused, and comes back when it is trained
// again.
func (t *trial) damagedRunIsNoticed(p place, r reference, task, file string) error {
	run := filepath.Join(p.runs, r.name)
	loaded := t.run(p, "-task", task, "-load")
	words := []string{run, file}
	if file == "SHA256SUMS" { // without it the run is not finished
		if loaded.refused() == nil && strings.Contains(loaded.errors, "not trained") {
			words = nil
		}
	}
	if err := loaded.refused(words...); err != nil {
		return fmt.Errorf("loading it: %w", err)
	}
	if fitted := t.run(p, "-task", task); fitted.code != 0 || fitted.hung {
		if err := fitted.refused(words...); err != nil {
			return fmt.Errorf("training it: %w", err)
		}
		if err := t.run(p, "-task", task, "-fresh").same(r.result); err != nil {
			return fmt.Errorf("training it again, as the error says: %w", err)
		}
	} else if err := fitted.same(r.result); err != nil {
		return fmt.Errorf("training it: %w", err)
	}
	if err := t.run(p, "-task", task, "-load").same(r.result); err != nil {
		return fmt.Errorf("loading it in the end: %w", err)
	}
	return whole(run, r)
}

// exchangedRun puts the whole folder of another run into the place of a finished one: every sum in it is right.
func exchangedRun(task string, args ...string) attempt {
	return attempt{what: fmt.Sprintf("a finished run's whole folder, of another run %v", args), try: func(t *trial) error {
		p, r, err := t.finished(task)
		if err != nil {
			return err
		}
		from := r
		if len(args) == 0 {
			from, err = t.lab.reference(other[task])
		} else {
			from, err = t.lab.reference(task, args...)
		}
		if err != nil {
			return err
		}
		run := filepath.Join(p.runs, r.name)
		removeAll(run)
		if err := copyTree(from.run(), run); err != nil {
			return err
		}
		return t.damagedRunIsNoticed(p, r, task, "config.json")
	}}
}

// damagedCheckpoint damages the newest checkpoint of an interrupted training, or all: it must go on from what is whole.
func damagedCheckpoint(task string, all bool, d damage) attempt {
	what := "the newest checkpoint"
	if all {
		what = "both checkpoints"
	}
	return attempt{what: what + ", " + d.name, try: func(t *trial) error {
		p, r, err := t.interrupted(task)
		if err != nil {
			return err
		}
		other := other[task]
		elsewhere, strange, err := (&trial{lab: t.lab, dir: filepath.Join(t.dir, "strange")}).interrupted(other)
		if err != nil {
			return err
		}
		strangers := checkpoints(strange.training(elsewhere))
		run := r.training(p)
		these := checkpoints(run)
		if !all {
			these = these[1:]
		}
		for _, path := range these {
			if err := t.harm(d, path, strangers[0], filepath.Join(run, "config.json")); err != nil {
				return err
			}
		}
		return t.goesOn(p, r, task, these, d.name == "missing")
	}}
}

// goesOn looks whether a training goes on to the right end, having said which checkpoints it cannot use.
func (t *trial) goesOn(p place, r reference, task string, damaged []string, silently bool) error {
	o := t.run(p, "-task", task)
	if err := o.same(r.result); err != nil {
		return err
	}
	for _, path := range damaged {
		if !silently && !o.says(path, "set aside") {
			return fmt.Errorf("nothing was said of %s", filepath.Base(path))
		}
	}
	return whole(filepath.Join(p.runs, r.name), r)
}

// exchangedCheckpoint gives a training the checkpoint of one with another seed: the network is the same, and every sum
// in it is right.
func exchangedCheckpoint(task string) attempt {
	return attempt{what: "the newest checkpoint, of another seed", try: func(t *trial) error {
		p, r, err := t.interrupted(task)
		if err != nil {
			return err
		}
		run := r.training(p)
		elsewhere := newPlace(filepath.Join(t.dir, "strange"))
		c := t.start(elsewhere, "-task", task, "-seed", "2")
		defer c.kill()
		var strangers []string
		for len(strangers) == 0 {
			strangers, _ = filepath.Glob(filepath.Join(elsewhere.runs, "*", "checkpoint-*.safetensors"))
			if c.ended() {
				return skipped{"the other training ended too soon"}
			}
		}
		c.kill()
		c.wait()
		strange := filepath.Join(run, "checkpoint-999"+filepath.Base(strangers[0])[len("checkpoint-999"):])
		if err := os.Rename(strangers[0], strange); err != nil {
			return skipped{err.Error()}
		}
		return t.goesOn(p, r, task, []string{strange}, false)
	}}
}

// damagedData damages a file of a data set in the cache: it must be set aside and fetched again.
func damagedData(file string, d damage) attempt {
	return attempt{what: "the cache's " + file + ", " + d.name, try: func(t *trial) error {
		p, r, err := t.fresh("mnist", true)
		if err != nil {
			return err
		}
		if err := t.lab.pack("mnist"); err != nil {
			return err
		}
		folder := p.data("mnist")
		if err := t.harmData(d, folder, file); err != nil {
			return err
		}
		o := t.run(p, "-task", "mnist")
		if err := o.same(r.result); err != nil {
			return err
		}
		absent := d.name == "missing" || strings.HasPrefix(d.name, "a link to")
		if !absent && !o.says(filepath.Join(folder, file), "damaged", "set aside") {
			return errors.New("nothing was said of the damage")
		}
		if err := sameFile(filepath.Join(folder, file), file, t.lab); err != nil {
			return err
		}
		return onlyData(p, "mnist")
	}}
}

// damagedOwnData damages a file in a folder of the user's own: it must be refused, and nothing changed there.
func damagedOwnData(file string, d damage) attempt {
	return attempt{what: "the user's own " + file + ", " + d.name, try: func(t *trial) error {
		p, r, err := t.fresh("mnist", true)
		if err != nil {
			return err
		}
		p.own = filepath.Join(t.dir, "own")
		if err := os.Rename(p.data("mnist"), p.own); err != nil {
			return err
		}
		if err := t.run(p, "-task", "mnist").same(r.result); err != nil {
			return fmt.Errorf("before the damage: %w", err)
		}
		removeAll(p.runs)
		if err := t.harmData(d, p.own, file); err != nil {
			return err
		}
		before := files(p.own)
		if err := t.run(p, "-task", "mnist").refused(p.own); err != nil {
			return err
		}
		if !sameFiles(before, files(p.own)) {
			return errors.New("something was changed in the user's own folder")
		}
		return nil
	}}
}

func (t *trial) harmData(d damage, folder, file string) error {
	i := slices.Index(mnistFiles, file)
	neighbour := filepath.Join(folder, mnistFiles[(i+2)%4]) // images for images, labels for labels
	strange := filepath.Join(t.dir, "stranger")
	good, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		return err
	}
	wrong := slices.Concat(good[:16], bytes.Repeat([]byte{7}, len(good)-16)) // of the right size and form
	if err := os.WriteFile(strange, wrong, 0o644); err != nil {
		return err
	}
	return t.harm(d, filepath.Join(folder, file), strange, neighbour)
}

// sameFile is nil if the file is one of MNIST's, as it should be.
func sameFile(path, name string, l *lab) error {
	folder, err := l.folderOf("mnist")
	if err != nil {
		return err
	}
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	want, err := os.ReadFile(filepath.Join(folder, name))
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%s is not as it should be in the end", name)
	}
	return err
}

// damagedProgram damages one of a training's compiled programs: it must be compiled again and compute the same.
func damagedProgram(task string, d damage) attempt {
	return attempt{what: "a compiled program, " + d.name, try: func(t *trial) error {
		p, r, err := t.fresh(task, true)
		if err != nil {
			return err
		}
		strange, err := t.lab.reference(other[task])
		if err != nil {
			return err
		}
		programs, err := filepath.Glob(filepath.Join(p.compiled, "*.xla"))
		strangers, err2 := filepath.Glob(filepath.Join(strange.compiled, "*.xla"))
		if err := errors.Join(err, err2); err != nil || len(programs) < 2 || len(strangers) < 1 {
			return fmt.Errorf("%d and %d programs were kept (%w)", len(programs), len(strangers), err)
		}
		path := programs[t.random.IntN(len(programs))]
		neighbour := programs[(slices.Index(programs, path)+1)%len(programs)]
		if err := t.harm(d, path, strangers[0], neighbour); err != nil {
			return err
		}
		before, _ := os.ReadFile(onlyRegular(path))
		if err := t.run(p, "-task", task).same(r.result); err != nil {
			return err
		}
		if info, err := os.Lstat(path); d.name != "a folder" {
			after, _ := os.ReadFile(onlyRegular(path))
			if err != nil || !info.Mode().IsRegular() || len(after) == 0 || bytes.Equal(before, after) {
				return errors.New("it was not compiled and kept again: was the damaged one used?")
			}
		}
		removeAll(p.runs)
		if err := t.run(p, "-task", task).same(r.result); err != nil {
			return fmt.Errorf("the next time: %w", err)
		}
		for name := range files(p.compiled) {
			if strings.HasSuffix(name, ".partial") {
				return fmt.Errorf("%s is left", name)
			}
		}
		return nil
	}}
}

// onlyRegular is the path of a regular file, or of none.
func onlyRegular(path string) string {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// otherVersion raises a number behind the given text.
func otherVersion(before string) damage {
	return damage{"of another version", changed(func(_ *trial, content []byte) []byte {
		i := bytes.Index(content, []byte(before))
		if i >= 0 {
			content[i+len(before)]++
		}
		return content
	})}
}

func damagedFiles() (all []attempt) {
	for i, file := range finishedFiles {
		for k, d := range damages {
			all = append(all, damagedRun([]string{"tiny", "sgd"}[(i+k)%2], file, d))
		}
	}
	all = append(all, damagedRun("sgd", "config.json", otherVersion(`"format": `)),
		exchangedRun("tiny"), exchangedRun("tiny", "-seed", "2"))
	three := []string{"adam", "muon", "sgd"}
	for i, d := range damages {
		all = append(all, damagedCheckpoint(three[i%2], i%4 == 3, d))
	}
	all = append(all, exchangedCheckpoint("adam"))
	for i, d := range damages {
		all = append(all, damagedData(mnistFiles[i%4], d))
		if i%3 == 0 {
			all = append(all, damagedOwnData(mnistFiles[(i+1)%4], d))
		}
	}
	for i, d := range damages {
		all = append(all, damagedProgram(three[i%3], d))
	}
	return append(all, damagedProgram("adam", otherVersion("XLAkept")))
}
