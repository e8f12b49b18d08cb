package main

import (
	"bufio"
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

// mount starts a holder: kind is "tmpfs" with the file system's options, or "read-only" with the folder to show. Where
// nobody may mount it returns a skipped.
func (t *trial) mount(kind, what string) (*holder, error) {
	dir, err := os.MkdirTemp(t.dir, "mount-")
	if err != nil {
		return nil, err
	}
	var why []string
	for _, flags := range []uintptr{syscall.CLONE_NEWNS, syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER} {
		h := &holder{command: exec.Command(t.lab.self, "hold", kind, what, dir)}
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
	return nil, skipped{"it needs a mount of its own, which is not allowed here (" + strings.Join(why, "; ") + "): run it as root"}
}

func (h *holder) close() {
	h.stdin.Close()
	h.command.Process.Kill()
	h.command.Wait()
}

// hold is the holder: it mounts, says so and waits.
func hold(args []string) error {
	kind, what, dir := args[0], args[1], args[2]
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") // nothing of it reaches the others
	if err == nil {
		switch kind {
		case "tmpfs":
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, what)
		case "read-only":
			if err = syscall.Mount(what, dir, "", syscall.MS_BIND, ""); err == nil {
				err = syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
			}
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
