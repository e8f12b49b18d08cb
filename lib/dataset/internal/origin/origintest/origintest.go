// Package origintest has what the tests of origin and of the data sets share: a cache of their own, a host, a stand-in
// for npm.
package origintest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
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

	"example.org/convbook/lib/dataset/internal/origin"
)

// Isolate gives the test a cache of its own, no folder of the user's, no npm, and a log.
func Isolate(t *testing.T) (cache string, log *bytes.Buffer) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(origin.FolderEnv, "")
	t.Setenv("PATH", t.TempDir())
	log = &bytes.Buffer{}
	origin.Log = log
	t.Cleanup(func() { origin.Log = os.Stdout })
	cache, err := origin.Cache()
	if err != nil {
		t.Fatal(err)
	}
	return cache, log
}

// Put writes a file, and the folders above it.
func Put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// List is the names of everything in the folder.
func List(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Zipped is the content, gzipped.
func Zipped(content string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, content)
	w.Close()
	return b.Bytes()
}

// Tarball is a gzipped tar of the files.
func Tarball(files map[string]string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w.WriteHeader(&tar.Header{Name: name, Size: int64(len(files[name])), Mode: 0o644})
		io.WriteString(w, files[name])
	}
	w.Close()
	return string(Zipped(b.String()))
}

// Integrity is the archive's sum as npm writes it.
func Integrity(archive string) string {
	sum := sha512.Sum512([]byte(archive))
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// StandInNPM puts a program in npm's place that runs the script, for which $0.tgz is the archive. Isolate comes first.
func StandInNPM(t *testing.T, script, archive string) {
	t.Helper()
	bin := os.Getenv("PATH")
	Put(t, bin, "npm", "#!/bin/sh\nPATH=/usr/bin:/bin\n"+script+"\n")
	os.Chmod(filepath.Join(bin, "npm"), 0o755)
	Put(t, bin, "npm.tgz", archive)
}

// Serve serves files with ranges, as official hosts do, and lists the ranges asked for.
func Serve(t *testing.T, files map[string]string) (url string, ranges *[]string) {
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

// CheckError wants an error of one line with all of these in it.
func CheckError(t *testing.T, err error, wants ...string) {
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
