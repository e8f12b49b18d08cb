// Command classify says what is in pictures, with a network that was trained before.
//
//	go run ./cmd/classify -model "my best" a.png b.jpg           a run, by its name or its folder's
//	go run ./cmd/classify -model digits.safetensors -json *.png  a file that `go run ./cmd/runs -export` wrote
//
// Each picture's most probable classes are printed in a line, as text or as JSON. A picture that cannot be read is an
// error of one line, and the others are classified all the same. The status is 1 then, or if what was printed is lost, and
// 2 if the network cannot be opened or the flags are wrong.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/picture"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// request is what was asked for.
type request struct {
	model    string
	json     bool
	top      int
	pictures []string
}

func run(arguments []string, to, errs io.Writer) (status int) {
	out := &command.Output{Writer: to}
	c, err := parse(arguments, out)
	broken := 0
	if err == nil {
		broken, err = c.classify(out, errs)
	}
	status = command.Status(err)
	switch {
	case status != 0:
		command.Tell(errs, err)
	case broken > 0:
		status = 1
	}
	return status
}

func parse(arguments []string, out io.Writer) (c request, err error) {
	flags := flag.NewFlagSet("classify", flag.ContinueOnError)
	flags.StringVar(&c.model, "model", "", "the `run`, by its name or its folder's, or an exported file")
	flags.BoolVar(&c.json, "json", false, "print JSON, one object per line")
	flags.IntVar(&c.top, "top", 3, "how many classes to print for each picture")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: classify -model RUN|FILE [-json] [-top 3] PICTURE ...")
		flags.PrintDefaults()
	}
	if err := command.ParseSet(flags, arguments, out); err != nil {
		return c, err
	}
	c.pictures = flags.Args()
	return c, command.Wrong(c.check())
}

func (c request) check() error {
	switch {
	case c.model == "":
		return errors.New("no network: name a run or an exported file with -model; make runs lists the runs")
	case c.top < 1:
		return fmt.Errorf("-top is %d: it must be at least 1", c.top)
	case len(c.pictures) == 0:
		return errors.New("no pictures: name them after -model")
	}
	return nil
}

// together is how many pictures are read and classified at a time. Their number may be any, and the memory is not.
const together = 64

// classify prints the classes of the pictures, and returns how many of them could not be read.
func (c request) classify(out, errs io.Writer) (broken int, err error) {
	network, err := classify.Open(c.model)
	if err != nil {
		return 0, command.Wrong(err)
	}
	for paths := range slices.Chunk(c.pictures, together) {
		pixels, wrong := read(network, paths)
		var good []string
		for i, path := range paths {
			if wrong[i] != nil {
				command.Tell(errs, wrong[i])
				broken++
				continue
			}
			good = append(good, path)
		}
		answers, err := network.ClassifyPixels(slices.DeleteFunc(pixels, func(p []byte) bool { return p == nil }))
		if err != nil {
			return broken, err
		}
		for i, classes := range answers {
			if err := c.print(out, good[i], classes[:min(c.top, len(classes))]); err != nil {
				return broken, err
			}
		}
	}
	return broken, nil
}

// read reads pictures on all cores: the pixels of each, or what is wrong with it.
func read(network *classify.Classifier, paths []string) (pixels [][]byte, wrong []error) {
	pixels, wrong = make([][]byte, len(paths)), make([]error, len(paths))
	var readers errgroup.Group
	readers.SetLimit(runtime.GOMAXPROCS(0))
	for i, path := range paths {
		readers.Go(func() error {
			img, err := picture.Open(path)
			if wrong[i] = err; err == nil {
				pixels[i] = network.Pixels(img)
			}
			return nil
		})
	}
	_ = readers.Wait()
	return pixels, wrong
}

// answer is a picture's line in JSON.
type answer struct {
	Picture string           `json:"picture"`
	Classes []classify.Class `json:"classes"`
}

func (c request) print(out io.Writer, path string, classes []classify.Class) error {
	if c.json {
		return json.NewEncoder(out).Encode(answer{path, classes})
	}
	var parts []string
	for _, class := range classes {
		parts = append(parts, fmt.Sprintf("%s %.1f %%", class.Name, 100*class.Probability))
	}
	_, err := fmt.Fprintln(out, command.InLine(path+": "+strings.Join(parts, ", ")))
	return err
}
