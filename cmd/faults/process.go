package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// place is the folders of one user, in which everything lies that a child reads and writes.
type place struct {
	runs, cache, compiled string
	own                   string              // CONVBOOK_DATA, if not empty
	as                    *syscall.Credential // who the user is, if not this process's
}

// newPlace is a user who has nothing yet, in the folder dir.
func newPlace(dir string) place {
	in := func(name string) string { return filepath.Join(dir, name) }
	return place{runs: in("runs"), cache: in("cache"), compiled: in("compiled")}
}

// data is where the place keeps a data set.
func (p place) data(name string) string { return filepath.Join(p.cache, "convbook", "data", name) }

// env is a child's environment. Nothing is fetched from the network: the proxy does not exist, and npm is this program.
func (p place) env(l *lab) []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return strings.HasPrefix(name, "CONVBOOK_") || strings.EqualFold(name, "NO_PROXY") || name == "XLA_FLAGS"
	})
	const nowhere = "http://127.0.0.1:1"
	return append(env,
		"CONVBOOK_RUNS="+p.runs, "XDG_CACHE_HOME="+p.cache, "CONVBOOK_COMPILED="+p.compiled, "CONVBOOK_DATA="+p.own,
		"HTTP_PROXY="+nowhere, "HTTPS_PROXY="+nowhere, "PATH="+l.bin, packagesEnv+"="+l.packages)
}

// process is a child at work.
type process struct {
	command *exec.Cmd
	stdin   interface{ Close() error }
	stderr  bytes.Buffer
	done    chan struct{} // closed when it has ended
	hung    bool          // it had to be ended because its time was over

	mu    sync.Mutex
	lines []string
	more  *sync.Cond // there is another line, or it has ended
}

// deadline is how long a child may take before it counts as hung. The slowest takes a few seconds.
var deadline = 90 * time.Second

// start starts a child. It dies with this process.
func (t *trial) start(p place, args ...string) *process {
	c := &process{command: exec.Command(t.lab.self, append([]string{"child"}, args...)...), done: make(chan struct{})}
	c.more = sync.NewCond(&c.mu)
	c.command.Env = p.env(t.lab)
	c.command.Stderr = &c.stderr
	c.command.WaitDelay = time.Second
	c.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: p.as}
	stdin, err := c.command.StdinPipe()
	stdout, err2 := c.command.StdoutPipe()
	if err := errors.Join(err, err2); err != nil {
		panic(err)
	}
	c.stdin = stdin
	if err := c.command.Start(); err != nil {
		panic(err)
	}
	limit := time.AfterFunc(deadline, func() { c.hung = true; c.kill() })
	forget := context.AfterFunc(t.lab.ctx, c.kill)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			c.mu.Lock()
			c.lines = append(c.lines, lines.Text())
			c.more.Broadcast()
			c.mu.Unlock()
		}
		c.command.Wait()
		limit.Stop()
		forget()
		syscall.Kill(-c.command.Process.Pid, syscall.SIGKILL) // what it had started itself
		c.mu.Lock()
		close(c.done)
		c.more.Broadcast()
		c.mu.Unlock()
	}()
	return c
}

// kill is kill -9 of the child alone, as the system does it when memory runs out.
func (c *process) kill() { c.command.Process.Kill() }

func (c *process) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// said is what the child has printed by now.
func (c *process) said() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// waitFor waits until the lines that the child has printed satisfy ok, and tells whether they did before it ended.
func (c *process) waitFor(ok func(lines []string) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !ok(c.lines) {
		if c.ended() {
			return false
		}
		c.more.Wait()
	}
	return true
}

// outcome is what became of a child.
type outcome struct {
	lines  []string // of standard output
	errors string   // standard error
	killed bool     // it was ended by SIGKILL
	hung   bool
	code   int
}

func (c *process) wait() outcome {
	<-c.done
	state := c.command.ProcessState
	status := state.Sys().(syscall.WaitStatus)
	return outcome{lines: c.said(), errors: c.stderr.String(), hung: c.hung, code: state.ExitCode(),
		killed: status.Signaled() && status.Signal() == syscall.SIGKILL}
}

// run starts a child and waits for its end.
func (t *trial) run(p place, args ...string) outcome { return t.start(p, args...).wait() }

// result is the line with the sum of all that the run gave, or empty.
func (o outcome) result() string {
	if n := len(o.lines); n > 0 && strings.HasPrefix(o.lines[n-1], resultLine) {
		return o.lines[n-1]
	}
	return ""
}

// says tells whether a line of the output contains all the words.
func (o outcome) says(words ...string) bool {
	return slices.ContainsFunc(o.lines, func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}

// same is nil if the child ended well with exactly the result of the undisturbed training.
func (o outcome) same(want string) error {
	switch {
	case o.hung:
		return fmt.Errorf("it hung: no end after %v", deadline)
	case o.code != 0:
		return fmt.Errorf("it ended with status %d: %s", o.code, shortened(o.errors))
	case o.errors != "":
		return fmt.Errorf("it ended well, but printed an error: %s", shortened(o.errors))
	case o.result() == "":
		return fmt.Errorf("it ended well, but without a result")
	case o.result() != want:
		return fmt.Errorf("its result differs from that without trouble: %s, not %s", o.result(), want)
	}
	return nil
}

// remedies are the words with which the book's errors say what to do.
var remedies = []string{
	"Fresh: true", "trains again", "train again", "make room", "writable", "to another folder", "put the right file",
	"connect to the network", "with Fit first", "ulimit", "remove it", "make setup",
}

// refused is nil if the child ended with one line that names what is wrong, by these words, and a remedy.
func (o outcome) refused(words ...string) error {
	line, rest, _ := strings.Cut(o.errors, "\n")
	switch {
	case o.hung:
		return fmt.Errorf("it hung: no end after %v", deadline)
	case o.code == 0:
		return fmt.Errorf("it ended well: the trouble was not noticed")
	case o.code != 1 || rest != "" || !strings.HasPrefix(line, "error: "):
		return fmt.Errorf("it ended with status %d and more than one line of error: %s", o.code, shortened(o.errors))
	}
	for _, word := range words {
		if !strings.Contains(line, word) {
			return fmt.Errorf("its error does not name %s: %s", word, line)
		}
	}
	if !slices.ContainsFunc(remedies, func(r string) bool { return strings.Contains(line, r) }) {
		return fmt.Errorf("its error names no remedy: %s", line)
	}
	return nil
}

// failed is nil if the child ended with an error that has these words.
func (o outcome) failed(words string) error {
	if o.code == 0 || !strings.Contains(o.errors, words) {
		return fmt.Errorf("it ended with status %d: %s", o.code, shortened(o.errors))
	}
	return nil
}

// shortened is the text in one line of readable length.
func shortened(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 400 {
		text = text[:200] + " … " + text[len(text)-200:]
	}
	return text
}
