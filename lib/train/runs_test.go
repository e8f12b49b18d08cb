package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train/internal/store"
	"example.org/convbook/lib/zoo"
)

func mustList(t *testing.T) []Stored {
	t.Helper()
	runs, err := Runs()
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func mustFind(t *testing.T, name string) Stored {
	t.Helper()
	s, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// states are the runs' states by their folders.
func states(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, s := range mustList(t) {
		all[s.ID] = string(s.State)
	}
	return all
}

// snapshot is all that a folder holds, and when it was written.
func snapshot(t *testing.T, dir string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		lines = append(lines, fmt.Sprint(path, info.Size(), info.ModTime()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// Every kind of run is listed as what it is, with what it says of itself, and listing changes nothing on disk, not even
// while another process trains.
func TestRuns(t *testing.T) {
	runs := isolate(t)
	if got := mustList(t); len(got) != 0 {
		t.Errorf("runs in an empty folder: %v", got)
	}
	fresh := quick()
	fresh.Fresh = true
	mustFit(t, fresh)
	run := mustFit(t, fresh)
	unfinished := quick()
	unfinished.Seed = 2
	checkError(t, interruptAt(t, 11, unfinished), "interrupted")
	for name, about := range map[string]string{
		"Old-0123456789ab": `{"format": 2, "network": "Old"}`, "Oldest-0123456789ab.training": `{"format": 1}`,
		"Later-0123456789ab.previous": `{"format": 99}`, "Early-0123456789ab": fmt.Sprintf(`{"format": %d, "version": 1}`, format),
		"my notes": "", "a-0123456789ab.backup": `{"format": 2}`, ".removed-b-0123456789ab": `{"format": 2}`,
	} {
		os.Mkdir(filepath.Join(runs, name), 0o755)
		if err := os.WriteFile(filepath.Join(runs, name, store.Config), []byte(about), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lock := flock.New(run.Dir() + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	id, before := filepath.Base(run.Dir()), snapshot(t, runs)
	want := map[string]string{
		id: "finished", id + ".previous": "replaced", filepath.Base(mustPlan(t, unfinished).place.Dir()) + ".training": "unfinished",
		"Old-0123456789ab": "older", "Oldest-0123456789ab.training": "older", "Later-0123456789ab.previous": "older", "Early-0123456789ab": "older",
	}
	if got := states(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("listed\n%v, want\n%v", got, want)
	}
	if found, err := FindAll(id+".previous", id); err != nil || len(found) != 2 || found[0].State != Replaced || found[1].State != Finished {
		t.Errorf("found %+v, %v", found, err)
	}
	found, err := FindAll(id, "nobody")
	if checkError(t, err, `there is no run "nobody"`); found != nil {
		t.Errorf("found %+v with one that is not there", found)
	}
	for _, s := range mustList(t) {
		var size int64
		files, _ := os.ReadDir(s.Dir)
		for _, file := range files {
			info, _ := file.Info()
			size += info.Size()
		}
		if s.Bytes != size || s.Dir != filepath.Join(runs, s.ID) {
			t.Errorf("%s in %s has %d bytes, want %d", s.ID, s.Dir, s.Bytes, size)
		}
		switch s.State {
		case "finished", "replaced":
			if fmt.Sprint(s.Result) != fmt.Sprint(run.Result) && s.State == "finished" || !s.Date.Equal(s.Result.StartedAt) {
				t.Errorf("%s says %v, want %v", s.ID, s.Result, run.Result)
			}
			if h, err := s.History(); err != nil || !slices.Equal(h.Losses, run.History.Losses) {
				t.Errorf("%s: losses %v, %v", s.ID, h.Losses, err)
			}
		case "unfinished":
			if s.Step != 11 || s.Status() != "unfinished, step 11" || s.Result.Network != "Linear" || s.Result.Recipe.Seed != 2 {
				t.Errorf("the unfinished run is %v", s)
			}
			_, err := s.History()
			checkError(t, err, "was not trained to its end: it is unfinished, step 11")
		}
	}
	if after := snapshot(t, runs); len(after) != len(before) {
		t.Errorf("on disk is\n%v, before\n%v", after, before)
	}
}

// What shows in the files that a list reads, or in those that are there, is damage, in a few words.
func TestDamagedRunsAreListed(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick())
	stranger := quick()
	stranger.Seed = 2
	other := mustFit(t, stranger)
	whole := filepath.Join(t.TempDir(), "whole")
	if err := os.CopyFS(whole, os.DirFS(run.Dir())); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) func() error {
		return func() error { return os.WriteFile(inRun(run, name), []byte(text), 0o644) }
	}
	type damage struct {
		remove string
		do     func() error
		want   string
	}
	copied := func(from string) func() error {
		return func() error { return os.CopyFS(run.Dir(), os.DirFS(from)) }
	}
	damages := []damage{
		{"", write(store.Result, `{"network": "Linear", "test_accuracy": 100}`), "result.json is not the one whose sum is in SHA256SUMS"},
		{"", write(store.Result, "null"), "result.json is not the one whose sum is in SHA256SUMS"},
		{"", write(store.Config, "{"), "config.json is not the one whose sum is in SHA256SUMS"},
		{"", write(store.Config, ""), "config.json is not the one whose sum is in SHA256SUMS"},
		{"", write("SHA256SUMS", ""), "is not the one whose sum is in SHA256SUMS"},
		{store.Result, func() error { return os.Mkdir(inRun(run, store.Result), 0o755) }, "result.json: result.json is not a file"},
		{store.Config, func() error { return syscall.Mkfifo(inRun(run, store.Config), 0o644) }, "config.json: config.json is not a file"},
		{".", copied(other.Dir()), "config.json is of another run"},
		{".", copied(t.TempDir()), "it has no config.json"},
	}
	for _, name := range finishedFiles {
		damages = append(damages, damage{name, func() error { return nil }, "it has no " + name})
	}
	for _, d := range damages {
		os.RemoveAll(run.Dir())
		if err := os.CopyFS(run.Dir(), os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		if d.remove != "" {
			os.RemoveAll(filepath.Clean(inRun(run, d.remove)))
		}
		if err := d.do(); err != nil {
			t.Fatal(err)
		}
		s := mustFind(t, run.Dir())
		if s.State != "damaged" || !strings.HasSuffix(s.Damage, d.want) || s.Status() != "damaged: "+s.Damage || s.Result.TestAccuracy != 0 {
			t.Errorf("%s: %s, want %q", s.State, s.Damage, d.want)
		}
	}
}

// Runs that come and go while they are listed are listed whole or not at all.
func TestRunsWhileTheyChange(t *testing.T) {
	isolate(t)
	c := quick()
	run := mustFit(t, c)
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(run.Dir())); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	place := mustPlan(t, c).place
	go func() {
		for range 200 { // as a fresh training does, and then a removal
			if err := os.CopyFS(run.Dir()+".copying", os.DirFS(copied)); err != nil {
				done <- err
				return
			}
			os.Rename(run.Dir()+".copying", run.Dir()+".training")
			unlock, err := place.Lock(context.Background(), func() {})
			if err == nil && place.Trained() { // else it was loaded and installed by that
				err = place.Install()
			}
			if err != nil {
				done <- err
				return
			}
			unlock()
			store.Remove(run.Dir())
		}
		close(done)
	}()
	for lists := 0; ; lists++ {
		select {
		case err := <-done:
			if err != nil || lists == 0 {
				t.Errorf("%v, after %d lists", err, lists)
			}
			return
		default:
		}
		for _, s := range mustList(t) {
			if s.State == "damaged" {
				t.Errorf("%s is listed as damaged: %s", s.ID, s.Damage)
			}
		}
		if _, err := c.Load(); err != nil && !strings.Contains(err.Error(), "was not trained on") {
			t.Errorf("loading a run that comes and goes: %v", err)
		}
	}
}

// A name and a pin are the user's: the run, its folder's name and its sums stay what they are.
func TestNamesAndPins(t *testing.T) {
	isolate(t)
	run := mustFit(t, quick())
	sums, _ := os.ReadFile(inRun(run, "SHA256SUMS"))
	for _, name := range []string{"my best", "我的 最好", `"quoted" \ 100 %`, strings.Repeat("好", 60)} {
		s := mustFind(t, run.Dir())
		if err := s.SetName(" " + name + " "); err != nil {
			t.Fatal(err)
		}
		if err := s.Pin(true); err != nil {
			t.Fatal(err)
		}
		s = mustFind(t, name)
		if s.Dir != run.Dir() || s.Name != name || s.Title() != name || !s.Pinned || s.State != "finished" {
			t.Errorf("%q is %v", name, s)
		}
		checkError(t, s.Remove(), "is pinned: unpin it first")
	}
	if _, err := quick().Load(); err != nil {
		t.Error(err)
	}
	if now, _ := os.ReadFile(inRun(run, "SHA256SUMS")); string(now) != string(sums) {
		t.Error("the sums are others")
	}
	s := mustFind(t, run.Dir())
	if err := s.SetName(""); err != nil {
		t.Fatal(err)
	}
	if s = mustFind(t, run.Dir()); s.Title() != s.ID || !s.Pinned {
		t.Errorf("without a name it is %v", s)
	}
	// What cannot be read may say that the run is pinned.
	for _, text := range []string{"", "{", `{"pinned": "yes"}`} {
		if err := os.WriteFile(inRun(run, "label.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		checkError(t, mustFind(t, run.Dir()).Remove(), "is pinned")
	}
	if err := s.Pin(false); err != nil {
		t.Fatal(err)
	}
	if s = mustFind(t, run.Dir()); s.Pinned || s.State != "finished" {
		t.Errorf("without a pin it is %v", s)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	checkError(t, s.SetName("too late"), "is gone")
}

// Two that change labels at the same time lose neither's change, and no two runs get one name.
func TestLabelsChangedAtTheSameTime(t *testing.T) {
	isolate(t)
	c := quick()
	first := mustFind(t, mustFit(t, c).Dir())
	c.Seed = 2
	second := mustFind(t, mustFit(t, c).Dir())
	for i := range 50 {
		name, pinned := fmt.Sprint("name ", i), i%2 == 0
		var all sync.WaitGroup
		var named [2]error
		all.Go(func() { named[0] = first.SetName(name) })
		all.Go(func() { named[1] = second.SetName(name) })
		all.Go(func() {
			if err := errors.Join(first.Pin(pinned), second.Pin(pinned)); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if (named[0] == nil) == (named[1] == nil) {
			t.Fatalf("of two runs that want the name %q, want one to get it: %v", name, named)
		}
		if a, b := mustFind(t, first.Dir), mustFind(t, second.Dir); (a.Name == name) == (b.Name == name) || a.Pinned != pinned || b.Pinned != pinned {
			t.Fatalf("after the name %q and the pin %v they are %v and %v", name, pinned, a, b)
		}
	}
}

// A name that finds no run, several, or is none is told in a line.
func TestNamesThatAreWrong(t *testing.T) {
	isolate(t)
	c := quick()
	first := mustFit(t, c)
	c.Seed = 2
	second := mustFit(t, c)
	id := filepath.Base(second.Dir())
	digits := id[len(id)-12:]
	for _, name := range []string{id, digits, digits[:4], second.Dir(), second.Dir() + "/", filepath.Dir(second.Dir()) + "/./" + id} {
		if got := mustFind(t, name).ID; got != id {
			t.Errorf("%q finds %s, want %s", name, got, id)
		}
	}
	for name, want := range map[string]string{
		"": `there is no run "": make runs lists`, "nobody": `there is no run "nobody": make runs lists`,
		"Linear": `"Linear" may be one of 2 runs: say which, Linear-MNIST-sample-`,
		// A path is that folder, and no other run of its name.
		"/nowhere/" + id: "there is no run", second.Dir()[:len(second.Dir())-1]: "there is no run", "/": "is not in the folder of runs",
		t.TempDir() + "/": "is not in the folder of runs: set CONVBOOK_RUNS", ".": `there is no run "."`,
	} {
		_, err := Find(name)
		checkError(t, err, want)
	}
	s := mustFind(t, first.Dir())
	for name, want := range map[string]string{
		"a\nb": "leave out slashes, line breaks", "a/b": "leave out slashes", "\xff": "leave out slashes", "a\x00": "leave out",
		strings.Repeat("好", 61): "a run's name of 61 characters is too long: it may have 60",
		id:                      "another run is called",
		digits[:3]:              `"` + digits[:3] + `" is the beginning of another run's digits, ` + id,
	} {
		checkError(t, s.SetName(name), want)
	}
	if err := s.SetName("caf\u00e9"); err != nil {
		t.Fatal(err)
	}
	checkError(t, mustFind(t, id).SetName("cafe\u0301"), "another run is called")
	if got := mustFind(t, "cafe\u0301").ID; got != s.ID {
		t.Errorf("a name with its accent written in the other way is %s", got)
	}
	if err := s.SetName("mine"); err != nil {
		t.Fatal(err)
	}
	checkError(t, mustFind(t, id).SetName("mine"), `another run is called "mine" already, `+s.ID)
	if err := s.SetName("mine"); err != nil {
		t.Errorf("the same name again: %v", err)
	}
}

// What the user said of a run goes where it goes. A pinned run is not replaced for good.
func TestLabelsGoWithTheRun(t *testing.T) {
	isolate(t)
	c := quick()
	checkError(t, interruptAt(t, 3, c), "interrupted")
	dir := mustPlan(t, c).place.Dir()
	if err := mustFind(t, dir+".training").SetName("while it trains"); err != nil {
		t.Fatal(err)
	}
	mustFit(t, c)
	if got := mustFind(t, "while it trains").ID; got != filepath.Base(dir) {
		t.Errorf("the finished run's name is that of %s", got)
	}
	c.Fresh = true
	for n := range 3 {
		s := mustFind(t, dir)
		if n < 2 {
			if err := s.Pin(true); err != nil {
				t.Fatal(err)
			}
		}
		mustFit(t, c)
	}
	mustFit(t, c)
	base := filepath.Base(dir)
	want := map[string]string{base: "finished", base + ".previous": "replaced", base + ".previous-2": "replaced", base + ".previous-3": "replaced"}
	if got := states(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("there is %v, want %v", got, want)
	}
	if got := mustFind(t, "while it trains").ID; got != base+".previous" {
		t.Errorf("the pinned run is %s", got)
	}
	if err := mustFind(t, base+".previous-3").Remove(); err != nil {
		t.Error(err)
	}
}

// removeAt tries to remove the run while it is trained.
type removeAt struct {
	t   *testing.T
	dir string
}

func (r removeAt) Tell(e Event) {
	if e, ok := e.(Tested); ok && e.Epoch == 1 {
		checkError(r.t, store.Remove(r.dir+".training"), "is being trained by another process: stop that first")
		checkError(r.t, store.Remove(r.dir), "is being trained by another process: stop that first")
	}
}

func TestRemove(t *testing.T) {
	runs := isolate(t)
	c := quick()
	dir := mustPlan(t, c).place.Dir()
	c.Progress = removeAt{t, dir}
	mustFit(t, c)
	c.Fresh = true // the finished run is in use as long as the one that replaces it is trained
	mustFit(t, c)
	s := mustFind(t, filepath.Base(dir))
	// A process that was killed in the middle of a removal.
	if err := os.CopyFS(filepath.Join(runs, ".removed-x-0123456789ab"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if n := len(mustList(t)); n != 2 {
		t.Errorf("%d runs, want 2", n)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(); err != nil {
		t.Errorf("removed again: %v", err)
	}
	_, err := s.History()
	checkError(t, err, "was removed meanwhile")
	if entries, _ := os.ReadDir(runs); len(entries) != 2 || entries[0].Name() != s.ID+".lock" && entries[1].Name() != s.ID+".lock" {
		t.Errorf("left is %v", entries) // the replaced run, and the lock of both
	}
	if err := mustFind(t, s.ID+".previous").Remove(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(runs); len(entries) != 0 {
		t.Errorf("left is %v", entries)
	}
	c.Fresh, c.Progress = false, Quiet
	mustFit(t, c)
}

// What differs is said setting by setting, from one task to another.
func TestDifference(t *testing.T) {
	isolate(t)
	data := digits()
	base := quick()
	base.Net = nn.Named("Net", nn.Conv(2, 3), nn.ReLU, nn.Flatten, nn.Dense(10))
	base.Loss, base.Data = CrossEntropy, data
	net := func(layers ...nn.Layer) func(*Task) {
		return func(c *Task) { c.Net = nn.Named("Net", layers...) }
	}
	for want, change := range map[string]func(*Task){
		"":                            func(c *Task) {},
		"lr 0.05 → 0.003":             func(c *Task) { c.Optimizer = SGD(0.003, 0.5) },
		"epochs 2 → 3, batch 64 → 32": func(c *Task) { c.Epochs, c.Batch = 3, 32 },
		"seed 1 → 0":                  func(c *Task) { c.Seed = 0 },
		"loss cross-entropy → mean squared error":   func(c *Task) { c.Loss = MSE },
		"label smoothing none → 0.1":                func(c *Task) { c.Loss = CrossEntropy.Smooth(0.1) },
		"momentum 0.5 → none":                       func(c *Task) { c.Optimizer = SGD(0.05, 0) },
		"L2 penalty none → 0.0005":                  func(c *Task) { c.Optimizer = SGD(0.05, 0.5).WeightDecay(5e-4) },
		"clip norm none → 1":                        func(c *Task) { c.Optimizer = SGD(0.05, 0.5).Clip(1) },
		"optimizer SGD → Adam, momentum 0.5 → none": func(c *Task) { c.Optimizer = Adam(0.05) },
		"optimizer SGD → Muon, momentum 0.5 → none, filters turn by none → 0.2, weight decay none → 0.1": func(c *Task) { c.Optimizer = Muon(0.05, 0.1).Turn(0.2) },
		"schedule none → one cycle, warm-up none → 0.25":                                                 func(c *Task) { c.Schedule = OneCycle(0.25) },
		"schedule none → half, schedule's values none → 2e00eea9":                                        func(c *Task) { c.Schedule = ScheduleFunc("half", func(float64) float64 { return 0.5 }) },
		"training images all → 300, test images all → 100":                                               func(c *Task) { c.Data = data.First(300).FirstTest(100) },
		"validation images none → 100":                                                                   func(c *Task) { c.Data = data.Validate(100) },
		"classes all → 7 1":                                                                              func(c *Task) { c.Data = data.Only("7", "1") },
		"images of each class all → 5, drawn by seed 0 → 3":                                              func(c *Task) { c.Data = data.PerClass(5, 3) },
		"mean 0.1307 → none, std 0.3081 → none":                                                          func(c *Task) { c.Data = sample.MNIST() },
		"augmentation none → random crop 28×28, padding 2 and random flip": func(c *Task) {
			c.Data = data.Augment(dataset.RandomCrop(28, 2), dataset.RandomFlip)
		},
		"network Net → Other":                        func(c *Task) { c.Net = nn.Named("Other", nn.Conv(2, 3), nn.ReLU, nn.Flatten, nn.Dense(10)) },
		"conv1 filters 2 → 4":                        net(nn.Conv(4, 3), nn.ReLU, nn.Flatten, nn.Dense(10)),
		"conv1 padding none → 1, conv1 stride 1 → 2": net(nn.Conv(2, 3).Stride(2).Padding(1), nn.ReLU, nn.Flatten, nn.Dense(10)),
		"layer 2 relu → sigmoid":                     net(nn.Conv(2, 3), nn.Sigmoid, nn.Flatten, nn.Dense(10)),
		"layers 4 → 5":                               net(nn.Conv(2, 3), nn.ReLU, nn.ReLU, nn.Flatten, nn.Dense(10)),
		"lr 0.05 → 0.1, conv1 kernel 3 → 5": func(c *Task) {
			c.Optimizer = SGD(0.1, 0.5)
			net(nn.Conv(2, 5), nn.ReLU, nn.Flatten, nn.Dense(10))(c)
		},
		// 3²·2 + 2 + 26²·2·10 + 10 parameters, and 5²·4 + 12²·4·10 + 10
		"parameters 13550 → 5870": net(nn.Conv(4, 5).Stride(2).Padding(0).NoBias(), nn.ReLU, nn.Flatten, nn.Dense(10)),
	} {
		changed := base
		change(&changed)
		if want != "" {
			want += ", the rest the same"
		}
		if got := difference(mustPlan(t, base).place, mustPlan(t, changed).place); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	permuted := func(seed int) Task {
		c := base
		c.Data = data.Permute(dataset.Permutation(28*28, seed))
		return c
	}
	got := difference(mustPlan(t, permuted(1)).place, mustPlan(t, permuted(2)).place)
	if !strings.HasPrefix(got, "permutation ") || strings.Count(got, " → ") != 1 {
		t.Errorf("permutations: %q", got)
	}
}

// Runs are told apart by what differs between any of them, and a run is told from a run.
func TestDifferences(t *testing.T) {
	isolate(t)
	c := quick()
	var runs []*Run
	for _, seed := range []int{1, 2} {
		c.Seed = seed
		runs = append(runs, mustFit(t, c))
	}
	c.Start = runs[0]
	c.Net = nn.Named("Linear", nn.Flatten, nn.Dense(10), nn.Dense(10), nn.LogSoftmax)
	runs = append(runs, mustFit(t, c))
	var stored []Stored
	for _, run := range runs {
		stored = append(stored, mustFind(t, run.Dir()))
	}
	settings, values := Differences(stored...)
	sum := runs[0].plan.place.ModelSum()[:8]
	want := fmt.Sprint([][]string{{"random weights", "1", "3"}, {"random weights", "2", "3"}, {sum, "2", "4"}})
	if fmt.Sprint(settings) != "[start seed layers]" || fmt.Sprint(values) != want {
		t.Errorf("%v, %v, want %v", settings, values, want)
	}
	if got := runs[1].Differs(runs[0]); got != "seed 1 → 2, the rest the same" {
		t.Errorf("%q", got)
	}
	if settings, values := Differences(); settings != nil || len(values) != 0 {
		t.Errorf("%v, %v of no runs", settings, values)
	}
}

// Tasks are told apart before they are trained as their runs are afterwards.
func TestTaskDifferences(t *testing.T) {
	isolate(t)
	one, two, three := quick(), quick(), quick()
	two.Batch, three.Optimizer = one.Batch*2, SGD(0.25, 0)
	settings, values, err := TaskDifferences(one, two, three)
	if err != nil {
		t.Fatal(err)
	}
	var stored []Stored
	for _, task := range []Task{one, two, three} {
		stored = append(stored, mustFind(t, mustFit(t, task).Dir()))
	}
	names, want := Differences(stored...)
	if fmt.Sprint(settings) != fmt.Sprint(names) || !slices.Contains(settings, "batch") || fmt.Sprint(values) != fmt.Sprint(want) {
		t.Errorf("%v, %v, want %v, %v", settings, values, names, want)
	}
	two.Batch = 0
	if _, _, err := TaskDifferences(one, two); err == nil || err.Error() != "task 2: batch is 0: it must be at least 1" {
		t.Errorf("error %v", err)
	}
}

// rewritten stores a run again with a config.json that says the same in another way, as an unfinished version of this
// package once did.
func rewritten(t *testing.T, run *Run) {
	t.Helper()
	var about bytes.Buffer
	if err := json.Compact(&about, run.plan.place.About()); err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(about.Bytes()))
	dir := run.Dir()[:len(run.Dir())-12] + sum[:12]
	sums, err := os.ReadFile(inRun(run, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	sums = append([]byte(sum), sums[len(sum):]...) // config.json is the first
	if err := errors.Join(os.CopyFS(dir, os.DirFS(run.Dir())), os.Chmod(dir, 0o755),
		os.WriteFile(filepath.Join(dir, store.Config), about.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, "SHA256SUMS"), sums, 0o644)); err != nil {
		t.Fatal(err)
	}
	if s := mustFind(t, dir); s.State != "finished" {
		t.Fatalf("the rewritten run is %s", s.Status())
	}
}

// A training says what differs from the latest run of the network on the data, before it starts: not the first one, not
// one that is stored, and none where somebody keeps the output.
func TestChangeIsSaid(t *testing.T) {
	isolate(t)
	notes := func(c Task) (texts []string) {
		var r record
		c.Progress = &r
		mustFit(t, c)
		for _, e := range r.events {
			if _, started := e.(Started); started {
				return texts
			}
			noted := e.(Noted)
			if history, err := noted.Against.History(); err != nil || len(history.Epochs) == 0 {
				t.Errorf("%q is without its run: %v", noted.Text, err)
			}
			texts = append(texts, noted.Text)
		}
		return texts
	}
	c := quick()
	if got := notes(c); len(got) != 0 {
		t.Errorf("the first run: %q", got)
	}
	rewritten(t, mustFit(t, c))
	again := c
	again.Fresh = true
	if got := notes(again); len(got) != 0 {
		t.Errorf("no other settings: %q", got)
	}
	run := mustFit(t, c)
	when := run.Result.StartedAt.Local().Format("2006-01-02 15:04")
	changed := c
	changed.Optimizer = SGD(0.1, 0.5)
	want := fmt.Sprintf("against the run of %s with %.2f %%: lr 0.05 → 0.1, the rest the same", when, run.Result.TestAccuracy)
	if got := notes(changed); len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := notes(changed); len(got) != 0 {
		t.Errorf("a stored run: %q", got)
	}
	fresh := changed
	fresh.Fresh = true
	if got := notes(fresh); len(got) != 1 || !strings.HasSuffix(got[0], "%: lr 0.05 → 0.1, the rest the same") {
		t.Errorf("trained again: %q", got)
	}
	time.Sleep(time.Second) // runs are dated in seconds
	changed.Seed = 2
	mustFit(t, changed)
	changed.Epochs = 1
	if got := notes(changed); len(got) != 1 || !strings.HasSuffix(got[0], "%: epochs 2 → 1, the rest the same") {
		t.Errorf("%q is not against the latest run", got)
	}
	if got := notes(c.of(zoo.CNN(2))); len(got) != 0 {
		t.Errorf("another network: %q", got)
	}
	elsewhere := c
	elsewhere.Data = digits().First(300)
	if got := notes(elsewhere); len(got) != 1 { // the same data set, other images of it
		t.Errorf("less of the data: %q", got)
	}
	t.Setenv(resultsEnv, filepath.Join(t.TempDir(), "results"))
	changed.Seed = 3
	if got := notes(changed); len(got) != 0 {
		t.Errorf("where the output is kept: %q", got)
	}
}

// A run that is not there is mostly one number away from one that is.
func TestLoadNamesTheNearestRun(t *testing.T) {
	isolate(t)
	near, far := quick(), quick()
	run := mustFit(t, near)
	far.Seed, far.Epochs, far.Batch = 9, 1, 32
	mustFit(t, far)
	if err := mustFind(t, run.Dir()).SetName("最好"); err != nil {
		t.Fatal(err)
	}
	asked := near
	asked.Epochs = 3
	_, err := asked.Load()
	checkError(t, err, "Linear was not trained on MNIST sample with these settings yet", "train it with Fit first; against the run of ",
		fmt.Sprintf(`("最好") with %.2f %%: epochs 2 → 3, the rest the same`, run.Result.TestAccuracy))
	asked = far
	asked.Seed = 8
	_, err = asked.Load()
	checkError(t, err, "train it with Fit first; against the run of ", ": seed 9 → 8, the rest the same")
	_, err = quick().of(zoo.CNN(2)).Load()
	if checkError(t, err, "train it with Fit first"); strings.Contains(err.Error(), "against") {
		t.Errorf("%v", err)
	}
}

// Whoever waits for a lock whose run is removed has the one that counts in the end.
func TestRemovalAndLocks(t *testing.T) {
	isolate(t)
	p := mustPlan(t, quick())
	trainers, inside := make(chan error), make(chan bool, 1)
	for range 4 {
		go func() {
			for range 20 {
				unlock, err := p.place.Lock(context.Background(), func() {})
				if err != nil {
					trainers <- err
					return
				}
				select {
				case inside <- true:
				default:
					trainers <- fmt.Errorf("two have the lock")
					return
				}
				time.Sleep(time.Millisecond)
				<-inside
				unlock()
				store.Remove(p.place.Dir()) // takes the lock's file away
			}
			trainers <- nil
		}()
	}
	for range 4 {
		if err := <-trainers; err != nil {
			t.Error(err)
		}
	}
}

// What did not come from the disk is no run: nothing is deleted, written or read, wherever its folder points.
func TestStoredByHand(t *testing.T) {
	runs := isolate(t)
	t.Chdir(t.TempDir()) // where the zero one's folder would be
	mine := filepath.Join(t.TempDir(), "Mine-0123456789ab")
	if err := os.CopyFS(mine, os.DirFS(mustFit(t, quick()).Dir())); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, filepath.Dir(mine))
	_, err := Find("nobody")
	checkError(t, err, "there is no run")
	for _, s := range []Stored{{}, {Dir: mine}, {ID: filepath.Base(mine), Dir: mine, State: "finished"}} {
		_, unread := s.History()
		_, unbuilt := s.Model()
		for _, err := range []error{s.Remove(), s.SetName("mine"), s.Pin(true), unread, unbuilt} {
			if err == nil || err.Error() != "this is not a stored run: get one with train.Find or train.Runs" {
				t.Errorf("%+v: error %v", s, err)
			}
		}
	}
	if settings, _ := Differences(Stored{}, Stored{Dir: mine}); len(settings) != 0 {
		t.Errorf("two runs that are none differ in %v", settings)
	}
	for _, dir := range []string{mine, "", ".", runs, filepath.Join(runs, "my notes"), filepath.Join(runs, "x", "Mine-0123456789ab")} {
		checkError(t, store.Remove(dir), "is not the folder of a run in "+runs)
		checkError(t, store.SetLabel(dir, func(*store.Label) {}), "is not the folder of a run in "+runs)
	}
	if after := snapshot(t, filepath.Dir(mine)); !slices.Equal(after, before) {
		t.Errorf("left is %v, want %v", after, before)
	}
	if left, _ := os.ReadDir("."); len(left) != 0 {
		t.Errorf("the working folder has %v", left)
	}
	// One that was found is the run that was found.
	s := mustList(t)[0]
	s.Dir = mine
	if err := s.Remove(); err != nil || len(mustList(t)) != 0 || !exists(mine) {
		t.Errorf("removed %v, left %v", err, mustList(t))
	}
}

// What diverged is what its training left, and not the finished run that it was to replace.
func TestRemovingWhatDiverged(t *testing.T) {
	isolate(t)
	task := quick()
	task.Net, task.Loss, task.Optimizer = nn.Named("Linear", nn.Flatten, nn.Dense(10)), CrossEntropy, SGD(1e38, 0)
	_, err := task.FitContext(context.Background())
	var diverged Diverged
	if !errors.As(err, &diverged) {
		t.Fatalf("error %v", err)
	}
	if listed := mustList(t)[0]; listed.ID != diverged.Run.ID || listed.Dir != diverged.Run.Dir || listed.State != diverged.Run.State {
		t.Errorf("it is %v, and listed as %v", diverged.Run, listed)
	}
	finished := strings.TrimSuffix(diverged.Run.Dir, ".training")
	if err := os.Mkdir(finished, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := diverged.Run.Remove(); err != nil || exists(diverged.Run.Dir) || !exists(finished) {
		t.Errorf("error %v; the training is there: %v, the run: %v", err, exists(diverged.Run.Dir), exists(finished))
	}
}
