package dataset_test

import (
	"encoding/json"
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
	"example.org/convbook/lib/picture"
)

func ExampleMNIST() {
	digits := dataset.MNIST().Normalize(0.1307, 0.3081)
	train, err := digits.Train()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(train.Len(), train.Label(0))
}

func ExampleFolder() {
	// /home/me/pets has the folders cat and dog, with photographs of any size in them.
	frame := picture.Frame{Height: 64, Width: 64, Channels: 3}
	pets := dataset.Folder("/home/me/pets", frame).Normalize(0.5, 0.5)
	train, err := pets.Train()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(train.Len(), train.Name(0), train.Label(0))
	// Output: there is no folder /home/me/pets: name one that has a folder in it for each class
}

func ExampleNew() {
	stripes := dataset.New("stripes", []string{"light first", "dark first"}, 1, 2, 1,
		func() (train, test *dataset.Split, err error) {
			train = &dataset.Split{Pixels: []byte{255, 0, 0, 255, 200, 0, 0, 200}, Labels: []byte{0, 1, 0, 1}}
			test = &dataset.Split{Pixels: []byte{100, 0}, Labels: []byte{0}}
			return train, test, nil
		})
	few := stripes.First(3).Validate(1)
	train, err := few.Train()
	if err != nil {
		fmt.Println(err)
		return
	}
	validation, err := few.Validation()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(few)
	fmt.Println(train.Len(), "to learn from, the second of them", train.Label(1))
	fmt.Println(validation.Len(), "for validation,", validation.Label(0))
	// Output:
	// stripes, first 3, the last 1 for validation
	// 2 to learn from, the second of them dark first
	// 1 for validation, light first
}

func open(t *testing.T, d dataset.Images) (train, test *dataset.Split) {
	t.Helper()
	train, test, err := both(d)
	if err != nil {
		t.Fatal(err)
	}
	return train, test
}

func both(d dataset.Images) (train, test *dataset.Split, err error) {
	if train, err = d.Train(); err != nil {
		return nil, nil, err
	}
	test, err = d.Test()
	return train, test, err
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
	_, err := sample.MNIST().First(513).Train()
	if err == nil || !strings.Contains(err.Error(), "has 512 training images: cannot use the first 513") {
		t.Errorf("First(513): %v", err)
	}
	if _, err := sample.MNIST().First(-1).Train(); err == nil {
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

// The validation images are the last ones of those that First leaves, and are missing from the training images.
func TestValidate(t *testing.T) {
	whole, wholeTest := open(t, sample.MNIST())
	data := sample.MNIST().First(100).Validate(30)
	train, test := open(t, data)
	validation, err := data.Validation()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(train.Labels, whole.Labels[:70]) || !slices.Equal(train.Pixels, whole.Pixels[:70*28*28]) {
		t.Errorf("%d training images, or others than the first 70", train.Len())
	}
	if !slices.Equal(validation.Labels, whole.Labels[70:100]) || !slices.Equal(validation.Pixels, whole.Pixels[70*28*28:100*28*28]) {
		t.Errorf("%d validation images, or others than those from 70 to 99", validation.Len())
	}
	if test.Sum() != wholeTest.Sum() {
		t.Error("the test images are others")
	}
	if !data.HasValidation() || sample.MNIST().HasValidation() || data.Validate(0).HasValidation() {
		t.Error("it does not know whether images are kept back")
	}
	_, err = sample.MNIST().Validation()
	if err == nil || err.Error() != "MNIST sample has no validation images: add .Validate(n) to the data set" {
		t.Errorf("without validation images: %v", err)
	}
}

// Images that are given for validation are not missing from the training images, and they are part of what identifies a
// data set, even a published one.
func TestWithValidation(t *testing.T) {
	whole, wholeTest := open(t, sample.MNIST())
	data := sample.MNIST().WithValidation(wholeTest.Part(200, 256)).FirstTest(20).Only("3", "8")
	train, test := open(t, data)
	validation, err := data.Validation()
	if err != nil {
		t.Fatal(err)
	}
	count := func(labels []byte, digits ...byte) (n int) {
		for _, label := range labels {
			if slices.Contains(digits, label) {
				n++
			}
		}
		return n
	}
	if want := count(whole.Labels, 3, 8); train.Len() != want {
		t.Errorf("%d training images, want %d", train.Len(), want)
	}
	if want := count(wholeTest.Labels[200:], 3, 8); validation.Len() != want || count(validation.Labels, 0, 1) != want {
		t.Errorf("%d validation images with the labels %v, want %d", validation.Len(), validation.Labels, want)
	}
	if first := validation.Label(0); test.Len() != 20 || first != "3" && first != "8" {
		t.Errorf("%d test images; the first validation image is a %s", test.Len(), first)
	}
	if !dataset.MNIST().Published() || dataset.MNIST().WithValidation(wholeTest).Published() ||
		!dataset.MNIST().WithValidation(wholeTest).WithValidation(nil).Published() {
		t.Error("it does not know whether its name identifies it")
	}
	if sample.MNIST().WithValidation(wholeTest).WithValidation(nil).HasValidation() {
		t.Error("it has validation images that were taken away")
	}
	for split, want := range map[*dataset.Split]string{
		{}: "MNIST sample has no validation images: give it at least one",
		{Pixels: []byte{1, 2}, Labels: []byte{1}}: "MNIST sample has 1 labels of validation images and 2 bytes of pixels: " +
			"1 images of 28×28×1 are 784 bytes",
	} {
		if _, err := sample.MNIST().WithValidation(split).Validation(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// The classes of images from another data set are known by their names, whatever their order there.
func TestClassesOfAnotherDataSet(t *testing.T) {
	data := sample.MNIST().Only("1", "0")
	_, given := open(t, data)
	validation, err := data.WithValidation(given).Validation()
	if err != nil || !slices.Equal(validation.Labels, given.Labels) || validation.Label(0) != given.Label(0) {
		t.Errorf("given %v, validates on %v, %v", given.Labels, validation.Labels, err)
	}
	turned, err := given.For([]string{"0", "1"})
	if err != nil || turned.Len() != given.Len() {
		t.Fatal(err)
	}
	for i, label := range turned.Labels {
		if label != 1-given.Labels[i] || turned.Label(i) != given.Label(i) {
			t.Fatalf("image %d, %s, is %s with the label %d", i, given.Label(i), turned.Label(i), label)
		}
	}
	made := &dataset.Split{Pixels: given.Pixels, Labels: given.Labels}
	if same, err := made.For([]string{"0", "1"}); err != nil || same != made {
		t.Errorf("a split without names became %v, %v", same, err)
	}
	for want, classes := range map[string][]string{
		`MNIST sample has images of the class "0", and the classes here are 1, 7: leave them out with Only`: {"1", "7"},
		`there are two classes "1" here, and which of them the images of MNIST sample are, nobody knows`:    {"1", "0", "1"},
	} {
		if _, err := given.For(classes); err == nil || err.Error() != want {
			t.Errorf("for %v: %v, want %s", classes, err, want)
		}
	}
}

// A data set of one's own is opened once for all its splits and changed copies, and again only after an error.
func TestOwnDataSetIsOpenedOnce(t *testing.T) {
	times := 0
	data := dataset.New("counted", []string{"a"}, 1, 1, 1, func() (train, test *dataset.Split, err error) {
		if times++; times == 1 {
			return nil, nil, fmt.Errorf("not yet")
		}
		s := &dataset.Split{Pixels: []byte{1, 2}, Labels: []byte{0, 0}}
		return s, s, nil
	})
	if _, err := data.Train(); err == nil || err.Error() != "not yet" || times != 1 {
		t.Fatalf("opened %d times, %v", times, err)
	}
	open(t, data)
	open(t, data.First(1).Normalize(0.5, 0.5))
	if times != 2 {
		t.Errorf("opened %d times, want 2", times)
	}
}

// The bytes of a published data set are in memory once, whoever asks for them.
func TestSplitsShareTheirMemory(t *testing.T) {
	first, err := dataset.MNIST().Train()
	if err != nil {
		t.Skip(err)
	}
	second, err := dataset.MNIST().Normalize(0.1307, 0.3081).Train()
	if err != nil {
		t.Fatal(err)
	}
	if &first.Pixels[0] != &second.Pixels[0] || &first.Labels[0] != &second.Labels[0] {
		t.Error("the training images are in memory twice")
	}
}

// A split that was made by hand says what is missing.
func TestSplitMadeByHand(t *testing.T) {
	split := &dataset.Split{Pixels: make([]byte, 28*28), Labels: []byte{3}}
	for what, use := range map[string]func(){
		"Label": func() { split.Label(0) },
		"Image": func() { split.Part(0, 1).Image(0) },
	} {
		func() {
			defer func() {
				if err, _ := recover().(error); err == nil || !strings.Contains(err.Error(), "this split was made by hand") {
					t.Errorf("%s: %v", what, err)
				}
			}()
			use()
		}()
	}
	if _, err := split.Augmented(0, 1, 1); err == nil || !strings.Contains(err.Error(), "this split was made by hand") {
		t.Errorf("Augmented: %v", err)
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
		NormalizeRGB([3]float64{0, 0.5, 1}, [3]float64{1, 2, 4}).Permute([]int{1, 0})
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
	y, err := graph.CallOnce(backend, f, x)
	if err != nil {
		t.Fatal(err)
	}
	return y.Value()
}

func TestOpenRefusesSettingsThatCannotWork(t *testing.T) {
	for want, data := range map[string]dataset.Images{
		"standard deviation of 0":                         sample.MNIST().Normalize(0, 0),
		"has 1 channels: NormalizeRGB is for":             sample.MNIST().NormalizeRGB([3]float64{}, [3]float64{1, 1, 1}),
		"MNIST sample: cannot keep -3 training images":    sample.MNIST().Validate(-3),
		"has 512 training images: cannot keep 512 back":   sample.MNIST().Validate(512),
		"has 100 training images: cannot keep 101 back":   sample.MNIST().First(100).Validate(101),
		`MNIST sample: an augmentation that does nothing`: sample.MNIST().Augment(dataset.Augmentation{}),
		"not one of the 784 pixels 0 to 783":              sample.MNIST().Permute([]int{0, 1, 2}),
		"MNIST sample: the permutation is not one of":     sample.MNIST().Permute(make([]int, 784)),
		"cannot use the first -3 training images":         sample.MNIST().First(-3),
		"cannot use the first 1000000":                    sample.MNIST().First(1000000),
		"cannot use the first -3 test images":             sample.MNIST().FirstTest(-3),
		"test images: cannot use the first 1000000":       sample.MNIST().FirstTest(1000000),
		"cannot normalise with a standard deviation of":   sample.MNIST().Normalize(0, -1),
		"with a standard deviation of 1e-60":              sample.MNIST().Normalize(0, 1e-60), // 0 as a float32
		"with a standard deviation of 1e+60":              sample.MNIST().Normalize(0, 1e60),
		"with a mean of -1e+60":                           sample.MNIST().Normalize(-1e60, 1),
	} {
		_, _, err := both(data)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

func TestDescriptionsTellDataSetsApart(t *testing.T) {
	texts, fields := map[string]bool{}, map[string]bool{}
	d := sample.MNIST()
	crop := func(size, padding int) dataset.Images { return d.Augment(dataset.RandomCrop(size, padding)) }
	all := []dataset.Images{d, d.First(10), d.FirstTest(10), d.Validate(10), d.Normalize(0.5, 0.5), d.Normalize(0.5, 0.25),
		d.NormalizeRGB([3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5}),
		d.Permute(dataset.Permutation(784, 1)), d.Permute(dataset.Permutation(784, 2)), dataset.MNIST(),
		crop(28, 1), crop(28, 2), crop(27, 1), d.Augment(dataset.RandomFlip), d.Augment(dataset.AlternateFlip),
		d.Augment(dataset.RandomFlip, dataset.RandomCrop(28, 1)), d.Augment(dataset.RandomCrop(28, 1), dataset.RandomFlip)}
	for _, data := range all {
		texts[data.String()] = true
		fields[describe(t, data)] = true
	}
	if len(texts) != len(all) || len(fields) != len(all) {
		t.Errorf("%d data sets have %d texts and %d descriptions:\n%v\n%v", len(all), len(texts), len(fields), texts, fields)
	}
}

func describe(t *testing.T, data dataset.Images) string {
	t.Helper()
	text, err := json.Marshal(data.Description())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Stored runs are known by these: they may get more fields, but what stands here stays.
func TestDescriptionStays(t *testing.T) {
	swapped := []int{1, 0} // two numbers of 64 bits, the lowest byte first: their SHA-256 is Python's
	tiny := dataset.New("tiny", []string{"a"}, 1, 2, 3, nil)
	for want, data := range map[string]dataset.Images{
		`{"name":"MNIST"}`: dataset.MNIST(),
		`{"name":"CIFAR-10","first":100,"first_test":50,"validation":20,"mean":[0.4914,0.4822,0.4465],"std":[0.2023,0.1994,0.201],` +
			`"augmentations":[{"kind":"random-crop","size":32,"padding":2},{"kind":"alternate-flip"}]}`: dataset.CIFAR10().
			First(100).FirstTest(50).Validate(20).NormalizeRGB([3]float64{0.4914, 0.4822, 0.4465}, [3]float64{0.2023, 0.1994, 0.2010}).
			Augment(dataset.RandomCrop(32, 2), dataset.AlternateFlip),
		`{"name":"tiny","mean":[0.5],"std":[0.25],"permutation":"4cbbd8ca5215b8d161aec181a74b694f4e24b001d5b081dc0030ed797a8973e0","augmentations":[{"kind":"random-flip"}]}`: tiny.
			Normalize(0.5, 0.25).Permute(swapped).Augment(dataset.RandomFlip),
	} {
		if got := describe(t, data); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// Opening a cached MNIST is meant to take under 100 ms: go test -bench OpenMNIST ./lib/dataset
func BenchmarkOpenMNIST(b *testing.B) {
	for b.Loop() {
		if _, _, err := both(dataset.MNIST()); err != nil {
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
	if _, _, err := both(mine(digits, 28, same)); err != nil {
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
		"huge has pictures of 4294967296×4294967296×1: they are too large": dataset.New("huge", digits, 1<<32, 1<<32, 1, func() (*dataset.Split, *dataset.Split, error) {
			s := &dataset.Split{Labels: []byte{0}}
			return s, s, nil
		}),
		"nothing has no test images": dataset.New("nothing", digits, 28, 28, 1, func() (*dataset.Split, *dataset.Split, error) { a, _ := open(t, sample.MNIST()); return a, nil, nil }),
		`the data set "bare" has no images: make it with dataset.New, and with a function that gives them`: {Name: "bare", Classes: digits, Height: 28, Width: 28, Channels: 1},
		"cannot normalise with a mean of NaN":                sample.MNIST().Normalize(math.NaN(), 1),
		"cannot normalise with a standard deviation of +Inf": sample.MNIST().Normalize(0, math.Inf(1)),
	} {
		_, _, err := both(data)
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
