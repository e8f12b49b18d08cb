package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"example.org/convbook/lib/dataset/internal/folder"
)

// Only returns the data set with only the images of these classes, in all of its splits. They are its Classes then, in
// this order.
func (d Images) Only(classes ...string) Images {
	if d.stored == nil {
		d.stored = d.Classes
	}
	d.Classes = slices.Clone(classes) // a value, whatever becomes of the list
	return d
}

// PerClass returns the data set with only n training images of each class, drawn by the seed; the test images stay. All
// of them for n = 0.
func (d Images) PerClass(n, seed int) Images {
	d.perClass, d.perClassSeed = n, seed
	if n == 0 {
		d.perClassSeed = 0 // it decides nothing
	}
	return d
}

// checkClasses finds classes that the data set does not have or has twice.
func (d Images) checkClasses() error {
	if d.perClass < 0 {
		return fmt.Errorf("%s: cannot use %d training images of each class", d.Name, d.perClass)
	}
	if d.stored == nil {
		return nil
	}
	for i, class := range d.Classes {
		if !slices.Contains(d.stored, class) {
			return fmt.Errorf("%s has no class %q: it has %s", d.Name, class, strings.Join(d.stored, ", "))
		}
		if other := d.stored[slices.Index(d.stored, class)+1:]; slices.Contains(other, class) {
			return fmt.Errorf("%s has two classes %q: Only cannot tell which is meant", d.Name, class)
		}
		if slices.Contains(d.Classes[:i], class) {
			return fmt.Errorf("%s: Only names the class %q twice", d.Name, class)
		}
	}
	return nil
}

// storedClasses are those that the labels of a stored split are of.
func (d Images) storedClasses() []string {
	if d.stored != nil {
		return d.stored
	}
	return d.Classes
}

// choose is the images of a stored split that are in use, in the order in which they are stored: those of the classes,
// and so many of each; all of them for 0.
func (d Images) choose(s *Split, perClass int, what string) (*Split, error) {
	if d.stored == nil && perClass == 0 {
		return s, nil
	}
	size := d.pixels() * d.Channels
	var images []int
	labels := map[byte]byte{} // as they are stored → as they are in use
	for label, class := range d.Classes {
		stored := byte(slices.Index(d.storedClasses(), class))
		labels[stored] = byte(label)
		all := indices(s.Labels, stored)
		if perClass > len(all) {
			return nil, fmt.Errorf("%s has %d %s images of class %s: cannot use %d of each",
				d.Name, len(all), what, class, perClass)
		}
		if perClass > 0 {
			random := rand.New(rand.NewPCG(uint64(d.perClassSeed), uint64(stored)))
			random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			all = all[:perClass]
		}
		images = append(images, all...)
	}
	slices.Sort(images)
	chosen := s.taken(images, size)
	for i, label := range chosen.Labels {
		chosen.Labels[i] = labels[label]
	}
	return chosen, nil
}

// taken is the split of these images, in this order.
func (s *Split) taken(images []int, size int) *Split {
	chosen := &Split{Pixels: make([]byte, 0, len(images)*size), data: s.data}
	for _, i := range images {
		chosen.Pixels = append(chosen.Pixels, s.Pixels[i*size:][:size]...)
		chosen.Labels = append(chosen.Labels, s.Labels[i])
		if s.names != nil {
			chosen.names = append(chosen.names, s.names[i])
			chosen.sums = append(chosen.sums, s.sums[i*folder.SumSize:][:folder.SumSize]...)
		}
	}
	return chosen
}

// validatesOfEach reports whether validation images are kept back from each class alike, as there are equally many of
// each.
func (d Images) validatesOfEach() bool { return d.perClass > 0 && d.first == 0 && d.validation > 0 }

// validationLast puts those to the end: of each class its last ones. Where the classes cannot have equally many, the
// first classes have one more.
func (d Images) validationLast(s *Split) (*Split, error) {
	left := make([]int, len(d.Classes))
	for label := range left {
		left[label] = d.validation / len(left)
		if label < d.validation%len(left) {
			left[label]++
		}
		if left[label] >= d.perClass {
			return nil, fmt.Errorf("%s has %d training images of class %s: cannot keep %d of them back for validation "+
				"and learn from the others", d.Name, d.perClass, d.Classes[label], left[label])
		}
	}
	var training, validation []int
	for i := s.Len() - 1; i >= 0; i-- {
		if label := s.Labels[i]; left[label] > 0 {
			left[label]--
			validation = append(validation, i)
		} else {
			training = append(training, i)
		}
	}
	slices.Reverse(training)
	slices.Reverse(validation)
	return s.taken(slices.Concat(training, validation), d.pixels()*d.Channels), nil
}

// indices are where a value stands.
func indices(values []byte, value byte) (at []int) {
	for i, v := range values {
		if v == value {
			at = append(at, i)
		}
	}
	return at
}
