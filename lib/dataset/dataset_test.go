package dataset_test

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/device"
)

func ExampleMNIST() {
	train, test, err := dataset.MNIST().Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(train.Len(), test.Len(), train.Label(0))
}

func open(t *testing.T, d dataset.Images) (train, test *dataset.Split) {
	t.Helper()
	train, test, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	return train, test
}

func TestSample(t *testing.T) {
	train, test := open(t, sample.MNIST())
	if train.Len() != 512 || test.Len() != 256 {
		t.Errorf("%d training and %d test images, want 512 and 256", train.Len(), test.Len())
	}
	// The first labels of MNIST's two files, as every course on it shows them.
	for i, want := range "5041921314" {
		if got := train.Label(i); got != string(want) {
			t.Errorf("label of training image %d: %s, want %c", i, got, want)
		}
	}
	for i, want := range "7210414959" {
		if got := test.Label(i); got != string(want) {
			t.Errorf("label of test image %d: %s, want %c", i, got, want)
		}
	}
}

func TestFirst(t *testing.T) {
	train, test := open(t, sample.MNIST().First(100))
	if train.Len() != 100 || len(train.Pixels) != 100*28*28 || test.Len() != 256 {
		t.Errorf("First(100) has %d training images in %d bytes and %d test images", train.Len(), len(train.Pixels), test.Len())
	}
	if _, _, err := sample.MNIST().First(513).Open(); err == nil || !strings.Contains(err.Error(), "has 512 training images: cannot use the first 513") {
		t.Errorf("First(513): %v", err)
	}
	if _, _, err := sample.MNIST().First(-1).Open(); err == nil {
		t.Error("First(-1) opened")
	}
}

func TestFirstTest(t *testing.T) {
	_, whole := open(t, sample.MNIST())
	train, test := open(t, sample.MNIST().FirstTest(10))
	if train.Len() != 512 || test.Len() != 10 || !slices.Equal(test.Pixels, whole.Pixels[:10*28*28]) || !slices.Equal(test.Labels, whole.Labels[:10]) {
		t.Errorf("FirstTest(10) has %d training and %d test images, or others than the first", train.Len(), test.Len())
	}
}

func TestPermutedImageHasTheSamePixelsElsewhere(t *testing.T) {
	permutation := dataset.Permutation(28*28, 1)
	train, _ := open(t, sample.MNIST())
	permuted, _ := open(t, sample.MNIST().Permute(permutation))
	before, after := train.Image(3).(*image.Gray), permuted.Image(3).(*image.Gray)
	for i, p := range permutation {
		if after.Pix[i] != before.Pix[p] {
			t.Fatalf("pixel %d of the permuted image is %d, want pixel %d's %d", i, after.Pix[i], p, before.Pix[p])
		}
	}
	if slices.Equal(before.Pix, after.Pix) {
		t.Error("the permutation changed nothing")
	}
}

func TestPermutation(t *testing.T) {
	a, b, c := dataset.Permutation(784, 1), dataset.Permutation(784, 1), dataset.Permutation(784, 2)
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("a permutation depends on its seed and on nothing else")
	}
	slices.Sort(a)
	for i, p := range a {
		if p != i {
			t.Fatalf("%d is missing", i)
		}
	}
}

// What the graph does to a batch is what arithmetic on the pictures gives.
func TestPreprocess(t *testing.T) {
	const mean, std = 0.1307, 0.3081
	permutation := dataset.Permutation(28*28, 7)
	data := sample.MNIST().Normalize(mean, std).Permute(permutation)
	train, _ := open(t, data)
	const batch, size = 3, 28 * 28
	pixels := make([][][][]uint8, batch)
	for i := range pixels {
		pixels[i] = make([][][]uint8, 28)
		for y := range pixels[i] {
			pixels[i][y] = make([][]uint8, 28)
			for x := range pixels[i][y] {
				pixels[i][y][x] = train.Pixels[i*size+y*28+x:][:1]
			}
		}
	}
	got := run(t, data.Preprocess, pixels).([][][][]float32)
	for i := range batch {
		for p := range size {
			want := (float64(train.Pixels[i*size+permutation[p]])/255 - mean) / std
			if value := got[i][p/28][p%28][0]; math.Abs(float64(value)-want) > 1e-5 {
				t.Fatalf("image %d, pixel %d: %v, want %v", i, p, value, want)
			}
		}
	}
}

// Channels are normalised each by its own mean and std and stay with their pixel.
func TestPreprocessColour(t *testing.T) {
	rgb := func() (train, test *dataset.Split, err error) {
		s := &dataset.Split{Pixels: []byte{0, 51, 102, 153, 204, 255}, Labels: []byte{1}}
		return s, s, nil
	}
	data := dataset.New("two pixels", []string{"a", "b"}, 1, 2, 3, rgb).
		NormalizeChannels([]float64{0, 0.5, 1}, []float64{1, 2, 4}).Permute([]int{1, 0})
	train, _ := open(t, data)
	if got, want := train.Image(0).At(0, 0), (color.RGBA{153, 204, 255, 255}); got != want {
		t.Errorf("the picture's first pixel is %v, want %v", got, want)
	}
	got := run(t, data.Preprocess, [][][][]uint8{{{{0, 51, 102}, {153, 204, 255}}}}).([][][][]float32)
	want := [][]float64{{0.6, (0.8 - 0.5) / 2, 0}, {0, (0.2 - 0.5) / 2, (0.4 - 1) / 4}}
	for x, pixel := range want {
		for c, value := range pixel {
			if math.Abs(float64(got[0][0][x][c])-value) > 1e-6 {
				t.Errorf("pixel %d, channel %d: %v, want %v", x, c, got[0][0][x][c], value)
			}
		}
	}
}

func run(t *testing.T, f func(*graph.Node) *graph.Node, x any) any {
	t.Helper()
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	y, err := graph.ExecOnce(backend, f, x)
	if err != nil {
		t.Fatal(err)
	}
	return y.Value()
}

func TestOpenRefusesSettingsThatCannotWork(t *testing.T) {
	for want, data := range map[string]dataset.Images{
		"standard deviation of 0":                       sample.MNIST().Normalize(0, 0),
		"not with 2 and 2":                              sample.MNIST().NormalizeChannels([]float64{0, 0}, []float64{1, 1}),
		"not with 1 and 0":                              sample.MNIST().NormalizeChannels([]float64{0}, nil),
		"not one of the 784 pixels 0 to 783":            sample.MNIST().Permute([]int{0, 1, 2}),
		"MNIST sample: the permutation is not one of":   sample.MNIST().Permute(make([]int, 784)),
		"cannot use the first -3 training images":       sample.MNIST().First(-3),
		"cannot use the first 1000000":                  sample.MNIST().First(1000000),
		"cannot use the first -3 test images":           sample.MNIST().FirstTest(-3),
		"test images: cannot use the first 1000000":     sample.MNIST().FirstTest(1000000),
		"cannot normalise with a standard deviation of": sample.MNIST().Normalize(0, -1),
	} {
		_, _, err := data.Open()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

func TestStringTellsDataSetsApart(t *testing.T) {
	seen := map[string]bool{}
	d := sample.MNIST()
	for _, data := range []dataset.Images{d, d.First(10), d.FirstTest(10), d.Normalize(0.5, 0.5),
		d.Permute(dataset.Permutation(784, 1)), d.Permute(dataset.Permutation(784, 2)), dataset.MNIST()} {
		seen[data.String()] = true
	}
	if len(seen) != 7 {
		t.Errorf("seven data sets have %d descriptions: %v", len(seen), seen)
	}
}

// Opening a cached MNIST is meant to take under 100 ms: go test -bench OpenMNIST ./lib/dataset
func BenchmarkOpenMNIST(b *testing.B) {
	for b.Loop() {
		if _, _, err := dataset.MNIST().Open(); err != nil {
			b.Skip(err)
		}
	}
}

// A data set of one's own that cannot be is refused in a line that names what is wrong with it.
func TestDataSetsThatCannotBe(t *testing.T) {
	mine := func(classes []string, height int, change func(train, test *dataset.Split)) dataset.Images {
		return dataset.New("mine", classes, height, 28, 1, func() (*dataset.Split, *dataset.Split, error) {
			a, b := open(t, sample.MNIST())
			train := &dataset.Split{Pixels: a.Pixels, Labels: slices.Clone(a.Labels)}
			test := &dataset.Split{Pixels: b.Pixels, Labels: slices.Clone(b.Labels)}
			change(train, test)
			return train, test, nil
		})
	}
	digits := dataset.MNIST().Classes
	same := func(_, _ *dataset.Split) {}
	if _, _, err := mine(digits, 28, same).Open(); err != nil {
		t.Fatal(err)
	}
	for want, data := range map[string]dataset.Images{
		"training image 3 of mine has the label 10: its 10 classes have the labels 0 to 9": mine(digits, 28, func(train, _ *dataset.Split) { train.Labels[3] = 10 }),
		"test image 255 of mine has the label 255":                                         mine(digits, 28, func(_, test *dataset.Split) { test.Labels[255] = 255 }),
		"training image 0 of mine has the label 5: its 5 classes":                          mine(digits[:5], 28, same),
		"mine has no training images":                                                      mine(digits, 28, func(train, _ *dataset.Split) { *train = dataset.Split{} }),
		"mine has no test images":                                                          mine(digits, 28, func(_, test *dataset.Split) { *test = *test.Part(0, 0) }),
		"512 labels of training images and 401407 bytes of pixels":                         mine(digits, 28, func(train, _ *dataset.Split) { train.Pixels = train.Pixels[1:] }),
		"256 images of 29×28×1 are 207872 bytes":                                           mine(digits, 29, func(train, _ *dataset.Split) { train.Pixels = make([]byte, 512*29*28) }),
		"511 labels of training images":                                                    mine(digits, 28, func(train, _ *dataset.Split) { train.Labels = train.Labels[1:] }),
		"mine has 0 classes":                                                               mine(nil, 28, same),
		"mine has 257 classes: a label is a byte":                                          mine(make([]string, 257), 28, same),
		"mine has pictures of 0×28×1":                                                      mine(digits, 0, same),
		"nothing has no test images":                                                       dataset.New("nothing", digits, 28, 28, 1, func() (*dataset.Split, *dataset.Split, error) { a, _ := open(t, sample.MNIST()); return a, nil, nil }),
		`the data set "bare" has no images: make it with dataset.New`:                      {Name: "bare", Classes: digits, Height: 28, Width: 28, Channels: 1},
		"cannot normalise with a mean of NaN":                                              sample.MNIST().Normalize(math.NaN(), 1),
		"cannot normalise with a standard deviation of +Inf":                               sample.MNIST().Normalize(0, math.Inf(1)),
	} {
		_, _, err := data.Open()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Pictures of other numbers of channels than 1 and 3 can be looked at, too.
func TestPicturesOfManyChannels(t *testing.T) {
	for channels, want := range map[int]color.Color{2: color.Gray{10}, 4: color.RGBA{10, 11, 12, 255}} {
		data := dataset.New("channels", []string{"a"}, 1, 1, channels, func() (*dataset.Split, *dataset.Split, error) {
			split := &dataset.Split{Pixels: []byte{10, 11, 12, 13}[:channels], Labels: []byte{0}}
			return split, split, nil
		})
		train, _ := open(t, data)
		if got := train.Image(0).At(0, 0); got != want {
			t.Errorf("%d channels: %v, want %v", channels, got, want)
		}
	}
}
