package device

import (
	"os"
	"strings"
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
