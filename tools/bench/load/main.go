// Command load asks a server what is in pictures, from many clients at the same time, and prints how long it took as
// JSON. tools/bench/serve.py starts it.
//
//	go run ./tools/bench/load -url http://127.0.0.1:8080/classify -clients 8 -seconds 10
//
// The pictures are the first thousand test digits of MNIST, as PNG. Each client sends one after another over a
// connection of its own.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image/png"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/dataset"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8080/classify", "post pictures there")
	clients := flag.Int("clients", 1, "so many at the same time")
	seconds := flag.Float64("seconds", 10, "for so long")
	requests := flag.Int64("requests", math.MaxInt64, "and at most so many")
	answers := flag.String("answers", "", "only write the answers to this file, or compare them with those in it")
	flag.Parse()
	if err := run(*url, *clients, *seconds, *requests, *answers); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(url string, clients int, seconds float64, requests int64, answers string) error {
	pictures, err := pictures()
	if err != nil {
		return err
	}
	if answers != "" {
		return agree(url, pictures, answers)
	}
	result, err := load(url, pictures, clients, time.Duration(seconds*float64(time.Second)), requests)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func pictures() (files [][]byte, err error) {
	test, err := dataset.MNIST().Test()
	if err != nil {
		return nil, err
	}
	for _, img := range test.Images(0, 1000) {
		var file bytes.Buffer
		if err := png.Encode(&file, img); err != nil {
			return nil, err
		}
		files = append(files, file.Bytes())
	}
	return files, nil
}

// ask posts a picture and returns the answer.
func ask(client *http.Client, url string, picture []byte) ([]byte, error) {
	response, err := client.Post(url, "image/png", bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", response.Status, answer)
	}
	return answer, err
}

// result is what came out of a load.
type result struct {
	Requests  int     `json:"requests"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P90       float64 `json:"p90_ms"`
	P99       float64 `json:"p99_ms"`
	Longest   float64 `json:"longest_ms"`
}

// load asks from all clients until the time or the requests are over. It is no time for errors.
func load(url string, pictures [][]byte, clients int, limit time.Duration, requests int64) (result, error) {
	var asked atomic.Int64
	var failed atomic.Pointer[error]
	took := make([][]time.Duration, clients)
	var all sync.WaitGroup
	start := time.Now()
	for c := range clients {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for time.Since(start) < limit && failed.Load() == nil {
				n := asked.Add(1)
				if n > requests {
					return
				}
				begin := time.Now()
				if _, err := ask(client, url, pictures[n%int64(len(pictures))]); err != nil {
					failed.Store(&err)
				}
				took[c] = append(took[c], time.Since(begin))
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return result{}, *err
	}
	seconds := time.Since(start).Seconds()
	sorted := slices.Sorted(slices.Values(slices.Concat(took...)))
	at := func(share float64) float64 { return sorted[int(share*float64(len(sorted)-1))].Seconds() * 1000 }
	return result{len(sorted), float64(len(sorted)) / seconds, at(0.5), at(0.9), at(0.99), at(1)}, nil
}

// agree compares the answers for all pictures with those in a file, or writes them if there is none.
func agree(url string, pictures [][]byte, file string) error {
	type answer struct{ Classes []classify.Class }
	var answers []answer
	for i, picture := range pictures {
		text, err := ask(http.DefaultClient, url, picture)
		if err != nil {
			return err
		}
		var a answer
		if err := json.Unmarshal(text, &a); err != nil || len(a.Classes) == 0 {
			return fmt.Errorf("picture %d: %.200s (%v)", i, text, err)
		}
		answers = append(answers, a)
	}
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		if text, err = json.Marshal(answers); err == nil {
			err = os.WriteFile(file, text, 0o644)
		}
		return err
	}
	var want []answer
	if err == nil {
		err = json.Unmarshal(text, &want)
	}
	if err != nil {
		return err
	}
	for i, a := range answers {
		got, want := a.Classes[0], want[i].Classes[0]
		if math.Abs(got.Probability-want.Probability) > 1e-4 || got.Name != want.Name {
			return fmt.Errorf("picture %d is %v here and %v in %s", i, got, want, file)
		}
	}
	return nil
}
