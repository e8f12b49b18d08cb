package device

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The plugin reads programs as text and files of compiled ones. `make fuzz` looks for inputs that break it; these are those
// that it was given to begin with, and what it found. Compilers' sanitizers notice what goes wrong in C.
func TestWhatThePluginReads(t *testing.T) {
	venv, err := filepath.Abs("../../.venv")
	if err != nil {
		t.Fatal(err)
	}
	pjrt, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}/pjrt", "github.com/gomlx/go-xla").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rewrite", "kept"} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), name)
			args := []string{"-g", "-std=gnu11", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", `-DREAL_PLUGIN=""`,
				`-DREAL_PLUGIN_SUM=""`, `-DONEDNN=""`, "-I" + strings.TrimSpace(string(pjrt)), "-I" + filepath.Join(venv, "include"),
				"-o", program, "plugin/fuzz/" + name + ".c"}
			if name == "rewrite" {
				if _, err := os.Stat(filepath.Join(venv, "lib/libdnnl.so")); err != nil {
					t.Skip("there is no oneDNN for this machine")
				}
				args = append(args, "-L"+filepath.Join(venv, "lib"), "-ldnnl", "-lgomp", "-Wl,-rpath,"+filepath.Join(venv, "lib"))
			}
			if output, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
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
