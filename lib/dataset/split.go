package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"slices"
	"strings"

	"example.org/convbook/lib/dataset/internal/folder"
)

// Split is a part of a data set, in memory: its training, validation or test images. Train, Validation and Test return
// one that knows its data set. One that is made of pixels and labels, for New, does not: Label, Image and Images panic.
type Split struct {
	Pixels []byte // [image, height, width, channels]; not to be changed
	Labels []byte // [image], an index into Classes

	names []string // [image], of its file; nil if there are no files
	sums  []byte   // [image, folder.SumSize], the SHA-256 of its pixels; nil if they are not known
	data  Images
}

// Len is the number of images.
func (s *Split) Len() int { return len(s.Labels) }

// Sum identifies the images and their labels: the SHA-256 of both, or of the labels and the images' own sums, where
// those are known.
func (s *Split) Sum() string {
	hash := sha256.New()
	binary.Write(hash, binary.LittleEndian, int64(s.Len()))
	hash.Write(s.Labels)
	if s.sums != nil {
		hash.Write(s.sums)
	} else {
		hash.Write(s.Pixels)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// Part is the images from i up to, but not including, j. It panics if i to j is out of range.
func (s *Split) Part(i, j int) *Split {
	size := len(s.Pixels) / max(s.Len(), 1)
	part := &Split{Pixels: s.Pixels[i*size : j*size], Labels: s.Labels[i:j], data: s.data}
	if s.names != nil {
		part.names, part.sums = s.names[i:j], s.sums[i*folder.SumSize:j*folder.SumSize]
	}
	return part
}

// For returns the split with labels that are indices into these classes, such as those of a network. The names count: the
// data set that a split is of may have its classes in another order, or others. A split that was made by hand has no
// names and stays as it is. It is an error if there are images of none of the classes.
func (s *Split) For(classes []string) (*Split, error) {
	if s.data.train == nil || slices.Equal(s.data.Classes, classes) {
		return s, nil
	}
	other := *s
	other.data.Classes, other.data.stored = classes, nil
	other.Labels = make([]byte, s.Len())
	for i, label := range s.Labels {
		if int(label) >= len(s.data.Classes) {
			return nil, fmt.Errorf("image %d of %s has the label %d, and there are %d classes", i, s.data.Name, label, len(s.data.Classes))
		}
		name := s.data.Classes[label]
		at := slices.Index(classes, name)
		if at < 0 {
			return nil, fmt.Errorf("%s has images of the class %q, and the classes here are %s: leave them out with Only",
				s.data.Name, name, strings.Join(classes, ", "))
		}
		if slices.Contains(classes[at+1:], name) {
			return nil, fmt.Errorf("there are two classes %q here, and which of them the images of %s are, nobody knows",
				name, s.data.Name)
		}
		other.Labels[i] = byte(at)
	}
	return &other, nil
}

// Label is the name of image i's class. It panics if there is no image i.
func (s *Split) Label(i int) string { return s.of().Classes[s.Labels[i]] }

// Name is the name of image i's file in a folder, with the folders in it that it is in; empty if it is of no folder. It
// panics if there is no image i.
func (s *Split) Name(i int) string {
	if s.names == nil {
		return ""
	}
	return s.names[i]
}

// Image is picture i as the network sees it, permuted if the data set is, but before normalisation: the first three
// channels as red, green and blue, or the first one as grey if there are fewer. It panics if there is no image i.
func (s *Split) Image(i int) image.Image {
	return s.of().picture(s.picture(i))
}

var errHandMade = errors.New("dataset: this split was made by hand, so its data set is unknown: " +
	"give it to dataset.New and use what Train or Test returns")

// of is the data set of the split.
func (s *Split) of() Images {
	if s.data.train == nil {
		panic(errHandMade)
	}
	return s.data
}

// picture is the bytes of picture i.
func (s *Split) picture(i int) []byte {
	size := s.data.pixels() * s.data.Channels
	return s.Pixels[i*size : (i+1)*size]
}

// picture makes an image of a picture's bytes.
func (d Images) picture(picture []byte) image.Image {
	bounds := image.Rect(0, 0, d.Width, d.Height)
	if d.Channels < 3 {
		gray := image.NewGray(bounds)
		for p := range gray.Pix {
			gray.Pix[p] = d.pixel(picture, p)[0]
		}
		return gray
	}
	rgb := image.NewRGBA(bounds)
	for p := range d.pixels() {
		v := d.pixel(picture, p)
		rgb.SetRGBA(p%d.Width, p/d.Width, color.RGBA{v[0], v[1], v[2], 255})
	}
	return rgb
}

// pixel is the channels of a picture's pixel p as the network sees it.
func (d Images) pixel(picture []byte, p int) []byte {
	if len(d.permutation) > 0 {
		p = d.permutation[p]
	}
	return picture[p*d.Channels : (p+1)*d.Channels]
}

// Images lists pictures i to j−1, see [Split.Image].
func (s *Split) Images(i, j int) []image.Image {
	var images []image.Image
	for ; i < j; i++ {
		images = append(images, s.Image(i))
	}
	return images
}
