package dataset_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
)

// handmade is a data set of these training pictures, grey or in colour.
func handmade(t *testing.T, pixels []byte, height, width, channels int) dataset.Images {
	t.Helper()
	split := &dataset.Split{Pixels: pixels, Labels: make([]byte, len(pixels)/(height*width*channels))}
	return dataset.New("handmade", []string{"one", "two"}, height, width, channels,
		func() (train, test *dataset.Split, err error) { return split, split, nil })
}

func whitening(t *testing.T, d dataset.Images, kernel int) array.Array {
	t.Helper()
	train, err := d.Train()
	if err != nil {
		t.Fatal(err)
	}
	filters, err := train.Whitening(kernel)
	if err != nil {
		t.Fatal(err)
	}
	return filters
}

// A patch of one grey pixel is divided by the root of the pixels' mean square: (0² + 0.6²)/2 and the floor.
func TestWhiteningOfOneNumber(t *testing.T) {
	filters := whitening(t, handmade(t, []byte{0, 153}, 1, 2, 1), 1)
	want := 1 / math.Sqrt(0.18+5e-4)
	if got := float64(filters.Values[0]); len(filters.Values) != 2 || math.Abs(math.Abs(got)-want) > 1e-6 || filters.Values[1] != -filters.Values[0] {
		t.Errorf("%v, want ±%.6f", filters.Values, want)
	}
}

// What the filters make of pictures in which each pixel is much like its neighbours, and each colour like the others, is
// uncorrelated and has a mean square of 1, but for the floor.
func TestWhitening(t *testing.T) {
	const images, height, width, channels, kernel = 40, 9, 8, 3, 2
	random := rand.New(rand.NewPCG(1, 2))
	var pixels []byte
	for range images {
		base := 60 + 100*random.Float64()
		for p := range height * width {
			for c := range channels {
				pixels = append(pixels, byte(base+float64(3*(p%width)+5*c)+30*random.Float64()))
			}
		}
	}
	reversed := make([]int, height*width)
	for i := range reversed {
		reversed[i] = len(reversed) - 1 - i
	}
	for name, d := range map[string]dataset.Images{
		"as they are": handmade(t, pixels, height, width, channels).NormalizeRGB([3]float64{0.4, 0.5, 0.45}, [3]float64{0.2, 0.25, 0.3}),
		"permuted":    handmade(t, pixels, height, width, channels).Normalize(0.45, 0.25).Permute(reversed),
	} {
		filters := whitening(t, d, kernel)
		means, deviations := []float64{0.4, 0.5, 0.45}, []float64{0.2, 0.25, 0.3}
		at := func(p int) int { return p }
		if name == "permuted" {
			means, deviations = []float64{0.45, 0.45, 0.45}, []float64{0.25, 0.25, 0.25}
			at = func(p int) int { return reversed[p] }
		}
		maps := filters.Dims[3]
		products := make([]float64, maps*maps)
		patches := 0
		for i := range images {
			for y := range height - kernel + 1 {
				for x := range width - kernel + 1 {
					out := make([]float64, maps)
					for dy := range kernel {
						for dx := range kernel {
							for c := range channels {
								v := float64(pixels[i*height*width*channels+at((y+dy)*width+x+dx)*channels+c]) / 255
								v = (v - means[c]) / deviations[c]
								for m := range out {
									out[m] += v * float64(filters.At(dy, dx, c, m))
								}
							}
						}
					}
					for a := range out {
						for b := range out {
							products[a*maps+b] += out[a] * out[b]
						}
					}
					patches++
				}
			}
		}
		half := maps / 2
		length := func(m int) (sum float64) { // the larger the filter, the less there is of what it finds
			for _, w := range filters.Channel(m).Values {
				sum += float64(w) * float64(w)
			}
			return sum
		}
		for m := range half - 1 {
			if length(m) > length(m+1) {
				t.Errorf("%s: what filter %d finds is less than what filter %d finds", name, m, m+1)
			}
		}
		for a := range maps {
			for b := range maps {
				got := products[a*maps+b] / float64(patches)
				switch {
				case a == b && (got < 0.9 || got > 1.0001):
					t.Errorf("%s: the mean square of map %d is %.4f", name, a, got)
				case (a-b)%half != 0 && math.Abs(got) > 1e-4:
					t.Errorf("%s: the mean product of maps %d and %d is %.4f", name, a, b, got)
				case a != b && (a-b)%half == 0 && got > -0.9:
					t.Errorf("%s: map %d is not the opposite of map %d: %.4f", name, a, b, got)
				}
			}
		}
	}
}

func TestWhiteningThatCannotBe(t *testing.T) {
	train, err := handmade(t, make([]byte, 2*12), 4, 3, 1).Train()
	if err != nil {
		t.Fatal(err)
	}
	for _, kernel := range []int{0, 4, -1} {
		if _, err := train.Whitening(kernel); err == nil {
			t.Errorf("patches of %d × %[1]d of 4 × 3 pixels: no error", kernel)
		}
	}
	if train, err = handmade(t, make([]byte, 2*224*224), 224, 224, 1).Train(); err != nil {
		t.Fatal(err)
	}
	want := "patches of 224 × 224 have 50176 numbers" // whose products would take 20 GB
	if _, err := train.Whitening(224); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
