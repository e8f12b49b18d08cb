package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever has the old results open, or reads them when the disk is full, has them whole.
func TestResultsTakeTheirPlaceAtOnce(t *testing.T) {
	out := filepath.Join(t.TempDir(), "bench.json")
	if err := os.WriteFile(out, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := write(out, "a device", map[string][]float64{"a work": {2, 1}}); err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(old); string(content) != "before" {
		t.Errorf("the old results are %q, %v", content, err)
	}
	if content, err := os.ReadFile(out); !strings.Contains(string(content), `"a work"`) {
		t.Errorf("the new results are %q, %v", content, err)
	}
}

// Where results cannot go is said before anything is timed, and what is there stays.
func TestWritable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file.json")
	if err := os.WriteFile(file, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{dir, link, filepath.Join(file, "x.json"), "/proc/nosuch/x.json"} {
		if err := writable(out); err == nil || !strings.HasPrefix(err.Error(), "cannot write "+out+": ") ||
			!strings.HasSuffix(err.Error(), ": give another file with -out") {
			t.Errorf("%s: %v", out, err)
		}
	}
	for _, out := range []string{file, filepath.Join(dir, "new", "x.json")} {
		if err := writable(out); err != nil {
			t.Errorf("%s: %v", out, err)
		}
	}
	if content, err := os.ReadFile(file); string(content) != "before" {
		t.Errorf("%q, %v", content, err)
	}
}
