// Package device opens the backend on which everything in this book computes: XLA, on the CPU by default, on another
// device by one setting, and never silently on something else.
//
//	GOMLX_BACKEND=xla:cpu     this machine's processor (the default)
//	GOMLX_BACKEND=xla:cuda    an NVIDIA GPU, after `make cuda`
//
// go-xla's options may follow, as in xla:cuda,tf32=false.
package device

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
	"golang.org/x/sys/cpu"

	_ "example.org/convbook/lib/device/internal/pluginpath"
	"example.org/convbook/lib/internal/env"
	"example.org/convbook/lib/internal/text"
)

// compiledEnv names the folder of compiled programs, or is "off" to keep none. It is convbook/compiled in the user's
// cache folder if not set. The plugin reads it (plugin/plugin.c).
const compiledEnv = "CONVBOOK_COMPILED"

// onednnEnv is "off" where convolutions are to be XLA's. The plugin reads it, too.
const onednnEnv = "CONVBOOK_ONEDNN"

// defaultBackend is the backend when the variable GOMLX_BACKEND is not set.
const defaultBackend = "xla:cpu"

// cudaChecksEnv tells go-xla whether to look for NVIDIA's libraries.
const cudaChecksEnv = "GOPJRT_CUDA_CHECKS"

// install says, for each plugin that the book knows, which command installs it.
var install = map[string]string{"cpu": "make setup", "cuda": "make cuda"}

// Open returns the backend that GOMLX_BACKEND names, or xla:cpu. The process opens it once and shares it.
//
// Its errors are one line and name the remedy: a backend that is not XLA, an unknown or a missing plugin, a plugin
// that does not load.
func Open() (compute.Backend, error) { return opened() }

var opened = sync.OnceValues(func() (compute.Backend, error) { return open(chosen()) })

// chosen is the name of the backend: the value of GOMLX_BACKEND, or xla:cpu.
func chosen() string {
	if config := os.Getenv(compute.ConfigEnvVar); config != "" {
		return config
	}
	return defaultBackend
}

func open(config string) (compute.Backend, error) {
	kind, options, _ := strings.Cut(config, ":")
	plugin, _, _ := strings.Cut(options, ",")
	if kind != "xla" || plugin == "" {
		return nil, fmt.Errorf("unknown backend %q: set %s to xla:cpu or xla:cuda "+
			"(GoMLX's pure-Go backend cannot train these networks)", config, compute.ConfigEnvVar)
	}
	if os.Getenv(compiledEnv) != "off" {
		if _, err := env.Folder(compiledEnv); err != nil { // the plugin would keep nothing, and say nothing
			return nil, err
		}
	}
	switch wish := os.Getenv(onednnEnv); wish {
	case "", "on", "off":
	default: // the plugin would take it as on, also 0 and false
		return nil, fmt.Errorf("%s=%q is neither on nor off: set it to one of them", onednnEnv, wish)
	}
	xla.EnableAutoInstall(false) // nothing is downloaded behind the reader's back
	available, err := plugins()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(available, plugin) {
		command, known := install[plugin]
		if !known {
			return nil, fmt.Errorf("unknown XLA device %q in %s=%s: use xla:cpu or xla:cuda",
				plugin, compute.ConfigEnvVar, config)
		}
		if plugin == "cuda" { // go-xla leaves the plugin out where it sees no GPU
			return nil, fmt.Errorf("XLA cannot use CUDA: run `%s` in the book's folder, "+
				"and make sure that nvidia-smi shows a GPU", command)
		}
		return nil, fmt.Errorf("XLA's plugin for %q is not installed: run `%s` in the book's folder", plugin, command)
	}
	// go-xla looks for NVIDIA's libraries where its own installer puts them, and warns; XLA finds them where pip does.
	if os.Getenv(cudaChecksEnv) == "" {
		os.Setenv(cudaChecksEnv, "no")
	}
	backend, err := xla.New(options)
	if err != nil {
		return nil, fmt.Errorf("XLA's plugin for %q does not load: %s", plugin, text.FirstLine(err))
	}
	return backend, nil
}

// plugins lists the plugins that go-xla finds. It says nothing of a folder that it cannot open, and panics at a file
// that is no library.
func plugins() (names []string, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("XLA's plugin does not load: remove .venv in the book's folder and run `make setup` there")
		}
	}()
	if names = xla.GetAvailablePlugins(); len(names) > 0 {
		return names, nil
	}
	here, err := os.Open(".")
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return nil, fmt.Errorf("cannot look for XLA's plugin: %w: "+
			"raise the number of files that may be open (ulimit -n)", err)
	}
	here.Close()
	return nil, nil
}

// Line describes the opened backend in one line for the top of a notebook, for instance
//
//	xla:cpu · Intel(R) Xeon(R) Processor, 2 cores · PJRT 0.115
func Line() (string, error) {
	backend, err := Open()
	if err != nil {
		return "", err
	}
	parts := []string{chosen(), hardware(backend)}
	plugin, _, _ := strings.Cut(strings.TrimPrefix(chosen(), "xla:"), ",")
	if p, err := pjrt.GetPlugin(plugin); err == nil {
		major, minor := p.Version()
		parts = append(parts, fmt.Sprintf("PJRT %d.%d", major, minor))
	}
	return strings.Join(parts, " · "), nil
}

// hardware names what the backend runs on: the processor and the cores that Go may use, or the accelerator.
func hardware(backend compute.Backend) string {
	if IsCPU(backend) {
		return fmt.Sprintf("%s, %d cores", processor(), runtime.GOMAXPROCS(0))
	}
	if name := gpu(); name != "" {
		return name
	}
	return backend.DeviceDescription(0)
}

// gpu is the name of this machine's NVIDIA GPU, or of its GPUs if all are alike. XLA knows it, but go-xla does not ask.
func gpu() string {
	told, err := exec.Command("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").Output()
	names := slices.Compact(strings.Split(strings.TrimSpace(string(told)), "\n"))
	if err != nil || len(names) != 1 {
		return ""
	}
	return names[0]
}

// IsCPU reports whether the backend computes on the processor.
func IsCPU(backend compute.Backend) bool {
	b, ok := backend.(*xla.Backend)
	return !ok || b.IsCPU()
}

// OneDNN reports whether the backend's convolutions are those of oneDNN, which `make setup` puts in front of XLA's on
// x86-64, with the book's own batch norms, poolings and updates of parameters. CONVBOOK_ONEDNN=off leaves all of them to
// XLA.
func OneDNN(backend compute.Backend) bool {
	if b, ok := backend.(*xla.Backend); !ok || !b.IsCPU() {
		return false
	}
	plugin, err := pjrt.GetPlugin("cpu")
	return err == nil && plugin.Attributes()["convbook_onednn"] == true
}

// BFloat16 reports whether the backend multiplies bfloat16 faster than float32: GPUs do, and processors with AVX512-BF16
// by oneDNN.
func BFloat16(backend compute.Backend) bool {
	return !IsCPU(backend) || OneDNN(backend) && cpu.X86.HasAVX512BF16
}

// processor is the processor's name as Linux gives it, else the architecture.
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return runtime.GOARCH
}
