package diagram_test

import (
	"bytes"
	"flag"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"example.org/convbook/lib/diagram"
	"example.org/convbook/lib/nn"
)

var update = flag.Bool("update", false, "draw the golden pictures in testdata anew")

// Every network's diagram has the pixels of its picture in testdata. A change that is meant is looked at and then taken
// over with
//
//	go test ./lib/diagram -run Golden -update
func TestGolden(t *testing.T) {
	block := nn.Residual(nn.Conv(4, 1), nn.ReLU, nn.Conv(8, 3).Padding(1))
	for name, net := range map[string]nn.Layer{
		"plain": nn.Named("Plain", nn.Conv(8, 5).Stride(2), nn.BatchNorm, nn.ReLU, nn.MaxPool(2), nn.Conv(16, 3).Padding(1), nn.ReLU,
			nn.Flatten, nn.Dropout(0.5), nn.Dense(32), nn.ReLU, nn.Dense(10)),
		"residual": nn.Named("Residual", nn.Conv(8, 3).Padding(1), nn.ReLU, block, block, nn.GlobalAvgPool, nn.Dense(10)),
		"branches": nn.Named("Branches", nn.Branches(nn.Conv(4, 1), nn.Sequential(nn.Conv(2, 1), nn.Conv(4, 3).Padding(1)),
			nn.Sequential(nn.MaxPool(3).Stride(1).Padding(1), nn.Conv(4, 1))),
			nn.Auxiliary(0.3, nn.Flatten, nn.Dense(10)), nn.Flatten, nn.Dense(10)),
	} {
		summary, err := nn.Summarize(net, 20, 20, 3)
		if err != nil {
			t.Fatal(err)
		}
		got, err := diagram.Of(summary).PNG()
		if err != nil {
			t.Fatal(err)
		}
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
