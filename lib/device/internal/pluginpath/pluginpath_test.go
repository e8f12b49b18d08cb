package pluginpath

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFolderOfAnyName(t *testing.T) {
	for _, name := range []string{"my book", "我的书", "a[b]*?", `x#y$z`, `back\slash`} {
		clone := filepath.Join(t.TempDir(), name)
		plugins := filepath.Join(clone, ".venv/lib/convbook")
		if err := os.MkdirAll(plugins, 0o700); err != nil {
			t.Fatal(err)
		}
		plugin := filepath.Join(plugins, "pjrt_c_api_cpu_plugin.so")
		if err := os.WriteFile(plugin, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Chdir(clone)
		if dirs := find(); dirs[0] != plugins {
			t.Errorf("in %s: find() = %q, want %q first", name, dirs, plugins)
		}
		t.Setenv(FolderEnv, clone) // as in a notebook elsewhere
		t.Chdir(t.TempDir())
		if dirs := find(); dirs[0] != plugins {
			t.Errorf("in another folder than %s: find() = %q, want %q first", name, dirs, plugins)
		}
		t.Setenv(FolderEnv, "")
		found, err := filepath.Glob(filepath.Join(literal(plugins), "pjrt_c_api_*_plugin.so"))
		if len(found) != 1 || found[0] != plugin {
			t.Errorf("in %s: %q is a pattern for %q, %v", name, literal(plugins), found, err)
		}
	}
}
