package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// page is the room that the smallest file takes.
const page = 4096

// fill takes all room of the file system at dir but the given bytes.
func fill(dir string, free int64) error {
	path := filepath.Join(dir, "filler")
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	var size int64
	for block := make([]byte, page); ; {
		n, err := out.Write(block)
		size += int64(n)
		if err != nil {
			break
		}
	}
	if size < free {
		return fmt.Errorf("the file system has %d bytes, not %d", size, free)
	}
	return out.Truncate(size - free)
}

func makeRoom(dir string) error { return os.Remove(filepath.Join(dir, "filler")) }

// refusedOrSame is nil if a training either had what it needed or ended with one line that says what was lacking.
func (o outcome) refusedOrSame(want string, words ...string) error {
	if o.code == 0 && !o.hung {
		return o.same(want)
	}
	return o.refused(words...)
}

// fullRuns trains on a disk with so many free pages: at one number after the other each write of a run is the one that
// fails.
func fullRuns(free int64, fresh bool) attempt {
	what := fmt.Sprintf("a disk for runs with %d pages left", free)
	if fresh {
		what += ", Fresh beside a finished run"
	}
	return attempt{what: what, try: func(t *trial) error {
		return t.onSmallDisk("size=2m", what, fresh, func(disk string) error { return fill(disk, free*page) }, makeRoom)
	}}
}

// fullOfFiles trains on a disk on which only so many files more may be made.
func fullOfFiles(free int) attempt {
	what := fmt.Sprintf("a disk for runs with room for %d files", free)
	return attempt{what: what, try: func(t *trial) error {
		const most = 100
		filler := func(disk string, i int) string { return filepath.Join(disk, fmt.Sprintf("filler%d", i)) }
		made := 0
		return t.onSmallDisk(fmt.Sprintf("size=2m,nr_inodes=%d", most), what, false, func(disk string) error {
			for ; os.WriteFile(filler(disk, made), nil, 0o644) == nil; made++ {
			}
			for range min(free, made) {
				made--
				os.Remove(filler(disk, made))
			}
			return nil
		}, func(disk string) error {
			for i := range made {
				os.Remove(filler(disk, i))
			}
			return nil
		})
	}}
}

// onSmallDisk trains with the runs on a small file system that is filled first, and again when there is room.
func (t *trial) onSmallDisk(options, what string, fresh bool, fill, makeRoom func(disk string) error) error {
	const task = "tiny"
	p, r, err := t.fresh(task, true)
	if err != nil {
		return err
	}
	h, err := t.mount("tmpfs", options)
	if err != nil {
		return err
	}
	defer h.close()
	p.runs = filepath.Join(h.path, "runs")
	args := []string{"-task", task}
	if fresh {
		if err := copyTree(r.runs, p.runs); err != nil {
			return err
		}
		args = append(args, "-fresh")
	}
	if err := fill(h.path); err != nil {
		return err
	}
	for range 2 { // again without room: nothing gets worse
		if err := t.run(p, args...).refusedOrSame(r.result, "no space left on device", p.runs); err != nil {
			return err
		}
		if fresh {
			if err := t.run(p, "-task", task, "-load").same(r.result); err != nil {
				return fmt.Errorf("the finished run, on the full disk: %w", err)
			}
		}
	}
	if err := makeRoom(h.path); err != nil {
		return err
	}
	if err := t.run(p, args...).same(r.result); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	if err := t.run(p, "-task", task, "-load").same(r.result); err != nil {
		return fmt.Errorf("loaded with room again: %w", err)
	}
	return whole(filepath.Join(p.runs, r.name), r)
}

// finishedOnFullDisk uses a finished run where nothing can be written any more.
func finishedOnFullDisk() attempt {
	return attempt{what: "a finished run on a full disk", try: func(t *trial) error {
		p, r, err := t.fresh("tiny", true)
		if err != nil {
			return err
		}
		h, err := t.mount("tmpfs", "size=2m")
		if err != nil {
			return err
		}
		defer h.close()
		p.runs = filepath.Join(h.path, "runs")
		if err := errors.Join(copyTree(r.runs, p.runs), fill(h.path, 0)); err != nil {
			return err
		}
		return errors.Join(t.run(p, "-task", "tiny", "-load").same(r.result), t.run(p, "-task", "tiny").same(r.result))
	}}
}

// fullCache fetches MNIST into a cache with so many bytes left.
func fullCache(free int64) attempt {
	return attempt{what: fmt.Sprintf("a disk for data with %d MB left", free>>20), try: func(t *trial) error {
		p, r, err := t.unfetched("mnist", true)
		if err != nil {
			return err
		}
		h, err := t.mount("tmpfs", fmt.Sprintf("size=%d", max(free, page)))
		if err != nil {
			return err
		}
		defer h.close()
		p.cache = filepath.Join(h.path, "cache")
		if err := t.run(p, "-task", "mnist").refusedOrSame(r.result, "no space left on device", p.cache); err != nil {
			return err
		}
		for name := range files(p.data("mnist")) {
			if name != ".lock" {
				if err := sameFile(filepath.Join(p.data("mnist"), name), name, t.lab); err != nil {
					return fmt.Errorf("left on the full disk: %w", err)
				}
			}
		}
		// More room on another disk, with what is there already.
		bigger := filepath.Join(t.dir, "bigger")
		if err := copyTree(p.cache, bigger); err != nil {
			return err
		}
		p.cache = bigger
		if err := t.run(p, "-task", "mnist").same(r.result); err != nil {
			return fmt.Errorf("with room again: %w", err)
		}
		return onlyData(p, "mnist")
	}}
}

// fullPrograms trains where compiled programs have so many bytes left. That is no error: they are compiled each time.
func fullPrograms(free int64) attempt {
	return attempt{what: fmt.Sprintf("a disk for compiled programs with %d KB left", free>>10), try: func(t *trial) error {
		p, r, err := t.fresh("tiny", false)
		if err != nil {
			return err
		}
		h, err := t.mount("tmpfs", "size=2m")
		if err != nil {
			return err
		}
		defer h.close()
		p.compiled = filepath.Join(h.path, "compiled")
		if err := fill(h.path, free); err != nil {
			return err
		}
		if err := t.run(p, "-task", "tiny").same(r.result); err != nil {
			return err
		}
		for name := range files(p.compiled) {
			if strings.HasSuffix(name, ".partial") {
				return fmt.Errorf("%s is left", name)
			}
		}
		removeAll(p.runs)
		if err := makeRoom(h.path); err != nil {
			return err
		}
		for range 2 {
			if err := t.run(p, "-task", "tiny", "-fresh").same(r.result); err != nil {
				return fmt.Errorf("with room again: %w", err)
			}
		}
		return nil
	}}
}

// limited trains under a limit of the system: of a file's size, or of the number of open files.
func limited(flag, words string, n int) attempt {
	return attempt{what: fmt.Sprintf("a training under the limit %s %d", flag, n), try: func(t *trial) error {
		p, r, err := t.fresh("tiny", n%2 == 0)
		if err != nil {
			return err
		}
		if err := t.run(p, "-task", "tiny", flag, fmt.Sprint(n)).refusedOrSame(r.result, words); err != nil {
			return err
		}
		if err := t.run(p, "-task", "tiny").same(r.result); err != nil {
			return fmt.Errorf("without the limit: %w", err)
		}
		return whole(filepath.Join(p.runs, r.name), r)
	}}
}

func fullDisks() (all []attempt) {
	for free := range int64(20) { // a run needs about 15
		all = append(all, fullRuns(free, false))
	}
	for free := range 8 {
		all = append(all, fullOfFiles(free))
	}
	for _, free := range []int64{0, 1, 3, 6, 9, 12, 16} {
		all = append(all, fullRuns(free, true))
	}
	all = append(all, finishedOnFullDisk())
	// The package, and then each of the files, ends between two of them.
	for _, megabytes := range []int64{0, 5, 12, 30, 59, 63, 65, 68} {
		all = append(all, fullCache(megabytes<<20))
	}
	for _, kilobytes := range []int64{0, 4, 8, 40, 100, 200} {
		all = append(all, fullPrograms(kilobytes<<10))
	}
	for _, bytes := range []int{1, 300, 1000, 2000, 3000, 4500, 10000} {
		all = append(all, limited("-file-size", "file too large", bytes))
	}
	for _, files := range []int{4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 32} {
		all = append(all, limited("-files", "too many open files", files))
	}
	return all
}
