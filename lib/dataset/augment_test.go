package dataset

import (
	"fmt"
	"image"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/device"
)

// augmented applies an augmentation to the same picture once for each row of random numbers.
func augmented(t *testing.T, a Augmentation, picture [][][]uint8, random [][]float32) [][][][]uint8 {
	t.Helper()
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	batch := make([][][][]uint8, len(random))
	for i := range batch {
		batch[i] = picture
	}
	output, err := graph.CallOnce(backend, func(x, random *graph.Node) *graph.Node { return a.apply(x, random) }, batch, random)
	if err != nil {
		t.Fatal(err)
	}
	return output.Value().([][][][]uint8)
}

// A picture of 2×3 pixels with two channels; the second is the first plus 100.
var pixels23 = [][][]uint8{
	{{1, 101}, {2, 102}, {3, 103}},
	{{4, 104}, {5, 105}, {6, 106}},
}

// channel is one channel of a picture, as rows.
func channel(picture [][][]uint8, c int) (rows [][]uint8) {
	for _, row := range picture {
		var values []uint8
		for _, pixel := range row {
			values = append(values, pixel[c])
		}
		rows = append(rows, values)
	}
	return rows
}

func TestRandomFlip(t *testing.T) {
	got := augmented(t, RandomFlip, pixels23, [][]float32{{0}, {0.49}, {0.5}, {0.99}})
	turned, same := [][]uint8{{3, 2, 1}, {6, 5, 4}}, [][]uint8{{1, 2, 3}, {4, 5, 6}}
	for i, want := range [][][]uint8{turned, turned, same, same} {
		if rows := channel(got[i], 0); !slices.EqualFunc(rows, want, slices.Equal) {
			t.Errorf("picture %d: %v, want %v", i, rows, want)
		}
		if first, second := got[i][0][0][0], got[i][0][0][1]; second != first+100 {
			t.Errorf("picture %d: the channels came apart: %d and %d", i, first, second)
		}
	}
}

// With padding 1 there are 3×3 places, each equally likely: a third of the random numbers gives each row and column.
func TestRandomCrop(t *testing.T) {
	random := [][]float32{{0.5, 0.5}, {0, 0}, {0.99, 0.99}, {0.34, 0.3}, {0.9999999, 0}}
	got := augmented(t, RandomCrop(2, 1), pixels23, random)
	for i, want := range [][][]uint8{
		{{1, 2, 3}, {4, 5, 6}},
		{{0, 0, 0}, {0, 1, 2}},
		{{5, 6, 0}, {0, 0, 0}},
		{{0, 1, 2}, {0, 4, 5}},
		{{0, 4, 5}, {0, 0, 0}},
	} {
		if rows := channel(got[i], 0); !slices.EqualFunc(rows, want, slices.Equal) {
			t.Errorf("random numbers %v: %v, want %v", random[i], rows, want)
		}
	}
}

// As TestRandomCrop, with a mirror at the outermost pixels: what is beyond them is what is before them. These are the
// crops of numpy.pad with mode "reflect".
func TestReflectedCrop(t *testing.T) {
	random := [][]float32{{0.5, 0.5}, {0, 0}, {0.99, 0.99}, {0.34, 0.3}, {0.9999999, 0}}
	got := augmented(t, ReflectedCrop(2, 1), pixels23, random)
	for i, want := range [][][]uint8{
		{{1, 2, 3}, {4, 5, 6}},
		{{5, 4, 5}, {2, 1, 2}},
		{{5, 6, 5}, {2, 3, 2}},
		{{2, 1, 2}, {5, 4, 5}},
		{{5, 4, 5}, {2, 1, 2}},
	} {
		if rows := channel(got[i], 0); !slices.EqualFunc(rows, want, slices.Equal) {
			t.Errorf("random numbers %v: %v, want %v", random[i], rows, want)
		}
	}
}

func TestRandomNumbers(t *testing.T) {
	wide := New("wide", []string{"a"}, 2, 3, 1, func() (*Split, *Split, error) { return nil, nil, nil })
	want := "wide: a random crop is a square, and its pictures are 2×3: leave it out, or bring them to a square"
	for _, a := range []Augmentation{RandomCrop(2, 1), RandomCrop(3, 1), ReflectedCrop(2, 1)} {
		if err := wide.Augment(a).Check(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	data := digits1().Augment(RandomCrop(28, 2), RandomFlip)
	if n := data.RandomNumbers(); n != 3 {
		t.Fatalf("%d random numbers for a picture, want 2 for the crop and 1 for the flip", n)
	}
	order := make([]int32, 1000)
	a, b := data.Random(order, 1, 0), data.Random(order, 1, 0)
	if len(a) != 3000 || !slices.Equal(a, b) {
		t.Errorf("the numbers of one seed and epoch differ")
	}
	for what, other := range map[string][]float32{"seed": data.Random(order, 2, 0), "epoch": data.Random(order, 1, 1)} {
		if slices.Equal(a, other) {
			t.Errorf("another %s has the same numbers", what)
		}
	}
	if lowest, highest := slices.Min(a), slices.Max(a); lowest < 0 || highest >= 1 || lowest > 0.01 || highest < 0.99 {
		t.Errorf("numbers from %v to %v", lowest, highest)
	}
}

// A picture that an epoch turns the next one does not, and so on, wherever in the epoch it comes; half of them begin
// turned.
func TestAlternateFlip(t *testing.T) {
	data := digits1().Augment(RandomCrop(28, 2), AlternateFlip)
	turned := func(epoch int) map[int32]bool {
		order := []int32{}
		for _, i := range rand.New(rand.NewPCG(7, uint64(epoch))).Perm(1000) {
			order = append(order, int32(i))
		}
		numbers, turns := data.Random(order, 1, epoch), map[int32]bool{}
		for i, picture := range order {
			turns[picture] = numbers[3*i+2] < 0.5
		}
		return turns
	}
	first, second, third := turned(0), turned(1), turned(2)
	n := 0
	for picture, turns := range first {
		if second[picture] == turns || third[picture] != turns {
			t.Fatalf("picture %d is turned in epochs 1 to 3: %v, %v, %v", picture, turns, second[picture], third[picture])
		}
		if turns {
			n++
		}
	}
	if n < 450 || n > 550 {
		t.Errorf("%d of 1,000 pictures begin turned", n)
	}
	got := augmented(t, AlternateFlip, pixels23, [][]float32{{0.49}, {0.5}})
	if channel(got[0], 0)[0][0] != 3 || channel(got[1], 0)[0][0] != 1 {
		t.Errorf("%v", got)
	}
}

func TestAugmentedPictures(t *testing.T) {
	data := New("dots", []string{"left", "right"}, 1, 2, 1, func() (*Split, *Split, error) {
		split := Split{Pixels: []byte{200, 0, 0, 100}, Labels: []byte{0, 1}}
		return &split, &split, nil
	})
	split, err := data.Augment(RandomFlip).Train()
	if err != nil {
		t.Fatal(err)
	}
	for want, ask := range map[string][2]int{"there is no picture 2 of": {2, 1}, "0 versions of picture 1 of": {1, 0}, "-1 versions of": {1, -1}} {
		if _, err := split.Augmented(ask[0], ask[1], 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	pictures, err := split.Augmented(1, 40, 1)
	if err != nil || len(pictures) != 40 {
		t.Fatalf("%d pictures, %v", len(pictures), err)
	}
	seen := map[string]int{}
	for _, picture := range pictures {
		seen[fmt.Sprint(picture.(*image.Gray).Pix)]++
	}
	if seen["[0 100]"] < 8 || seen["[100 0]"] < 8 || len(seen) != 2 {
		t.Errorf("of 40 pictures: %v", seen)
	}
	if split, err = data.Train(); err != nil {
		t.Fatal(err)
	}
	if _, err := split.Augmented(0, 1, 1); err == nil || !strings.Contains(err.Error(), "the pictures of dots are not augmented") {
		t.Errorf("without augmentations: %v", err)
	}
}

func digits1() Images {
	return New("digits", MNIST().Classes, 28, 28, 1, func() (*Split, *Split, error) {
		return &Split{Pixels: make([]byte, 784), Labels: []byte{0}}, &Split{Pixels: make([]byte, 784), Labels: []byte{0}}, nil
	})
}

func same(pictures, _ *graph.Node) *graph.Node { return pictures }

func TestAugmentationsThatCannotWork(t *testing.T) {
	for want, a := range map[string]Augmentation{
		"digits: a random crop of 40×40 is larger than the pictures of 28×28 with padding 2: crop to 28":                                RandomCrop(40, 2),
		"digits: a random crop of 24×24 from pictures of 28×28: training and test pictures must have one size, crop to 28":              RandomCrop(24, 2),
		"digits: pictures of 28×28 cannot be reflected on 28 pixels around them: it must be fewer than they have":                       ReflectedCrop(28, 28),
		"digits: a random crop with padding -1: it must be at least 0":                                                                  RandomCrop(28, -1),
		`digits: an augmentation of your own has a name and takes 0 random numbers or more: dataset.AugmentFunc("brighter", 1, change)`: AugmentFunc("", 1, same),
		"digits: an augmentation that does nothing: use dataset.RandomFlip, for example":                                                AugmentFunc("none", 1, nil),
		`digits: the augmentation "bytes": it gives (Float32)[3, 28, 28, 1], and must give what it gets, (Uint8)[3, 28, 28, 1]`: AugmentFunc("bytes", 1,
			func(pictures, _ *graph.Node) *graph.Node { return graph.ConvertDType(pictures, dtypes.Float32) }),
		`digits: the augmentation "nil": it gives nil`: AugmentFunc("nil", 1, func(_, _ *graph.Node) *graph.Node { return nil }),
		`digits: the augmentation "throws": no`:        AugmentFunc("throws", 1, func(_, _ *graph.Node) *graph.Node { panic("no\nstack") }),
	} {
		if _, err := digits1().Augment(a).Train(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	data := digits1().Augment(RandomCrop(28, 2), RandomFlip)
	if _, err := data.Train(); err != nil {
		t.Error(err)
	}
	if s := data.String(); !strings.HasSuffix(s, "training pictures changed by random crop 28×28, padding 2, random flip") {
		t.Errorf("it calls itself %q", s)
	}
}

// flipped is RandomFlip as a reader would write it.
func flipped(below float32) Augmentation {
	return AugmentFunc("flip", 1, func(pictures, random *graph.Node) *graph.Node {
		chosen := graph.LessThan(random, graph.Const(random.Graph(), below)) // [batch, 1]
		chosen = graph.BroadcastToShape(graph.Reshape(chosen, -1, 1, 1, 1), shapes.Make(dtypes.Bool, pictures.Shape().Dimensions...))
		return graph.Where(chosen, graph.Reverse(pictures, 2), pictures)
	})
}

func TestAugmentFunc(t *testing.T) {
	random := [][]float32{{0}, {0.49}, {0.5}, {0.99}}
	want := augmented(t, RandomFlip, pixels23, random)
	if got := augmented(t, flipped(0.5), pixels23, random); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	about := func(a Augmentation) AugmentationInfo { return digits1().Augment(a).Description().Augmentations[0] }
	half := about(flipped(0.5))
	if half.Kind != "flip" || half.Sum == "" || about(flipped(0.5)) != half {
		t.Errorf("it is described as %v, and again as %v", half, about(flipped(0.5)))
	}
	if about(flipped(0.25)) == half {
		t.Errorf("with another constant it is %v, too", half)
	}
	if s := digits1().Augment(flipped(0.5)).String(); !strings.HasSuffix(s, "changed by flip "+half.Sum[:8]) {
		t.Errorf("it calls itself %q", s)
	}
}

// Augmentations add up, and a data set that others were made of keeps its own.
func TestAugmentAddsUp(t *testing.T) {
	crop, flip := RandomCrop(28, 2), RandomFlip
	first := digits1().Augment(crop)
	chained, other := first.Augment(flip), first.Augment(AlternateFlip)
	for _, c := range []struct{ got, want Images }{
		{chained, digits1().Augment(crop, flip)}, {other, digits1().Augment(crop, AlternateFlip)},
		{first, digits1().Augment(crop)}, {first.Augment(), first},
	} {
		if got, want := c.got.Description(), c.want.Description(); !reflect.DeepEqual(got, want) {
			t.Errorf("it is %+v, want %+v", got, want)
		}
	}
	if n := chained.RandomNumbers(); n != 3 { // two of the crop, one of the flip
		t.Errorf("%d random numbers, want 3", n)
	}
}
