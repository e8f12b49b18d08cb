package device

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/go-xla/pjrt"
	"github.com/gomlx/gomlx/core/graph"
	"golang.org/x/sys/unix"

	"example.org/convbook/lib/device/internal/pluginpath"
)

// These are the tests of plugin/plugin.c, which keeps compiled programs. A training's programs are tested in lib/train.

const childEnv = "CONVBOOK_TEST_CHILD"

// TestChild is started by the other tests, in a process of its own as a cell is. It prints what a program computes, to
// the last bit.
func TestChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("the other tests start it")
	}
	backend, err := open(defaultBackend)
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := pjrt.GetPlugin("cpu")
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(filepath.Dir(plugin.Path())) != "convbook" {
		t.Fatalf("the plugin in use is %s, not the one that keeps programs: run `make setup`", plugin.Path())
	}
	result := graph.MustExecOnce(backend, func(g *graph.Graph) *graph.Node {
		x := graph.Sin(graph.IotaFull(g, shapes.Make(dtypes.Float32, 2, 5, 5, 4)))
		w := graph.Sin(graph.IotaFull(g, shapes.Make(dtypes.Float32, 3, 3, 4, 8)))
		maps := graph.MaxPool(graph.Convolve(x, w).Done()).Window(2).Strides(1).Done()
		sum := graph.ReduceAllSum(graph.Exp(maps))
		for _, gradient := range graph.Gradient(sum, x, w) {
			sum = graph.Add(sum, graph.ReduceAllSum(gradient))
		}
		return sum
	})
	fmt.Printf("result %b\n", result.Value())
	checkThreads(t)
}

// checkThreads makes sure that each thread of this process may use every core that Go found at its start.
func checkThreads(t *testing.T) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		var cores unix.CPUSet
		if err := unix.SchedGetaffinity(id, &cores); err == nil && cores.Count() != runtime.NumCPU() { // or it ended
			t.Errorf("a thread may use %d cores of %d", cores.Count(), runtime.NumCPU())
		}
	}
}

// What is set for programs that compute with OpenMP's own threads keeps none of XLA's to one core.
func TestThreadsAreNotBound(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("there is one core")
	}
	free := child(t, "off")
	for _, setting := range []string{"OMP_PROC_BIND=true", "OMP_PLACES=cores", "GOMP_CPU_AFFINITY=0"} {
		if bound := child(t, "off", setting); bound != free {
			t.Errorf("with %s the program computes %s, without it %s", setting, bound, free)
		}
	}
}

// child runs TestChild with the folder of programs and returns its result.
func child(t *testing.T, folder string, env ...string) string {
	t.Helper()
	return childIn(t, "", folder, env...)
}

// childIn runs it with the working folder dir.
func childIn(t *testing.T, dir, folder string, env ...string) string {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^TestChild$")
	command.Dir = dir
	command.Env = append(append(os.Environ(), childEnv+"=1", "XLA_FLAGS=", compiledEnv+"="+folder), env...)
	var printed bytes.Buffer
	command.Stdout, command.Stderr = &printed, &printed
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %s", err, &printed)
	}
	for line := range strings.Lines(printed.String()) {
		if strings.HasPrefix(line, "result ") {
			return line
		}
		t.Errorf("printed %q before the result", line)
	}
	t.Fatalf("no result: %s", &printed)
	return ""
}

// kept is the only program in the folder.
func kept(t *testing.T, folder string) (path string, info fs.FileInfo) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v in the folder, want one program", entries, err)
	}
	if info, err = entries[0].Info(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, entries[0].Name()), info
}

// file tells a file from another one that replaced it.
func file(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

var longAgo = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

func TestCompiledProgramIsKeptAndLoaded(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "not", "there", "yet")
	fresh := child(t, folder)
	path, before := kept(t, folder)
	if before.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want only the user to read and write it", before.Mode())
	}
	if err := os.Chtimes(path, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	loaded := child(t, folder)
	_, after := kept(t, folder)
	if file(after) != file(before) {
		t.Error("the second process compiled again")
	}
	if !after.ModTime().After(longAgo) {
		t.Error("the second process did not load the program: its file is untouched")
	}
	if loaded != fresh {
		t.Errorf("the loaded program computes %s, the fresh one %s", loaded, fresh)
	}
	if compiled := child(t, "off"); compiled != fresh {
		t.Errorf("without the folder the program computes %s, with it %s", compiled, fresh)
	}
}

// Whatever is wrong with a file, the program is compiled, and the file replaced.
func TestCompiledProgramThatCannotBeUsed(t *testing.T) {
	folder := t.TempDir()
	want := child(t, folder)
	path, _ := kept(t, folder)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		bad := slices.Clone(good)
		bad[at] ^= 1
		return bad
	}
	for name, bad := range map[string][]byte{
		"empty":                       {},
		"shorter than its header":     good[:20],
		"without its end":             good[:len(good)-1],
		"with more behind its end":    append(slices.Clone(good), 0),
		"with a flipped bit":          flip(len(good) - 1),
		"of another format":           flip(7),
		"of another key":              flip(100),
		"of other sizes":              flip(8),
		"of a program of other sizes": flip(16),
		"something else":              bytes.Repeat([]byte("convolution "), 10000),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := child(t, folder); got != want {
			t.Errorf("a file %s: the program computes %s, want %s", name, got, want)
		}
		mended, err := os.ReadFile(path)
		if err != nil || len(mended) < len(good)*9/10 || bytes.Equal(mended, bad) {
			t.Errorf("a file %s was not replaced: %d bytes, before %d (%v)", name, len(mended), len(bad), err)
		}
	}
	// What is not a file, or far too large, is not even read: a pipe would wait for ever for somebody who writes.
	for name, place := range map[string]func() error{
		"a pipe":               func() error { return syscall.Mkfifo(path, 0o600) },
		"a device without end": func() error { return os.Symlink("/dev/zero", path) },
		"a link to nowhere":    func() error { return os.Symlink("nowhere", path) },
		"a link to itself":     func() error { return os.Symlink(path, path) },
		"a file of a terabyte": func() error {
			if err := os.WriteFile(path, good, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		},
	} {
		os.Remove(path)
		if err := place(); err != nil {
			t.Fatal(err)
		}
		if got := child(t, folder); got != want {
			t.Errorf("%s: the program computes %s, want %s", name, got, want)
		}
		if _, info := kept(t, folder); !info.Mode().IsRegular() || info.Size() > 2*int64(len(good)) {
			t.Errorf("%s was not replaced: %v, %d bytes", name, info.Mode(), info.Size())
		}
	}
	// One that others can write may be anybody's program.
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	child(t, folder)
	if _, info := kept(t, folder); info.Mode().Perm() != 0o600 {
		t.Errorf("a file that others can write was used: mode %v", info.Mode())
	}
}

// A program is loaded only under the circumstances under which it was compiled.
func TestCompiledProgramOfOtherCircumstances(t *testing.T) {
	folder := t.TempDir()
	child(t, folder)
	child(t, folder, "XLA_FLAGS=--xla_cpu_enable_fast_math=true")
	child(t, folder, "XLA_FLAGS=--xla_dump_to="+t.TempDir()) // to see what XLA does, which it must do then
	if entries, _ := os.ReadDir(folder); len(entries) != 2 {
		t.Errorf("%d programs in the folder, want 2: other flags give another program, and a dump none", len(entries))
	}
}

func TestCompiledProgramsCanBeTurnedOff(t *testing.T) {
	home := t.TempDir()
	child(t, "off", "HOME="+home, "XDG_CACHE_HOME=")
	if entries, _ := os.ReadDir(home); len(entries) > 0 {
		t.Errorf("%v is left", entries)
	}
	child(t, "", "HOME="+home, "XDG_CACHE_HOME=")
	kept(t, filepath.Join(home, ".cache", "convbook", "compiled"))
	cache := t.TempDir()
	child(t, "", "HOME="+home, "XDG_CACHE_HOME="+cache)
	kept(t, filepath.Join(cache, "convbook", "compiled"))
}

func TestCompiledProgramsWithoutAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := child(t, "off")
	for _, folder := range []string{file, filepath.Join(file, "below"), "/proc/convbook"} {
		if got := child(t, folder); got != want {
			t.Errorf("with %s in the folder's place the program computes %s, want %s", folder, got, want)
		}
	}
}

func TestNeitherOnNorOff(t *testing.T) {
	for _, wish := range []string{"0", "false", "OFF"} {
		t.Setenv(onednnEnv, wish)
		_, err := open(defaultBackend)
		if want := `CONVBOOK_ONEDNN="` + wish + `" is neither on nor off`; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s in it", err, want)
		}
	}
}

func TestCompiledProgramsInARelativeFolder(t *testing.T) {
	t.Setenv(compiledEnv, "relative")
	_, err := open(defaultBackend)
	if want := "CONVBOOK_COMPILED=relative is not an absolute path"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("open: error %v, want %q in it", err, want)
	}
}

// The plugin finds XLA's, and oneDNN's convolutions, from its own folder, whatever that is called and wherever it was
// moved.
func TestPluginInAFolderOfAnyName(t *testing.T) {
	venv, err := filepath.Abs("../../.venv")
	if err != nil {
		t.Fatal(err)
	}
	want, programs := child(t, "off"), t.TempDir()
	for _, name := range []string{"my book", "我的书", "a'b", `x#y$z`, `"%s" (1) [2]`} {
		clone := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(clone, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(venv, filepath.Join(clone, ".venv")); err != nil {
			t.Fatal(err)
		}
		if got := childIn(t, clone, programs, pluginpath.Env+"=", "PWD="+clone); got != want {
			t.Errorf("in %s the program computes %s, want %s", name, got, want)
		}
	}
	kept(t, programs) // one for all of them
}

// What was not used for the longest time goes when there is too much; so does what a killed process left; nothing else.
func TestCompiledProgramsDoNotPileUp(t *testing.T) {
	folder := t.TempDir()
	make := func(name string, size int64, age time.Duration) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil { // takes no room on the disk
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Now(), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	make("0000000000000001.xla", 200<<20, 3*time.Hour)
	make("0000000000000002.xla", 100<<20, 5*time.Hour)
	make("0000000000000003.xla", 100<<20, 4*time.Hour)
	make("0000000000000004.xla.abcdef.partial", 1, 2*time.Hour)
	make("0000000000000005.xla.abcdef.partial", 1, time.Minute)
	make("0000000000000006.xla.abcdef.partial", 1, -2*time.Hour) // the clock was wrong then
	make("thesis.xla", 400<<20, 1000*time.Hour)
	oldest := filepath.Join(folder, "0000000000000007.xla") // cannot be removed as a file
	if err := errors.Join(os.Mkdir(oldest, 0o755), os.Chtimes(oldest, longAgo, longAgo)); err != nil {
		t.Fatal(err)
	}
	child(t, folder)
	var left []string
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "000000000000000") || entry.Name() == "thesis.xla" {
			left = append(left, entry.Name())
		}
	}
	want := []string{"0000000000000001.xla", "0000000000000005.xla.abcdef.partial", "0000000000000007.xla", "thesis.xla"}
	if !slices.Equal(left, want) || len(entries) != len(want)+1 {
		t.Errorf("%v is left, want %v and the new program", entries, want)
	}
}
