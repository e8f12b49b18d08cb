package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where results cannot go is said before anything is timed, and what is there stays.
func TestWritable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file.json")
	if err := os.WriteFile(file, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{dir, filepath.Join(file, "x.json"), "/proc/nosuch/x.json"} {
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
