package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// phases are what a child can be at when it is killed.
var phases = []string{"start-up", "fetch", "rebuild", "compile", "keeping a program", "step", "test",
	"checkpoint write", "between epochs", "finish", "taking the place"}

// phaseOf is what a child of the task is at that has printed these lines.
func phaseOf(task string, lines []string) string {
	at, steps := "start-up", 0
	for _, line := range lines {
		var seen, images int
		_, progress, training := strings.Cut(line, "Train: ")
		switch {
		case strings.Contains(line, "fetching the npm package"):
			at = "fetch"
		case strings.Contains(line, "rebuilding ["):
			at = "rebuild"
		case strings.Contains(line, " parameters, on "), strings.HasPrefix(line, "going on after step"):
			at = "compile"
		case training:
			fmt.Sscanf(progress, "[%d/%d", &seen, &images)
			steps++
			switch {
			case seen+tasks[task].Batch >= images:
				at = "test"
			case steps == 1: // after its first step it compiles the program that tests
				at = "compile"
			default:
				at = "step"
			}
		case strings.HasPrefix(line, "Test set:"):
			at = "between epochs"
		}
	}
	return at
}

// files is what a folder holds: the names, and what tells a file from another one of its name.
func files(dir string) map[string]string {
	all := map[string]string{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			all[e.Name()] = fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino, info.ModTime().UnixNano(), info.Size())
		}
	}
	return all
}

// anyNew tells whether a folder holds a file that was not there before and whose name satisfies ok.
func anyNew(dir string, before map[string]string, ok func(name string) bool) bool {
	for name, file := range files(dir) {
		if before[name] != file && ok(name) {
			return true
		}
	}
	return false
}

// victim is a child that is going to be killed.
type victim struct {
	*process
	trial          *trial
	task           string
	place          place
	run            string            // the folder in which it trains
	final          string            // the folder of the finished run
	took, compile  time.Duration     // in peace, and how much longer it takes where it has to compile
	inRun, inStore map[string]string // what was there before it started
}

// aim waits until it is time to kill.
type aim struct {
	at   string // the phase in which the kill should land; empty: anywhere
	wait func(v *victim)
}

// sleep waits for a random part of the time, or until the child has ended.
func (v *victim) sleep(most time.Duration) {
	select {
	case <-v.done:
	case <-time.After(time.Duration(v.trial.random.Float64() * float64(most))):
	}
}

// watch waits for a new file in a folder, or until the child has ended.
func (v *victim) watch(dir string, before map[string]string, ok func(name string) bool) {
	for !v.ended() && !anyNew(dir, before, ok) {
		time.Sleep(50 * time.Microsecond)
	}
}

var (
	anywhere  = aim{"", func(v *victim) { v.sleep(v.took) }}
	compiling = aim{"compile", func(v *victim) {
		v.waitFor(func(lines []string) bool { return phaseOf(v.task, lines) == "compile" })
		v.sleep(v.compile * 3 / 4)
	}}
	keeping = aim{"keeping a program", func(v *victim) {
		v.watch(v.place.compiled, v.inStore, func(name string) bool { return strings.HasSuffix(name, ".partial") })
	}}
	checkpointing = aim{"checkpoint write", func(v *victim) {
		for range v.trial.random.IntN(3) { // not always at the first one
			v.watch(v.run, v.inRun, isCheckpoint)
			v.inRun = files(v.run)
		}
		v.watch(v.run, v.inRun, isTemporaryCheckpoint)
	}}
	inTest = aim{"test", func(v *victim) {
		tests := 1 + v.trial.random.IntN(2)
		v.waitFor(func(lines []string) bool {
			n := 0
			for _, line := range lines {
				if strings.HasPrefix(line, "Test set:") {
					n++
				}
			}
			return n == tests && phaseOf(v.task, lines) == "test"
		})
	}}
	fetching = aim{"fetch", func(v *victim) {
		v.waitFor(func(lines []string) bool { return phaseOf(v.task, lines) == "fetch" })
		v.sleep(150 * time.Millisecond)
	}}
	rebuilding = aim{"rebuild", func(v *victim) {
		v.waitFor(func(lines []string) bool { return phaseOf(v.task, lines) == "rebuild" })
		v.sleep(2 * time.Second)
	}}
	replacing = aim{"taking the place", func(v *victim) {
		for old := inode(v.final); !v.ended() && old == inode(v.final); {
			time.Sleep(20 * time.Microsecond)
		}
	}}
)

func sameFiles(a, b map[string]string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// finishing kills when the file of the finished run has just got its name.
func finishing(file string) aim {
	return aim{"finish", func(v *victim) {
		v.watch(v.run, v.inRun, func(name string) bool { return name == file })
	}}
}

func isCheckpoint(name string) bool { return strings.HasPrefix(name, "checkpoint-") }

func isTemporaryCheckpoint(name string) bool { return strings.HasPrefix(name, ".checkpoint-") }

// isFinal tells whether a file, perhaps under its temporary name, is one that finishing a run writes.
func isFinal(name string) bool {
	for _, file := range finishedFiles {
		if file != "config.json" && strings.HasPrefix(strings.TrimPrefix(name, "."), file) {
			return true
		}
	}
	return false
}

// landed is where the kill hit: by what lies in the folders, and else by what the child had printed. The finished run's
// folder was the previous one before.
func (v *victim) landed(lines []string, previous string) string {
	switch {
	case inode(v.final) != previous:
		return "taking the place"
	case anyNew(v.run, v.inRun, isFinal):
		return "finish"
	case anyNew(v.run, v.inRun, isTemporaryCheckpoint):
		return "checkpoint write"
	case anyNew(v.place.compiled, v.inStore, func(name string) bool { return strings.HasSuffix(name, ".partial") }):
		return "keeping a program"
	}
	return phaseOf(v.task, lines)
}

// inode tells a folder from another one of its name; it is empty where there is none.
func inode(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino)
}

// killing is a trial in which a training is killed a number of times and then goes on to its end.
type killing struct {
	task   string
	kills  int
	aim    aim  // where at least one of them should land
	cold   bool // its programs are not compiled yet
	fresh  bool // with Fresh: a finished run is there already and must stay until the new one takes its place
	noData bool // the data is not there yet
}

// tries are how often a kill is aimed until it lands. One that comes too late is no kill, and one that lands elsewhere
// counts there.
const tries = 8

func (k killing) attempt() attempt {
	what := fmt.Sprintf("%s, killed %d times", k.task, k.kills)
	if k.aim.at != "" {
		what += " in: " + k.aim.at
	}
	if k.fresh {
		what += ", with Fresh beside a finished run"
	}
	return attempt{what: what, long: k.task == "cifar", try: k.try}
}

func (k killing) try(t *trial) error {
	p, r, err := k.prepare(t)
	if err != nil {
		return err
	}
	args := []string{"-task", k.task}
	if k.fresh {
		args = append(args, "-fresh")
	}
	v := victim{trial: t, task: k.task, place: p, run: r.training(p), final: filepath.Join(p.runs, r.name),
		took: r.took, compile: r.cold - r.took}
	if k.cold {
		v.took = r.cold
	}
	kills, hits := 0, 0
	for range tries * k.kills {
		if kills >= k.kills && (k.aim.at == "" || hits > 0) {
			break
		}
		at, err := k.kill(&v, r, args)
		if err != nil {
			return fmt.Errorf("after %d kills: %w", kills, err)
		}
		if at == "" {
			continue
		}
		t.landed[at]++
		kills++
		if at == k.aim.at {
			hits++
		}
		if k.fresh {
			if err := t.run(p, "-task", k.task, "-load").same(r.result); err != nil {
				return fmt.Errorf("the finished run after a kill in: %s: %w", at, err)
			}
		}
	}
	for _, how := range [][]string{args, {"-task", k.task, "-load"}} {
		if err := t.run(p, how...).same(r.result); err != nil {
			return fmt.Errorf("%v after %d kills: %w", how, kills, err)
		}
	}
	if err := whole(v.final, r); err != nil {
		return fmt.Errorf("after %d kills: %w", kills, err)
	}
	if err := onlyData(p, k.task); err != nil {
		return fmt.Errorf("after %d kills: %w", kills, err)
	}
	if kills == 0 || k.aim.at != "" && hits == 0 {
		return skipped{fmt.Sprintf("none of %d kills landed there; the result held", kills)}
	}
	return nil
}

func (k killing) prepare(t *trial) (place, reference, error) {
	if k.fresh {
		return t.finished(k.task)
	}
	if k.noData {
		return t.unfetched(k.task, !k.cold)
	}
	return t.fresh(k.task, !k.cold)
}

// kill starts the child, kills it when it is time, and returns what it was at; nothing if it had ended before.
func (k killing) kill(v *victim, r reference, args []string) (at string, err error) {
	v.inRun, v.inStore = files(v.run), files(v.place.compiled)
	before := inode(v.final)
	v.process = v.trial.start(v.place, args...)
	k.aim.wait(v)
	v.process.kill()
	o := v.wait()
	if o.killed {
		if o.errors != "" {
			err = fmt.Errorf("the killed child had printed an error: %s", shortened(o.errors))
		}
		return v.landed(o.lines, before), err
	}
	// Too late: this training came to its end. Another one is begun, to be killed sooner.
	if err := o.same(r.result); err != nil {
		return "", err
	}
	if err := whole(v.final, r); err != nil {
		return "", err
	}
	v.took /= 2
	if !k.fresh {
		removeAll(v.final)
	}
	if k.noData {
		removeAll(v.place.cache)
	}
	return "", nil
}

// onlyData is nil if the cache holds nothing beside the files of the task's data set and the lock.
func onlyData(p place, task string) error {
	for file := range files(p.data(dataOf[task])) {
		hidden := strings.HasPrefix(file, ".") && file != ".lock"
		if hidden || strings.HasPrefix(file, "npm-") || strings.HasSuffix(file, ".part") {
			return fmt.Errorf("%s is left in the cache", file)
		}
	}
	return nil
}

// between is the state that a kill leaves between the two renames with which a run takes the place of one before, which
// is too short a moment to aim at.
func between(task string, how ...string) attempt {
	what := fmt.Sprintf("%s, as if killed between two renames, then %v", task, how)
	return attempt{what: what, try: func(t *trial) error {
		p, r, err := t.finished(task)
		if err != nil {
			return err
		}
		run := filepath.Join(p.runs, r.name)
		if err := errors.Join(copyTree(run, run+".previous"), os.Rename(run, r.training(p))); err != nil {
			return err
		}
		for _, how := range [][]string{how, {"-load"}, nil} {
			if err := t.run(p, append([]string{"-task", task}, how...)...).same(r.result); err != nil {
				return fmt.Errorf("%v: %w", how, err)
			}
		}
		return whole(run, r)
	}}
}

// kills are 50 trainings that are killed with -9 and resumed, and two that look as if.
func kills() (all []attempt) {
	three := []string{"adam", "muon", "sgd"}
	add := func(k killing) { all = append(all, k.attempt()) }
	for i := range 18 {
		add(killing{task: three[i%3], kills: 1 + i%4, aim: anywhere, cold: i%4 == 0})
	}
	for i := range 8 {
		add(killing{task: three[i%2], kills: 1 + i%3, aim: checkpointing, cold: i%4 == 0})
	}
	for i := range 4 {
		add(killing{task: three[i%3], kills: 1 + i%2, aim: compiling, cold: true})
	}
	for i := range 2 {
		add(killing{task: three[i], kills: 2, aim: keeping, cold: true})
	}
	for i := range 3 {
		add(killing{task: three[i], kills: 1, aim: inTest})
	}
	for i, file := range []string{"test.safetensors", "model.safetensors", "history.json", "result.json", "SHA256SUMS"} {
		add(killing{task: three[i%3], kills: 1, aim: finishing(file)})
	}
	for i, a := range []aim{anywhere, checkpointing, finishing("model.safetensors"), replacing} {
		add(killing{task: three[i%3], kills: 2, aim: a, fresh: true})
	}
	for range 2 {
		add(killing{task: "mnist", kills: 2, aim: fetching, noData: true})
	}
	for _, a := range []aim{fetching, rebuilding, rebuilding, rebuilding} {
		add(killing{task: "cifar", kills: 1, aim: a, noData: true})
	}
	return append(all, between("sgd", "-load"), between("adam", "-fresh"))
}
