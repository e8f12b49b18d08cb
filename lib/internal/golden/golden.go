// Package golden compares figures in tests with pictures that were looked at. A change that is meant is looked at, too,
// and then taken over with
//
//	go test ./lib/figure ./lib/diagram -run Golden -update
package golden

import (
	"bytes"
	"flag"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "draw the golden pictures in testdata anew")

// Compare makes sure that a PNG file's content has the pixels of testdata/name.png.
func Compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".png")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(pixels(t, got), pixels(t, want)) {
		other := filepath.Join(os.TempDir(), "golden-"+name+".png")
		os.WriteFile(other, got, 0o644)
		t.Errorf("%s is another picture: see %s", name, other)
	}
}

// pixels is the picture in a PNG file: two versions of Go may pack the same one into other bytes.
func pixels(t *testing.T, content []byte) image.Image {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return picture
}
