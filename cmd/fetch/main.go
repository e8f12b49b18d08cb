// Command fetch puts the data sets named as arguments into the user's cache and says where they are.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"example.org/convbook/lib/dataset"
)

var fetchers = map[string]func() (folder string, err error){
	"cifar10":       dataset.FetchCIFAR10,
	"fashion-mnist": dataset.FetchFashionMNIST,
	"mnist":         dataset.FetchMNIST,
}

func main() {
	for _, name := range os.Args[1:] {
		fetch, ok := fetchers[name]
		if !ok {
			var known []string
			for name := range fetchers {
				known = append(known, name)
			}
			slices.Sort(known)
			fail(fmt.Errorf("unknown data set %q: there is %s", name, strings.Join(known, ", ")))
		}
		folder, err := fetch()
		if err != nil {
			fail(err)
		}
		fmt.Printf("%s: ready in %s\n", name, folder)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "fetch:", err)
	os.Exit(1)
}
