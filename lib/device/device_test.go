package device

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"example.org/convbook/lib/device/internal/pluginpath"
)

func TestOpenRefusesWhatIsNotXLA(t *testing.T) {
	for config, want := range map[string]string{
		"go":          `unknown backend "go": set GOMLX_BACKEND to xla:cpu or xla:cuda`,
		"xla":         `unknown backend "xla"`,
		"tpu:cpu":     `unknown backend "tpu:cpu"`,
		"xla:abacus":  `unknown XLA device "abacus" in GOMLX_BACKEND=xla:abacus: use xla:cpu or xla:cuda`,
		"xla:cpu,foo": `XLA's plugin for "cpu" does not load`,
	} {
		_, err := open(config)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("open(%q): error %q, want one line with %q", config, err, want)
		}
	}
}

func TestOpenNamesTheCommandThatInstallsAPlugin(t *testing.T) {
	_, err := open("xla:cuda")
	if err == nil {
		t.Skip("this machine has a CUDA plugin")
	}
	if want := "XLA cannot use CUDA: run `make cuda` in the book's folder, and make sure that nvidia-smi shows a GPU"; !strings.Contains(err.Error(), want) {
		t.Errorf("open(xla:cuda): error %q, want %q in it", err, want)
	}
}

// A process of its own opens the backend, since go-xla looks for plugins once in a process.
func TestOpenWithoutAPluginThatLoads(t *testing.T) {
	if limit, child := os.LookupEnv("CONVBOOK_TEST_FILES"); child {
		if files, err := strconv.ParseUint(limit, 10, 64); err == nil {
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: files}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := open(defaultBackend)
		fmt.Printf("error: %v\n", err)
		return
	}
	noLibrary := t.TempDir()
	if err := os.WriteFile(filepath.Join(noLibrary, "pjrt_c_api_cpu_plugin.so"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ files, plugins, want string }{
		{"", t.TempDir(), "XLA's plugin for \"cpu\" is not installed: run `make setup` in the book's folder"},
		{"", noLibrary, "XLA's plugin does not load: remove .venv in the book's folder and run `make setup` there"},
		{"3", t.TempDir(), "cannot look for XLA's plugin: open .: too many open files: " +
			"raise the number of files that may be open (ulimit -n)"},
	} {
		child := exec.Command(os.Args[0], "-test.run=^TestOpenWithoutAPluginThatLoads$")
		child.Env = append(os.Environ(), "CONVBOOK_TEST_FILES="+c.files, pluginpath.Env+"="+c.plugins)
		out, err := child.Output()
		if line, _, _ := strings.Cut(string(out), "\n"); err != nil || line != "error: "+c.want {
			t.Errorf("with %s files that may be open: %q, %v, want %q", c.files, line, err, c.want)
		}
	}
}

// The accelerator's name is that of all GPUs; without one, or with several kinds, there is none.
func TestNameOfTheGPU(t *testing.T) {
	for told, want := range map[string]string{
		"echo NVIDIA H200":                       "NVIDIA H200",
		"echo NVIDIA H200; echo NVIDIA H200":     "NVIDIA H200",
		"echo NVIDIA H200; echo NVIDIA A100":     "",
		"echo No devices were found >&2; exit 6": "",
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "nvidia-smi"), []byte("#!/bin/sh\n"+told+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", folder)
		if name := gpu(); name != want {
			t.Errorf("where nvidia-smi does %q: %q, want %q", told, name, want)
		}
	}
}

// go-xla has read its plugin folders before any test runs; that it finds the plugin shows that pluginpath was first.
func TestPluginPathIsSetBeforeGoXLAReadsIt(t *testing.T) {
	if os.Getenv(pluginpath.Env) == "" {
		t.Fatalf("%s is not set", pluginpath.Env)
	}
	if _, err := open(defaultBackend); err != nil {
		t.Fatal(err)
	}
}

func TestLine(t *testing.T) {
	line, err := Line()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(line, chosen()+" · ") || !strings.Contains(line, "PJRT 0.") || strings.Contains(line, "\n") {
		t.Errorf("Line() = %q", line)
	}
}
