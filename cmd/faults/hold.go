package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// holder is a process with a mount of its own, which nobody else sees: a small file system, or a folder that is mounted
// read-only. Others reach it through the holder's folder in /proc. It goes when the holder does.
type holder struct {
	command *exec.Cmd
	stdin   io.Closer
	path    string
}

// mount starts a holder: kind is "tmpfs" with the file system's options, or "read-only" with a folder of the trial, all
// of which the holder shows, with this one read-only. Where nobody may mount it returns a skipped.
func (t *trial) mount(kind, what string) (*holder, error) {
	dir, err := os.MkdirTemp(t.dir, "mount-")
	if err != nil {
		return nil, err
	}
	var why []string
	for _, flags := range []uintptr{syscall.CLONE_NEWNS, syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER} {
		h := &holder{command: exec.Command(t.lab.self, "hold", kind, what, dir, t.dir)}
		attributes := &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
		if flags&syscall.CLONE_NEWUSER != 0 {
			attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		h.command.SysProcAttr = attributes
		if h.stdin, err = h.command.StdinPipe(); err != nil {
			return nil, err
		}
		stdout, err := h.command.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := h.command.Start(); err != nil {
			why = append(why, err.Error())
			continue
		}
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		if line == "ready\n" {
			h.path = filepath.Join("/proc", fmt.Sprint(h.command.Process.Pid), "root", dir)
			if _, err := os.ReadDir(h.path); err == nil {
				return h, nil
			}
		}
		h.close()
		why = append(why, strings.TrimSpace(line))
	}
	return nil, skipped{"it needs a mount, which is not allowed here (" + strings.Join(why, "; ") + "): run it as root"}
}

func (h *holder) close() {
	h.stdin.Close()
	h.command.Process.Kill()
	h.command.Wait()
}

// hold is the holder: it mounts, says so and waits.
func hold(args []string) error {
	kind, what, dir, all := args[0], args[1], args[2], args[3]
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") // nothing of it reaches the others
	if err == nil {
		switch kind {
		case "tmpfs":
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, what)
		case "read-only":
			shown := dir + strings.TrimPrefix(what, all)
			err = errors.Join(
				syscall.Mount(all, dir, "", syscall.MS_BIND, ""),
				syscall.Mount(what, shown, "", syscall.MS_BIND, ""),
				syscall.Mount("", shown, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		}
	}
	if err != nil {
		fmt.Println(err)
		return err
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	return nil
}
