// Command serve answers over HTTP what is in pictures, with a network that was trained before.
//
//	go run ./cmd/serve -model digits.safetensors           or a run, by its name or its folder's
//	curl --data-binary @seven.png localhost:8080/classify  a picture as it is
//	curl -F picture=@seven.png localhost:8080/classify     or in a form
//
// The answer is JSON: the classes, the most probable first, or an error of one line. At / there is a page to drop
// pictures on, at /metrics the numbers for Prometheus. When interrupted, it still answers the requests that it has.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/semaphore"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/train"
)

//go:embed page.html
var page string
var html = template.Must(template.New("page").Parse(page))

var seconds = promauto.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds",
	Help: "How long it took to answer.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"code"})

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), train.Signals()...)
	context.AfterFunc(ctx, stop) // so a second one ends it at once
	s := &server{bytes: 16 << 20, wait: 10 * time.Second, requests: semaphore.NewWeighted(64), room: semaphore.NewWeighted(1 << 30)}
	model := flag.String("model", "", "the `run`, by its name or its folder's, or the file that was exported from one")
	address := flag.String("address", "127.0.0.1:8080", "where to listen; :8080 lets other machines in")
	flag.Int64Var(&s.bytes, "max-bytes", s.bytes, "refuse larger requests")
	flag.DurationVar(&s.wait, "timeout", s.wait, "how long to wait for a request to arrive")
	command.Parse()
	command.End(s.run(ctx, *model, *address))
}

// server limits what each request can take from the others.
type server struct {
	network  *classify.Classifier
	bytes    int64               // of a request
	wait     time.Duration       // for all of it to arrive
	requests *semaphore.Weighted // that are computed at the same time; one that still arrives takes no place
	room     *semaphore.Weighted // bytes of all requests together
}

// run serves until the context ends, and then answers what was asked before.
func (s *server) run(ctx context.Context, model, address string) (err error) {
	if s.bytes < 1 || s.wait <= 0 || flag.NArg() > 0 {
		return command.Wrong(fmt.Errorf("it takes flags alone, see -help, and -max-bytes and -timeout above 0, not %q", os.Args[1:]))
	}
	if model == "" {
		return command.Wrong(errors.New("no network: name a run or an exported file with -model; make runs lists the runs"))
	}
	if s.network, err = classify.Open(model); err != nil {
		return command.Wrong(err)
	}
	if err := s.network.Compile(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w: give another -address", err)
	}
	fmt.Printf("%v, at http://%v\n", s.network, listener.Addr())
	web := &http.Server{Handler: s.handler(), ReadTimeout: s.wait, WriteTimeout: 3 * s.wait, IdleTimeout: time.Minute}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() { stopped <- web.Shutdown(context.Background()) })
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /classify", promhttp.InstrumentHandlerDuration(seconds, http.HandlerFunc(s.classify)))
	mux.Handle("GET /metrics", promhttp.Handler())
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { html.Execute(w, s.network.String()) })
	for path, method := range map[string]string{"/classify": "POST", "/metrics": "GET", "/{$}": "GET"} {
		refuse(mux, path, http.StatusMethodNotAllowed, "it takes "+method+" alone", method)
	}
	refuse(mux, "/", http.StatusNotFound, "there is no such page: POST a picture to /classify, GET / or /metrics", "")
	return mux
}

// refuse answers what comes to a path and has no other handler.
func refuse(mux *http.ServeMux, path string, status int, why, allow string) {
	mux.Handle(path, promhttp.InstrumentHandlerDuration(seconds, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if allow != "" {
			w.Header().Set("Allow", allow)
		}
		reply(w, status, map[string]any{"error": why})
	})))
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

// classify answers a request with JSON.
func (s *server) classify(w http.ResponseWriter, r *http.Request) {
	classes, status, err := s.classes(w, r)
	answer := map[string]any{"classes": classes}
	if err != nil {
		answer = map[string]any{"error": err.Error()}
	}
	// However long it took to come to the answer, the client has this time to take it.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.wait))
	reply(w, status, answer)
}

var errBusy = errors.New("too many requests at the same time: try again")

// classes are those of the picture in a request, with the status of the answer.
func (s *server) classes(w http.ResponseWriter, r *http.Request) ([]classify.Class, int, error) {
	body := &held{ReadCloser: http.MaxBytesReader(w, r.Body, s.bytes), room: s.room}
	defer func() { s.room.Release(body.bytes) }()
	file, err := sent(r, body)
	switch large := (*http.MaxBytesError)(nil); {
	case errors.Is(err, errBusy):
		return nil, http.StatusServiceUnavailable, errBusy
	case errors.As(err, &large):
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("it has more than %d bytes", s.bytes)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout, fmt.Errorf("it did not arrive within %v", s.wait)
	case err != nil:
		return nil, http.StatusBadRequest, fmt.Errorf("it cannot be read: %.200s", err)
	}
	if !s.requests.TryAcquire(1) {
		return nil, http.StatusServiceUnavailable, errBusy
	}
	defer s.requests.Release(1)
	pixels, err := s.network.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, http.StatusUnprocessableEntity, err
	}
	answers, err := s.network.ClassifyPixels([][]byte{pixels})
	if err != nil {
		return nil, http.StatusInternalServerError, err
	}
	return answers[0], http.StatusOK, nil
}

// held takes room for bytes as they arrive, since a client that sends none should take none from the others.
type held struct {
	io.ReadCloser
	room  *semaphore.Weighted
	bytes int64
}

func (h *held) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if !h.room.TryAcquire(int64(n)) {
		return 0, errBusy
	}
	h.bytes += int64(n)
	return n, err
}

// sent reads the picture that is sent as it is, or in the field picture of a form.
func sent(r *http.Request, body io.ReadCloser) ([]byte, error) {
	r.Body = body
	if !strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "multipart/form-data") {
		return io.ReadAll(body)
	}
	file, _, err := r.FormFile("picture")
	if errors.Is(err, http.ErrMissingFile) {
		return nil, errors.New("the form has no file in the field picture, as curl -F picture=@seven.png sends it")
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(file)
}
