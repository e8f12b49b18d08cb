package dataset_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
)

// letters are eight training and three test pictures of one pixel, told apart by it.
func letters() dataset.Images {
	return dataset.New("letters", []string{"a", "b", "c"}, 1, 1, 1, func() (train, test *dataset.Split, err error) {
		train = &dataset.Split{Pixels: []byte{10, 20, 30, 11, 21, 31, 12, 32}, Labels: []byte{0, 1, 2, 0, 1, 2, 0, 2}}
		test = &dataset.Split{Pixels: []byte{15, 25, 35}, Labels: []byte{0, 1, 2}}
		return train, test, nil
	})
}

func TestOnly(t *testing.T) {
	data := letters().Only("c", "a")
	train, test := open(t, data)
	if !slices.Equal(train.Pixels, []byte{10, 30, 11, 31, 12, 32}) || !slices.Equal(train.Labels, []byte{1, 0, 1, 0, 1, 0}) {
		t.Errorf("training images %v of %v", train.Pixels, train.Labels)
	}
	if !slices.Equal(test.Pixels, []byte{15, 35}) || !slices.Equal(test.Labels, []byte{1, 0}) || test.Label(1) != "c" {
		t.Errorf("test images %v of %v", test.Pixels, test.Labels)
	}
	if train, _ = open(t, data.First(3).Validate(1)); !slices.Equal(train.Pixels, []byte{10, 30}) {
		t.Errorf("the first of them are %v", train.Pixels)
	}
	if train, _ = open(t, data.Only("b")); !slices.Equal(train.Pixels, []byte{20, 21}) {
		t.Errorf("other classes: %v", train.Pixels)
	}
	twice := letters()
	twice.Classes = []string{"a", "b", "a"}
	for want, wrong := range map[string]dataset.Images{
		`letters has two classes "a": Only cannot tell which is meant`:                                                  twice.Only("a"),
		`letters has no class "d": it has a, b, c`:                                                                      letters().Only("a", "d"),
		`letters: Only names the class "a" twice`:                                                                       letters().Only("a", "b", "a"),
		"letters has 0 classes":                                                                                         letters().Only(),
		"letters: cannot use -1 training images of each class":                                                          letters().PerClass(-1, 1),
		"letters has 2 training images of class b: cannot use 3 of each":                                                letters().PerClass(3, 1),
		"letters has 2 training images of class a: cannot keep 2 of them back for validation and learn from the others": letters().PerClass(2, 1).Validate(4),
	} {
		if _, err := wrong.Train(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A description is a value: what becomes of the lists that it was made of does not change it.
func TestDescriptionsAreValues(t *testing.T) {
	classes, order := []string{"a", "b"}, []int{0}
	augmentations := []dataset.Augmentation{dataset.RandomFlip}
	data := letters().Only(classes...).Permute(order).Augment(augmentations...)
	before := fmt.Sprint(data.Classes, data.Description())
	classes[0], order[0], augmentations[0] = "c", 7, dataset.AlternateFlip
	if after := fmt.Sprint(data.Classes, data.Description()); after != before {
		t.Errorf("it was %s and is %s", before, after)
	}
}

// Classes of which a split has no images leave it empty, which is said before anything is trained.
func TestOnlyLeavesNothing(t *testing.T) {
	data := dataset.New("letters", []string{"a", "b", "c"}, 1, 1, 1, func() (train, test *dataset.Split, err error) {
		return &dataset.Split{Pixels: []byte{10, 20}, Labels: []byte{0, 1}}, &dataset.Split{Pixels: []byte{15}, Labels: []byte{0}}, nil
	})
	want := "letters has no test images of the classes in use, b, c: choose others with Only"
	if _, err := data.Only("b", "c").Test(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	want = "letters has no training images of the classes in use, c: choose others with Only"
	if _, err := data.Only("c").Train(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// So many of each class are drawn, whatever other classes are in use, and other ones by another seed.
// Of equally many images of each class equally many are kept back, or one more of the first classes, in whatever order
// they are stored.
func TestValidationOfEachClass(t *testing.T) {
	sorted := dataset.New("sorted", []string{"a", "b", "c"}, 1, 1, 1, func() (train, test *dataset.Split, err error) {
		s := &dataset.Split{}
		for i := range 30 {
			s.Pixels, s.Labels = append(s.Pixels, byte(i)), append(s.Labels, byte(i/10))
		}
		return s, s, nil
	})
	for n, want := range map[int][3]int{3: {1, 1, 1}, 12: {4, 4, 4}, 13: {5, 4, 4}, 14: {5, 5, 4}} {
		d := sorted.PerClass(6, 1).Validate(n)
		train, err := d.Train()
		if err != nil {
			t.Fatal(err)
		}
		validation, err := d.Validation()
		if err != nil {
			t.Fatal(err)
		}
		for label := range byte(3) {
			kept, learned := ofClass(validation, label), ofClass(train, label)
			if len(kept) != want[label] || len(learned) != 6-want[label] {
				t.Errorf("of %d, class %d has %d, and %d are learned from", n, label, len(kept), len(learned))
			}
			if slices.Max(learned) > slices.Min(kept) { // the last ones are kept back
				t.Errorf("images %v are learned from, and %v kept back", learned, kept)
			}
		}
	}
	if s := sorted.PerClass(6, 1).Validate(3).String(); !strings.HasSuffix(s, ", 6 of each class by seed 1, the last 3 for validation, shared among the classes") {
		t.Errorf("it calls itself %q", s)
	}
	if d := sorted.PerClass(6, 1).First(10).Validate(3).Description(); d.OfEachClass {
		t.Errorf("of the first 10 it describes itself as %+v", d)
	}
}

// ofClass are the pixels of a split's images of one pixel, which are the tens of their class.
func ofClass(s *dataset.Split, class byte) (pixels []byte) {
	for i, label := range s.Labels {
		if label == class && s.Pixels[i]/10 == class {
			pixels = append(pixels, s.Pixels[i])
		}
	}
	return pixels
}

func TestPerClass(t *testing.T) {
	whole, wholeTest := open(t, sample.MNIST())
	drawn := func(data dataset.Images) (images []int, ofEach map[string]int) {
		train, test := open(t, data)
		ofEach = map[string]int{}
		from := 0
		for i := range train.Len() {
			picture := train.Pixels[i*28*28:][:28*28]
			for !slices.Equal(picture, whole.Pixels[from*28*28:][:28*28]) { // in the order in which they are stored
				from++
			}
			if images = append(images, from); train.Label(i) != whole.Label(from) {
				t.Errorf("image %d is a %s, not a %s", from, whole.Label(from), train.Label(i))
			}
			ofEach[train.Label(i)]++
		}
		if data.Description().Classes == nil && test.Sum() != wholeTest.Sum() {
			t.Error("the test images are others")
		}
		return images, ofEach
	}
	first, ofEach := drawn(sample.MNIST().PerClass(7, 1))
	if len(first) != 70 || len(ofEach) != 10 || ofEach["3"] != 7 {
		t.Errorf("of each digit %v", ofEach)
	}
	if second, _ := drawn(sample.MNIST().PerClass(7, 2)); slices.Equal(second, first) {
		t.Error("another seed draws the same")
	}
	of, _ := drawn(sample.MNIST().PerClass(7, 1).Only("3", "8"))
	ofThese := slices.DeleteFunc(slices.Clone(first), func(i int) bool { return whole.Label(i) != "3" && whole.Label(i) != "8" })
	if !slices.Equal(of, ofThese) {
		t.Errorf("of two classes %v, of all %v", of, ofThese)
	}
	if train, _ := open(t, sample.MNIST().PerClass(0, 5)); train.Sum() != whole.Sum() {
		t.Error("0 are not all")
	}
}

func TestClassesInWords(t *testing.T) {
	got := letters().Only("c", "a").PerClass(2, 9).String()
	if want := "letters, only c, a, 2 of each class by seed 9"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
