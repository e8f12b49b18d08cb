package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// phases are what a child can be at when it is killed.
var phases = []string{"start-up", "fetch", "rebuild", "compile", "keeping a program", "step", "test", "checkpoint write",
	"between epochs", "finish", "taking the place"}

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
			case seen+tasks[task].config.Batch >= images:
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
	run            string // the folder in which it trains
	final          string // the folder of the finished run
	took, cold     time.Duration
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
		v.sleep((v.cold - v.took) * 3 / 4)
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

// attempts to land a kill where it is aimed at. One that comes too late is no kill, one that lands elsewhere counts there.
const attempts = 8

// killed is a trial in which a training is killed n times, at least once where the aim is, and then goes on to its end.
// With fresh a finished run is there already and must stay until the new one takes its place.
func killed(task string, n int, a aim, warm, fresh, noData bool) attempt {
	what := fmt.Sprintf("%s, killed %d times", task, n)
	if a.at != "" {
		what = fmt.Sprintf("%s, killed %d times in: %s", task, n, a.at)
	}
	if fresh {
		what += ", with Fresh beside a finished run"
	}
	return attempt{what: what, long: task == "cifar", try: func(t *trial) error {
		prepare := t.fresh
		if fresh {
			prepare = func(task string, warm bool, args ...string) (place, reference, error) { return t.finished(task) }
		}
		p, r, err := prepare(task, warm)
		if err != nil {
			return err
		}
		if noData {
			removeAll(p.cache)
			if err := t.lab.pack(dataOf[task]); err != nil {
				return err
			}
		}
		args := []string{"-task", task}
		v := victim{trial: t, task: task, place: p, run: r.training(p), final: filepath.Join(p.runs, r.name), took: r.cold, cold: r.cold}
		if warm {
			v.took = r.took
		}
		if fresh {
			args = append(args, "-fresh")
		}
		kills, hits := 0, 0
		for range attempts * n {
			if kills >= n && (a.at == "" || hits > 0) {
				break
			}
			v.inRun, v.inStore = files(v.run), files(p.compiled)
			before := inode(v.final)
			v.process = t.start(p, args...)
			a.wait(&v)
			v.kill()
			o := v.wait()
			if !o.killed {
				// Too late. That is the end of this training, and a new one is begun unless enough was done.
				if err := o.same(r.result); err != nil {
					return fmt.Errorf("not killed, after %d kills: %w", kills, err)
				}
				if err := whole(v.final, r); err != nil {
					return fmt.Errorf("not killed, after %d kills: %w", kills, err)
				}
				v.took /= 2
				if !fresh {
					removeAll(v.final)
				}
				if noData {
					removeAll(p.cache)
				}
				continue
			}
			at := v.landed(o.lines, before)
			t.landed[at]++
			kills++
			if at == a.at {
				hits++
			}
			if o.errors != "" {
				return fmt.Errorf("killed in: %s, it had printed an error: %s", at, shortened(o.errors))
			}
			if fresh {
				if err := t.run(p, "-task", task, "-load").same(r.result); err != nil {
					return fmt.Errorf("the finished run after a kill in: %s: %w", at, err)
				}
			}
		}
		if err := t.run(p, args...).same(r.result); err != nil {
			return fmt.Errorf("resumed after %d kills: %w", kills, err)
		}
		if err := whole(v.final, r); err != nil {
			return fmt.Errorf("resumed after %d kills: %w", kills, err)
		}
		if err := t.run(p, "-task", task, "-load").same(r.result); err != nil {
			return fmt.Errorf("loaded after %d kills: %w", kills, err)
		}
		if noData {
			if err := onlyData(p, dataOf[task]); err != nil {
				return fmt.Errorf("after %d kills: %w", kills, err)
			}
		}
		if kills == 0 || a.at != "" && hits == 0 {
			return skipped{fmt.Sprintf("none of %d kills landed there; the result held", kills)}
		}
		return nil
	}}
}

// onlyData is nil if the cache holds nothing beside the files of the data set and the lock.
func onlyData(p place, name string) error {
	for file := range files(p.data(name)) {
		if strings.HasPrefix(file, ".") && file != ".lock" || strings.HasPrefix(file, "npm-") || strings.HasSuffix(file, ".part") {
			return fmt.Errorf("%s is left in the cache", file)
		}
	}
	return nil
}

// kills are 50 trainings that are killed with -9 and resumed.
func kills() (all []attempt) {
	three := []string{"adam", "muon", "sgd"}
	for i := range 18 {
		all = append(all, killed(three[i%3], 1+i%4, anywhere, i%4 > 0, false, false))
	}
	for i := range 8 {
		all = append(all, killed(three[i%2], 1+i%3, checkpointing, i%4 > 0, false, false))
	}
	for i := range 4 {
		all = append(all, killed(three[i%3], 1+i%2, compiling, false, false, false))
	}
	for i := range 2 {
		all = append(all, killed(three[i], 2, keeping, false, false, false))
	}
	for i := range 3 {
		all = append(all, killed(three[i], 1, inTest, true, false, false))
	}
	for i, file := range []string{"test.safetensors", "model.safetensors", "history.json", "result.json", "SHA256SUMS"} {
		all = append(all, killed(three[i%3], 1, finishing(file), true, false, false))
	}
	for i, a := range []aim{anywhere, checkpointing, finishing("model.safetensors"), replacing} {
		all = append(all, killed(three[i%3], 2, a, true, true, false))
	}
	for range 2 {
		all = append(all, killed("mnist", 2, fetching, true, false, true))
	}
	for _, a := range []aim{fetching, rebuilding, rebuilding, rebuilding} {
		all = append(all, killed("cifar", 1, a, true, false, true))
	}
	return all
}
