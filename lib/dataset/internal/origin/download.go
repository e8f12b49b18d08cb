package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
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
	response, err := ask(ctx, url, name, have)
	if err != nil {
		return err
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
	report := progress{what: fmt.Sprintf("%s: fetching %s", name, url)}
	report.done, report.total = have, have+response.ContentLength
	most += most/8 + 1<<16
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

// ask asks a host for what is behind the first bytes, which are here already, and waits for the answer to begin.
func ask(ctx context.Context, url, name string, have int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	stop := waiting(fmt.Sprintf("%s: waiting for %s", name, url))
	defer stop()
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, shortest(err))
	}
	return response, nil
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
