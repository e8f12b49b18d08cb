// Package pluginpath points go-xla at the XLA plugins that `make setup` installs in the clone's virtual environment,
// unless the user already set PJRT_PLUGIN_LIBRARY_PATH. First comes the one that keeps compiled programs
// (lib/device/plugin), then the one of XLA, which is enough where the first is missing.
//
// go-xla reads that variable once, when its package pjrt is initialised, so it has to be set before. Go initialises
// packages in the order of their import paths as soon as what they import is initialised (The Go Programming Language
// Specification, "Program initialization"): this package imports a few of the standard library's and sorts before
// github.com, so it comes first. A test of package device holds this.
package pluginpath

import (
	"os"
	"path/filepath"
	"strings"
)

// FolderEnv is the variable in which the book's kernel has the clone's folder, for notebooks that are elsewhere.
const FolderEnv = "CONVBOOK_FOLDER"

// Env is the variable in which go-xla takes its plugin folders, separated by colons.
const Env = "PJRT_PLUGIN_LIBRARY_PATH"

func init() {
	if os.Getenv(Env) != "" {
		return
	}
	if dirs := find(); len(dirs) > 0 {
		os.Setenv(Env, literal(strings.Join(dirs, ":"))) // go-xla takes them for patterns
	}
}

// literal is the pattern that matches nothing but the path itself.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace

// find lists the folders of plugins: those in the .venv of the clone that the kernel names, or else in the nearest one at
// or above the working folder, which is the clone's in `go test`; then the folders that go-xla's own installer uses.
func find() []string {
	var dirs []string
	if clone := os.Getenv(FolderEnv); clone != "" {
		dirs = in(clone)
	}
	for dir, err := os.Getwd(); err == nil && len(dirs) == 0; dir = filepath.Dir(dir) {
		dirs = in(dir)
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".local/lib/go-xla"), filepath.Join(home, ".local/lib/go-xla/nvidia"))
	}
	return append(dirs, "/usr/local/lib/go-xla")
}

// in lists the folders of plugins in the folder's .venv.
func in(dir string) (dirs []string) {
	for _, place := range []string{"convbook", "python3*/site-packages/*", "python3*/site-packages/jax_plugins/*"} {
		plugins, _ := filepath.Glob(filepath.Join(literal(dir), ".venv/lib", place, "pjrt_c_api_*_plugin.so"))
		for _, plugin := range plugins {
			dirs = append(dirs, filepath.Dir(plugin))
		}
	}
	return dirs
}
