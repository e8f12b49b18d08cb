package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image/jpeg"
	"image/png"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// Runs are kept in a folder of the tests' own.
func TestMain(m *testing.M) {
	if model := os.Getenv("CONVBOOK_TEST_SERVE"); model != "" { // of TestSecondSignal
		os.Args = []string{"serve", "-model", model, "-address", "127.0.0.1:0"}
		main()
		os.Exit(0)
	}
	runs, err := os.MkdirTemp("", "serve-")
	if err != nil {
		panic(err)
	}
	os.Setenv(train.RunsEnv, runs)
	code := m.Run()
	os.RemoveAll(runs)
	os.Exit(code)
}

// trained is a run of a second, which the tests share, and its test images.
func trained(t *testing.T) (*train.Run, *dataset.Split) {
	t.Helper()
	run, err := train.Task{
		Net: nn.Named("Tiny", nn.Flatten, nn.Dense(10)), Data: sample.MNIST().Normalize(0.1307, 0.3081),
		Config: train.Config{Epochs: 1, Batch: 64, Optimizer: train.SGD(0.01, 0), Seed: 1, Progress: train.Quiet},
	}.Fit()
	if err != nil {
		t.Fatal(err)
	}
	test, err := run.Task.Data.Test()
	if err != nil {
		t.Fatal(err)
	}
	return run, test
}

// started is a server with these limits, which listens. What arrives has room for room bytes.
func started(t *testing.T, bytes int64, wait time.Duration, requests, room int64) (url string) {
	t.Helper()
	run, _ := trained(t)
	network, err := classify.New(run)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{network: network, bytes: bytes, wait: wait, requests: semaphore.NewWeighted(requests), room: semaphore.NewWeighted(room)}
	return address(t, s, 0)
}

func address(t *testing.T, s *server, write time.Duration) string {
	web := httptest.NewUnstartedServer(s.handler())
	web.Config.ReadTimeout, web.Config.WriteTimeout = s.wait, write
	web.Start()
	t.Cleanup(web.Close)
	return web.URL
}

// digit is test image i as a file.
func digit(t *testing.T, i int) []byte {
	t.Helper()
	_, test := trained(t)
	var file bytes.Buffer
	if err := png.Encode(&file, test.Image(i)); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// form is a file in a field of a form.
func form(t *testing.T, field string, file []byte) (kind string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(field, "手写 7.png")
	if err != nil {
		t.Fatal(err)
	}
	part.Write(file)
	w.Close()
	return w.FormDataContentType(), b.Bytes()
}

type answer struct {
	Classes []classify.Class
	Error   string
}

// post sends a request and returns the answer.
func post(t *testing.T, url, kind string, body io.Reader) (status int, a answer) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, url+"/classify", body)
	if err != nil {
		t.Error(err)
		return 0, a
	}
	request.Header.Set("Content-Type", kind)
	request.Close = true // each is a client of its own
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return 0, a
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		t.Errorf("status %d: %v", response.StatusCode, err)
	}
	return response.StatusCode, a
}

// Many clients at the same time, with pictures as they are and in forms, get the answers of the run's own test.
func TestAnswers(t *testing.T) {
	url := started(t, 1<<20, time.Minute, 1000, 1<<30)
	run, _ := trained(t)
	p, err := run.Test()
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for i := range 60 {
		kind, body := "image/png", digit(t, i)
		if i%2 == 1 {
			kind, body = form(t, "picture", body)
			kind = strings.Replace(kind, "multipart/form", []string{"multipart/form", "Multipart/Form"}[i/2%2], 1)
		}
		clients.Go(func() {
			status, a := post(t, url, kind, bytes.NewReader(body))
			if status != http.StatusOK || len(a.Classes) != 10 || a.Classes[0].Name != p.Classes[p.Class(i)] {
				t.Errorf("test image %d: status %d, %+v, want first %s", i, status, a, p.Classes[p.Class(i)])
			}
		})
	}
	clients.Wait()
	for path, want := range map[string]string{
		"/":        "<p>Tiny, 7850 parameters: pictures of 28×28×1 into 10 classes</p>",
		"/metrics": `http_request_duration_seconds_count{code="200"}`,
	} {
		response, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(text), want) {
			t.Errorf("%s: status %d, %v, without %q", path, response.StatusCode, err, want)
		}
	}
}

// claimed is the beginning of a PNG that says it has so many pixels.
func claimed(width, height uint32) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), width), height)
	head = append(head, 8, 6, 0, 0, 0)
	file := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)
	return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(head))
}

// What is wrong with a request is said in a line, with the status for it.
func TestBadRequests(t *testing.T) {
	url := started(t, 100<<10, time.Minute, 1, 1<<30)
	_, test := trained(t)
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, test.Image(0), nil); err != nil {
		t.Fatal(err)
	}
	otherField, inOtherField := form(t, "file", digit(t, 0))
	aForm, broken := form(t, "picture", []byte("no picture"))
	_, boundary, _ := strings.Cut(aForm, "boundary=")
	for _, c := range []struct {
		what, kind string
		body       []byte
		status     int
		want       string
	}{
		{"nothing", "", nil, 422, "it is not a picture"},
		{"a text", "text/plain", []byte("seven"), 422, "it is not a picture"},
		{"a truncated JPEG", "image/jpeg", photo.Bytes()[:photo.Len()/2], 422, "it is cut off"},
		{"many pixels", "image/png", claimed(60000, 60000), 422, "60000 × 60000 pixels"},
		{"a text in a form", aForm, broken, 422, "it is not a picture"},
		{"a form without its field", otherField, inOtherField, 400, "no file in the field picture"},
		{"half a form", aForm, broken[:len(broken)-10], 400, "EOF"},
		{"a form without a boundary", "multipart/form-data", broken, 400, "boundary"},
		{"too many bytes", "image/png", make([]byte, 100<<10+1), 413, "more than 102400 bytes"},
		{"too many bytes in a form", aForm, bytes.Replace(broken, []byte("no"), make([]byte, 100<<10), 1), 413, "more than 102400 bytes"},
		{"a form of nonsense", aForm, append([]byte("--"+boundary+"\r\n"), make([]byte, 1000)...), 400, "cannot be read: "},
	} {
		status, a := post(t, url, c.kind, bytes.NewReader(c.body))
		if status != c.status || !strings.Contains(a.Error, c.want) || strings.Contains(a.Error, "\n") || len(a.Error) > 300 {
			t.Errorf("%s: status %d, %.300q, want %d with %q", c.what, status, a.Error, c.status, c.want)
		}
	}
	if status, a := post(t, url, "image/png", bytes.NewReader(digit(t, 0))); status != http.StatusOK { // of one at a time
		t.Errorf("after all these, status %d, %v", status, a)
	}
}

// What is asked of a path or with a method that there is not gets JSON too, and is counted.
func TestNoSuchPage(t *testing.T) {
	url := started(t, 1<<20, time.Minute, 1, 1<<30)
	for _, c := range []struct {
		method, path string
		status       int
		allow, want  string
	}{
		{"GET", "/classify", 405, "POST", "it takes POST alone"},
		{"POST", "/", 405, "GET", "it takes GET alone"},
		{"POST", "/metrics", 405, "GET", "it takes GET alone"},
		{"GET", "/nowhere", 404, "", "there is no such page"},
		{"POST", "/classify/", 404, "", "there is no such page"},
	} {
		request, err := http.NewRequest(c.method, url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var a answer
		err = json.NewDecoder(response.Body).Decode(&a)
		response.Body.Close()
		if err != nil || response.StatusCode != c.status || !strings.Contains(a.Error, c.want) ||
			response.Header.Get("Allow") != c.allow || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v, %d, %v, %q", c.method, c.path, err, response.StatusCode, response.Header, a.Error)
		}
	}
	response, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	for _, code := range []string{"404", "405"} {
		if want := `seconds_count{code="` + code + `"}`; err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%v, /metrics is without %s", err, want)
		}
	}
}

// counted counts what is read of it.
type counted struct {
	io.Reader
	bytes int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytes += int64(n)
	return n, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A time of 0 would be no limit.
func TestLimitsThatWouldBeNone(t *testing.T) {
	for _, s := range []*server{{bytes: 0, wait: time.Second}, {bytes: 1, wait: 0}, {bytes: 1, wait: -time.Second}} {
		if err := s.run(t.Context(), "no run", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "above 0") ||
			command.Status(err) != 2 {
			t.Errorf("%d bytes and %v: %v", s.bytes, s.wait, err)
		}
	}
}

func TestWithoutAModel(t *testing.T) {
	const want = "no network: name a run or an exported file with -model; make runs lists the runs"
	s := &server{bytes: 1, wait: time.Second}
	if err := s.run(t.Context(), "", "127.0.0.1:0"); err == nil || err.Error() != want || command.Status(err) != 2 {
		t.Errorf("error %v, want %s", err, want)
	}
	if err := s.run(t.Context(), "nobody", "127.0.0.1:0"); command.Status(err) != 2 {
		t.Errorf("a run that is not there: %v with status %d", err, command.Status(err))
	}
}

// Of a gigabyte, no more is read than a request may have and what a connection holds.
func TestGigabyte(t *testing.T) {
	url := started(t, 1<<20, time.Minute, 64, 1<<30)
	body := &counted{Reader: io.LimitReader(zeros{}, 1<<30)}
	response, err := http.Post(url+"/classify", "", body)
	if err == nil { // else the connection was closed before the client looked
		response.Body.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", response.StatusCode)
		}
	}
	if body.bytes > 100<<20 {
		t.Errorf("%d bytes were sent", body.bytes)
	}
}

// slow begins a request with some of a file, and does not come to its end.
func slow(t *testing.T, url string, file []byte, some int) net.Conn {
	t.Helper()
	client, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	fmt.Fprintf(client, "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(file), file[:some])
	return client
}

// statusOf reads an answer to it.
func statusOf(t *testing.T, client net.Conn) (status int, text string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// Slow clients are waited for, but not long, and others are answered meanwhile: what still arrives takes no place.
func TestSlowClients(t *testing.T) {
	url := started(t, 1<<20, 2*time.Second, 1, 1<<30)
	file := digit(t, 0)
	var clients []net.Conn
	for range 64 {
		clients = append(clients, slow(t, url, file, 3))
	}
	time.Sleep(200 * time.Millisecond) // so they have begun
	if status, a := post(t, url, "", bytes.NewReader(file)); status != http.StatusOK {
		t.Errorf("beside slow clients: status %d, %v", status, a)
	}
	for _, client := range clients {
		if status, text := statusOf(t, client); status != http.StatusRequestTimeout || !strings.Contains(text, "did not arrive within 2s") {
			t.Errorf("a slow client: status %d, %s", status, text)
		}
	}
}

// An answer that took long to compute is sent all the same.
func TestSlowAnswers(t *testing.T) {
	run, _ := trained(t)
	network, err := classify.New(run)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{network: network, bytes: 1 << 20, wait: time.Minute, requests: semaphore.NewWeighted(1), room: semaphore.NewWeighted(1 << 30)}
	url := address(t, s, time.Nanosecond) // which is over when the answer is there
	for what, file := range map[int][]byte{http.StatusOK: digit(t, 0), http.StatusUnprocessableEntity: []byte("no picture")} {
		if status, a := post(t, url, "", bytes.NewReader(file)); status != what {
			t.Errorf("status %d, want %d: %v", status, what, a)
		}
	}
}

// All that arrives has a bound, and what was taken of it is given back, also by those who did not come to their end.
func TestRoom(t *testing.T) {
	file := digit(t, 0)
	url := started(t, 1<<20, 2*time.Second, 1, int64(len(file)+10))
	client := slow(t, url, file, 20)
	time.Sleep(200 * time.Millisecond) // so it has begun
	status, a := post(t, url, "", bytes.NewReader(file))
	if status != http.StatusServiceUnavailable || !strings.Contains(a.Error, "try again") {
		t.Errorf("without room: status %d, %v", status, a)
	}
	kind, body := form(t, "picture", file)
	if status, a := post(t, url, kind, bytes.NewReader(body)); status != http.StatusServiceUnavailable {
		t.Errorf("a form without room: status %d, %v", status, a)
	}
	statusOf(t, client)
	for range 3 {
		if status, a := post(t, url, "", bytes.NewReader(file)); status != http.StatusOK {
			t.Errorf("after the slow client: status %d, %v", status, a)
		}
	}
}

// Who comes when all places are taken is told to try again.
func TestPlaces(t *testing.T) {
	url := started(t, 1<<20, time.Minute, 0, 1<<30)
	if status, a := post(t, url, "", bytes.NewReader(digit(t, 0))); status != http.StatusServiceUnavailable {
		t.Errorf("status %d, %v", status, a)
	}
}

// A server that is stopped answers what has begun and then ends. Where it cannot begin, it says why.
func TestStop(t *testing.T) {
	run, _ := trained(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	serve := func(ctx context.Context, model string) error {
		s := &server{bytes: 1 << 20, wait: time.Minute, requests: semaphore.NewWeighted(64), room: semaphore.NewWeighted(1 << 30)}
		return s.run(ctx, model, address)
	}
	if err := serve(t.Context(), run.Dir()); err == nil || !strings.Contains(err.Error(), "address already in use: give another -address") {
		t.Errorf("on a port that is taken: %v", err)
	}
	if err := serve(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), `there is no run "nobody"`) {
		t.Errorf("without a network: %v", err)
	}
	listener.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, run.Dir()) }()
	for {
		response, err := http.Get("http://" + address)
		if err == nil {
			response.Body.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	file := digit(t, 0)
	client := slow(t, address, file, 10)
	time.Sleep(100 * time.Millisecond) // so it is accepted
	stop()
	select {
	case err := <-ended:
		t.Errorf("ended before the answer: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if _, err := client.Write(file[10:]); err != nil {
		t.Fatal(err)
	}
	if status, text := statusOf(t, client); status != http.StatusOK {
		t.Errorf("status %d, %s", status, text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// While it answers what it was asked before the first signal, a second one ends it.
func TestSecondSignal(t *testing.T) {
	run, _ := trained(t)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "CONVBOOK_TEST_SERVE="+run.Dir())
	said, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer command.Process.Kill()
	line, err := bufio.NewReader(said).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(line), "http://")
	if !ok {
		t.Fatalf("said %q, %v", line, err)
	}
	half, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	fmt.Fprint(half, "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
	if _, err := bufio.NewReader(half).ReadString('\n'); err != nil { // it continues, so the request has begun
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- command.Wait() }()
	for {
		command.Process.Signal(syscall.SIGTERM) // which of them comes after the first was heard does not matter
		select {
		case err := <-ended:
			if err == nil || err.Error() != "signal: terminated" {
				t.Errorf("it ended by %v", err)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}
