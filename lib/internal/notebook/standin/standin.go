// Package standin stands in for GoNB's kernel and for the notebook, in tests.
package standin

import (
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui/protocol"
)

// Page is what a cell left in a notebook.
type Page struct {
	mu       sync.Mutex
	Displays []protocol.DisplayData // that the notebook holds in the end: an update takes the place of what it updates
	Updates  []protocol.DisplayData // all that came
	Printed  string
	Order    []string // texts of what was printed and what came first of each display, as they came
}

// Run runs a cell, a program, and answers it. What the cell prints is read late. A cell that listens to the page gets
// the messages, one after each thing that it displays.
func Run(t *testing.T, c *exec.Cmd, messages ...string) *Page {
	t.Helper()
	forth, back := filepath.Join(t.TempDir(), "forth"), filepath.Join(t.TempDir(), "back")
	for _, pipe := range []string{forth, back} {
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.Env = append(c.Environ(), protocol.GONB_PIPE_ENV+"="+forth, protocol.GONB_PIPE_BACK_ENV+"="+back)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	c.Stdout, c.Stderr = writer, writer
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	limit := time.AfterFunc(60*time.Second, func() { c.Process.Kill() })
	defer limit.Stop()
	var p Page
	var reading sync.WaitGroup
	reading.Go(func() { p.read(reader) })
	p.answer(t, forth, back, messages)
	reading.Wait()
	c.Wait()
	return &p
}

// read takes its time with what the cell prints.
func (p *Page) read(reader io.Reader) {
	buffer := make([]byte, 1<<16)
	for {
		time.Sleep(50 * time.Millisecond)
		n, err := reader.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.Printed += string(buffer[:n])
		p.Order = append(p.Order, string(buffer[:n]))
		p.mu.Unlock()
	}
}

// answer takes what the cell displays, until it ends.
func (p *Page) answer(t *testing.T, forth, back string, messages []string) {
	reader, err := os.Open(forth)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	writer, err := os.OpenFile(back, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	decoder, encoder := gob.NewDecoder(reader), gob.NewEncoder(writer)
	send := func(address string, value any) {
		if err := encoder.Encode(&protocol.CommValue{Address: address, Value: value}); err != nil {
			t.Error(err)
		}
	}
	address := "" // that the cell listens to
	for {
		var data protocol.DisplayData
		if err := decoder.Decode(&data); err != nil {
			return
		}
		listens, isSubscription := data.Data[protocol.MIMECommSubscribe].(protocol.CommSubscription)
		value, isValue := data.Data[protocol.MIMECommValue].(protocol.CommValue)
		switch {
		case isSubscription:
			address = listens.Address
		case isValue: // the cell waits for an answer
			send(protocol.GonbuiSyncAckAddress, value.Value)
		default:
			p.display(data)
			if address != "" && len(messages) > 0 {
				send(address, messages[0])
				messages = messages[1:]
			}
		}
	}
}

func (p *Page) display(data protocol.DisplayData) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Updates = append(p.Updates, data)
	known := func(d protocol.DisplayData) bool { return d.DisplayID != "" && d.DisplayID == data.DisplayID }
	if i := slices.IndexFunc(p.Displays, known); i >= 0 {
		p.Displays[i] = data
		return
	}
	p.Displays = append(p.Displays, data)
	p.Order = append(p.Order, fmt.Sprint(data.Data[protocol.MIMETextPlain]))
}
