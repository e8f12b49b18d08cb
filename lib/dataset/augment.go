package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
)

// Augmentation changes training pictures at random, in the graph, so the network does not see the same one twice.
type Augmentation struct {
	info    AugmentationInfo
	numbers int // random numbers that a picture takes
	// alternates: a picture's numbers do not change from epoch to epoch, but by one half, there and back
	alternates bool
	check      func(d Images) error
	own        bool // made by AugmentFunc
	// apply changes a batch of pictures: uint8 [batch, height, width, channels] and float32 [batch, numbers], each
	// equally likely from 0 to below 1 → the pictures' shape
	apply func(x, random *graph.Node) *graph.Node
}

// AugmentationInfo says what an augmentation does.
type AugmentationInfo struct {
	Kind      string `json:"kind"`           // random-crop, random-flip, alternate-flip, or the name of an AugmentFunc
	Size      int    `json:"size,omitempty"` // of a crop, with its padding
	Padding   int    `json:"padding,omitempty"`
	Reflected bool   `json:"reflected,omitempty"` // the padding is the picture's mirror image
	Sum       string `json:"sum,omitempty"`       // of the operations of an AugmentFunc
}

// String says it in a few words.
func (i AugmentationInfo) String() string {
	s := strings.ReplaceAll(i.Kind, "-", " ")
	if i.Size > 0 {
		s += fmt.Sprintf(" %d×%[1]d, padding %d", i.Size, i.Padding)
	}
	if i.Reflected {
		s += ", reflected"
	}
	if i.Sum != "" {
		s += " " + i.Sum[:8]
	}
	return s
}

// RandomCrop puts padding black pixels around the picture on every side and cuts a square of size × size out of it, at
// any place with equal probability. Size is the picture's own, so the network gets what it gets in a test.
func RandomCrop(size, padding int) Augmentation {
	return Augmentation{
		info:    AugmentationInfo{Kind: "random-crop", Size: size, Padding: padding},
		numbers: 2,
		check: func(d Images) error {
			switch {
			case padding < 0:
				return fmt.Errorf("%s: a random crop with padding %d: it must be at least 0", d.Name, padding)
			case d.Height != d.Width:
				return fmt.Errorf("%s: a random crop is a square, and its pictures are %d×%d: leave it out, "+
					"or bring them to a square", d.Name, d.Height, d.Width)
			case size > d.Height+2*padding:
				return fmt.Errorf("%s: a random crop of %d×%[2]d is larger than the pictures of %d×%[3]d "+
					"with padding %d: crop to %[3]d", d.Name, size, d.Height, padding)
			case size != d.Height:
				return fmt.Errorf("%s: a random crop of %d×%[2]d from pictures of %d×%[3]d: "+
					"training and test pictures must have one size, crop to %[3]d", d.Name, size, d.Height)
			}
			return nil
		},
		apply: func(x, random *graph.Node) *graph.Node { return crop(x, random, padding, false) },
	}
}

// ReflectedCrop is RandomCrop with the picture's own pixels around it, in the order in which a mirror at the outermost
// ones would show them, as padding_mode "reflect" in torchvision.
func ReflectedCrop(size, padding int) Augmentation {
	a := RandomCrop(size, padding)
	a.info.Reflected = true
	inside := a.check
	a.check = func(d Images) error {
		if padding >= min(d.Height, d.Width) {
			return fmt.Errorf("%s: pictures of %d×%d cannot be reflected on %d pixels around them: it must be fewer than they have",
				d.Name, d.Height, d.Width, padding)
		}
		return inside(d)
	}
	a.apply = func(x, random *graph.Node) *graph.Node { return crop(x, random, padding, true) }
	return a
}

// crop moves each picture by up to padding pixels in both directions and fills up with black or with its mirror image.
func crop(x, random *graph.Node, padding int, reflected bool) *graph.Node {
	g, batch, height, width := x.Graph(), x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	moves := graph.ConvertDType(graph.Floor(graph.MulScalar(random, 2*padding+1)), dtypes.Int32)
	moves = graph.SubScalar(graph.MinScalar(moves, 2*padding), padding) // [batch, 2]: down, right
	places := shapes.Make(dtypes.Int32, batch, height, width, 1)
	from := func(axis, move int) *graph.Node {
		by := graph.Slice(moves, graph.AxisRange(), graph.AxisElem(move))
		return graph.Add(graph.Iota(g, places, axis), graph.BroadcastToShape(graph.Reshape(by, batch, 1, 1, 1), places))
	}
	row, column := from(1, 0), from(2, 1)
	within := func(at *graph.Node, size int) *graph.Node {
		return graph.And(graph.GreaterOrEqual(at, graph.ScalarZero(g, dtypes.Int32)),
			graph.LessThan(at, graph.Const(g, int32(size))))
	}
	take := func(row, column *graph.Node) *graph.Node {
		return graph.Gather(x, graph.Concatenate([]*graph.Node{graph.Iota(g, places, 0), row, column}, -1))
	}
	reflect := func(at *graph.Node, size int) *graph.Node {
		at = graph.Abs(at)
		return graph.Min(at, graph.AddScalar(graph.Neg(at), float64(2*(size-1))))
	}
	if reflected {
		return take(reflect(row, height), reflect(column, width))
	}
	inside := graph.And(within(row, height), within(column, width))
	moved := take(graph.ClipScalar(row, 0, float64(height-1)), graph.ClipScalar(column, 0, float64(width-1)))
	inside = graph.BroadcastToShape(inside, shapes.Make(dtypes.Bool, x.Shape().Dimensions...))
	return graph.Where(inside, moved, graph.ZerosLike(x))
}

// RandomFlip turns half of the pictures left to right.
var RandomFlip = Augmentation{
	info:    AugmentationInfo{Kind: "random-flip"},
	numbers: 1,
	check:   func(Images) error { return nil },
	apply:   flip,
}

// AlternateFlip turns a picture left to right in every second epoch, half of them in the even ones: two epochs show
// each picture from both sides, where RandomFlip shows every second one twice from the same (Jordan, "94% on CIFAR-10
// in 3.29 Seconds on a Single GPU", 2024, section 3.6).
var AlternateFlip = Augmentation{
	info:       AugmentationInfo{Kind: "alternate-flip"},
	numbers:    1,
	alternates: true,
	check:      func(Images) error { return nil },
	apply:      flip,
}

// flip turns the pictures whose random number is below one half.
func flip(x, random *graph.Node) *graph.Node {
	turn := graph.LessThan(random, graph.Const(x.Graph(), float32(0.5)))
	turn = graph.BroadcastToShape(graph.Reshape(turn, -1, 1, 1, 1), shapes.Make(dtypes.Bool, x.Shape().Dimensions...))
	return graph.Where(turn, graph.Reverse(x, 2), x)
}

// AugmentFunc is an augmentation of one's own. The function changes a batch of pictures, uint8 [batch, height, width,
// channels], by random numbers, float32 [batch, numbers], each equally likely from 0 to below 1. It gives pictures of the
// same shape and type: compute with float32 and use [graph.ClipScalar] and [graph.ConvertDType] before they become bytes
// again. It is called while a program is built and writes operations into its graph; the numbers are drawn anew for each
// picture and epoch, the same ones for the same seed.
//
// A run is known by the name and by the function's operations in a graph: with another function or constant the network
// is trained anew.
func AugmentFunc(name string, numbers int, change func(pictures, random *graph.Node) *graph.Node) Augmentation {
	return Augmentation{
		info: AugmentationInfo{Kind: name}, numbers: max(numbers, 0), own: true, apply: change,
		check: func(d Images) error {
			if name == "" || numbers < 0 {
				return fmt.Errorf("%s: an augmentation of your own has a name and takes 0 random numbers or more: "+
					`dataset.AugmentFunc("brighter", 1, change)`, d.Name)
			}
			_, err := operations(name, d, numbers, change)
			return err
		},
	}
}

// operations is a sum of those by which the function changes the data set's pictures, with an error where it cannot.
func operations(name string, d Images, numbers int, change func(pictures, random *graph.Node) *graph.Node) (string, error) {
	shape := shapes.Make(dtypes.Uint8, 3, d.Height, d.Width, d.Channels)
	sum, err := nn.Operations(func(g *graph.Graph) (x *graph.Node, results []*graph.Node) {
		pictures := graph.Parameter(g, "pictures", shape)
		changed := change(pictures, graph.Parameter(g, "random", shapes.Make(dtypes.Float32, 3, numbers)))
		switch {
		case changed == nil:
			panic(errors.New("it gives nil"))
		case !changed.Shape().Equal(shape):
			panic(fmt.Errorf("it gives %v, and must give what it gets, %v", changed.Shape(), shape))
		}
		return pictures, []*graph.Node{changed}
	})
	if err != nil {
		return "", fmt.Errorf("%s: the augmentation %q: %w", d.Name, name, err)
	}
	return sum, nil
}

// described says what the augmentation does to the data set's pictures.
func (a Augmentation) described(d Images) AugmentationInfo {
	if a.own && a.apply != nil {
		a.info.Sum, _ = operations(a.info.Kind, d, a.numbers, a.apply) // Check tells the error
	}
	return a.info
}

// Augment returns the data set with its training pictures changed at random, by each augmentation in turn, after those
// that it has already: .Augment(a).Augment(b) is .Augment(a, b). Test pictures stay as they are.
func (d Images) Augment(augmentations ...Augmentation) Images {
	d.augmentations = slices.Concat(d.augmentations, augmentations) // a slice of its own: copies share d's
	return d
}

// RandomNumbers is how many random numbers Augmented takes for each picture.
func (d Images) RandomNumbers() int {
	n := 0
	for _, a := range d.augmentations {
		n += a.numbers
	}
	return n
}

// Random draws the random numbers of an epoch's pictures, at least 0 and below 1, always the same for a seed and an
// epoch. They are drawn here and not on the device, so they are the same on every one. Order lists the pictures, by
// their indices.
func (d Images) Random(order []int32, seed, epoch int) []float32 {
	random := rand.New(rand.NewPCG(uint64(seed), 1<<32+uint64(epoch))) // other numbers than those of the epoch's order
	columns := d.RandomNumbers()
	numbers := make([]float32, len(order)*columns)
	for i := range numbers {
		numbers[i] = random.Float32()
	}
	column := 0
	for _, a := range d.augmentations {
		for k := column; a.alternates && k < column+a.numbers; k++ {
			for i, number := range alternating(order, seed, epoch, k) {
				numbers[i*columns+k] = number
			}
		}
		column += a.numbers
	}
	return numbers
}

// alternating draws one number for each picture of the order, the same in every second epoch, and half of the way
// around from 0 to 1 away from it in the others. Column tells apart the numbers that a picture takes.
func alternating(order []int32, seed, epoch, column int) []float32 {
	random := rand.New(rand.NewPCG(uint64(seed), 2<<32+uint64(column)))
	var ofPicture []float32 // by index
	numbers := make([]float32, len(order))
	for i, picture := range order {
		for len(ofPicture) <= int(picture) {
			ofPicture = append(ofPicture, random.Float32())
		}
		number := ofPicture[picture]
		if epoch%2 == 1 {
			number += 0.5
		}
		if number >= 1 {
			number--
		}
		numbers[i] = number
	}
	return numbers
}

// Augmented is Preprocess of a batch of training pictures, after the augmentations.
// uint8 [batch, height, width, channels], float32 [batch, RandomNumbers] → float32 [batch, height, width, channels]
func (d Images) Augmented(x, random *graph.Node) *graph.Node {
	return d.Preprocess(d.augment(x, random))
}

func (d Images) augment(x, random *graph.Node) *graph.Node {
	first := 0
	for _, a := range d.augmentations {
		x = a.apply(x, graph.Slice(random, graph.AxisRange(), graph.AxisRange(first, first+a.numbers)))
		first += a.numbers
	}
	return x
}

// Augmented lists n versions of picture i, changed at random as n epochs of a training change it; see Image.
func (s *Split) Augmented(i, n, seed int) (pictures []image.Image, err error) {
	d := s.data
	if d.train == nil {
		return nil, errHandMade
	}
	if len(d.augmentations) == 0 {
		return nil, fmt.Errorf("the pictures of %s are not augmented: add .Augment(...) to the data set", d.Name)
	}
	if i < 0 || i >= s.Len() {
		return nil, fmt.Errorf("there is no picture %d of %s: there are %d", i, d.Name, s.Len())
	}
	if n < 1 {
		return nil, fmt.Errorf("%d versions of picture %d of %s: it must be at least 1", n, i, d.Name)
	}
	backend, err := device.Open()
	if err != nil {
		return nil, err
	}
	copies := tensors.FromFlatDataAndDimensions(bytes.Repeat(s.picture(i), n), n, d.Height, d.Width, d.Channels)
	var numbers []float32
	for epoch := range n {
		numbers = append(numbers, d.Random([]int32{int32(i)}, seed, epoch)...)
	}
	random := tensors.FromFlatDataAndDimensions(numbers, n, d.RandomNumbers())
	changed, err := graph.CallOnce(backend, d.augment, copies, random)
	if err != nil {
		return nil, err
	}
	pixels, err := tensors.CopyFlatData[uint8](changed)
	if err != nil {
		return nil, err
	}
	for picture := range slices.Chunk(pixels, len(pixels)/n) {
		pictures = append(pictures, d.picture(picture))
	}
	return pictures, nil
}
