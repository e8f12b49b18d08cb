// Command fetch puts the data sets named as arguments into the user's cache and says where they are.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/dataset"
)

var fetchers = map[string]func() (folder string, err error){
	"cifar10":       dataset.FetchCIFAR10,
	"fashion-mnist": dataset.FetchFashionMNIST,
	"mnist":         dataset.FetchMNIST,
}

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: fetch DATASET ..., which may be "+known())
	}
	command.Parse()
	if err := check(flag.Args()); err != nil {
		command.End(command.Wrong(err))
	}
	command.End(fetch(flag.Args(), os.Stdout))
}

func known() string { return strings.Join(slices.Sorted(maps.Keys(fetchers)), ", ") }

// check looks at all names before anything is fetched.
func check(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("no data set is named: there is %s", known())
	}
	for _, name := range names {
		if fetchers[name] == nil {
			return fmt.Errorf("unknown data set %q: there is %s", name, known())
		}
	}
	return nil
}

func fetch(names []string, to io.Writer) error {
	out := &command.Output{Writer: to}
	for _, name := range names {
		folder, err := fetchers[name]()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: ready in %s\n", name, folder)
	}
	return out.Err
}
