package device

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The plugin reads programs as text and files of compiled ones. `make fuzz` looks for inputs that break it; these are
// those that it was given to begin with, and what it found.
func TestWhatThePluginReads(t *testing.T) {
	for _, name := range []string{"rewrite", "kept"} {
		t.Run(name, func(t *testing.T) {
			program := sanitized(t, "plugin/fuzz/"+name+".c")
			seeds, err := filepath.Glob("plugin/testdata/" + name + "/*")
			if err != nil || len(seeds) < 10 {
				t.Fatalf("%d seeds, %v", len(seeds), err)
			}
			run := exec.Command(program, seeds...)
			run.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0") // what is made ready lives as long as the process
			if output, err := run.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, output)
			}
		})
	}
}
