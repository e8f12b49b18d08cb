// Package env reads environment variables that the user sets.
package env

import (
	"fmt"
	"os"
	"path/filepath"
)

// Folder is the folder that a variable names, empty if it names none. It must be an absolute path: every program has a
// working folder of its own, that of a cell is notebooks/, and would take a relative one for another folder.
func Folder(variable string) (string, error) {
	dir := os.Getenv(variable)
	if dir != "" && !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%s=%s is not an absolute path: set it to one that begins with /", variable, dir)
	}
	return dir, nil
}
