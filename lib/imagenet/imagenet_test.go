package imagenet

import (
	_ "embed"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

//go:embed testdata/imagenet.json
var fixtureFile []byte

// fixture is what torchvision makes of the picture. See fixtures.py.
type fixture struct {
	Seen map[string][]float64 // by the network: what it sees of every 13th pixel of every 13th row
}

const every = 13

func read(t *testing.T) (f fixture) {
	t.Helper()
	if err := json.Unmarshal(fixtureFile, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// waves is fixtures.py's picture.
func waves() image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 451, 300))
	for y := range 300 {
		for x := range 451 {
			value := func(colour int) uint8 { return uint8((x*x + 2*y*y + (colour+1)*x*y) / 64 % 256) }
			img.SetRGBA(x, y, color.RGBA{value(0), value(1), value(2), 255})
		}
	}
	return img
}

// What a network sees of a picture is what torchvision shows it, but for the rounding of pixels to bytes, which may
// differ by one.
func TestInputIsTorchvisions(t *testing.T) {
	for network, want := range read(t).Seen {
		in := input(nn.Named(network))
		pixels := in.Pixels(waves())
		i := 0
		for y := 0; y < side; y += every {
			for x := 0; x < side; x += every {
				for c := range 3 {
					v := (float64(pixels[3*(side*y+x)+c])/255 - in.Mean[c]) / in.Std[c]
					if oneByte := 1.01 / 255 / in.Std[c]; math.Abs(v-want[i]) > oneByte {
						t.Fatalf("%s sees %v at %d, %d of channel %d, torchvision's %v", network, v, x, y, c, want[i])
					}
					i++
				}
			}
		}
		if i != len(want) {
			t.Errorf("%s: %d values, want %d", network, i, len(want))
		}
	}
}

// A network of three means and a dense layer sees a picture of one colour, so its scores are sums by hand: only the class
// tabby looks at red, which is (1 − 0.485)/0.229 where there is nothing else, and four others have fixed scores.
func TestClassified(t *testing.T) {
	red := image.NewRGBA(image.Rect(0, 0, 10, 40))
	draw.Draw(red, red.Bounds(), image.NewUniform(color.RGBA{255, 0, 0, 255}), image.Point{}, draw.Src)
	weights := map[string]array.Array{
		"dense1/weights": array.New(make([]float32, 3*1000), 3, 1000), "dense1/bias": array.New(make([]float32, 1000), 1000),
	}
	bias := weights["dense1/bias"].Values
	for i := range bias {
		bias[i] = -100
	}
	weights["dense1/weights"].Values[281] = 1
	scores := map[string]float64{"tench": 2, "goldfish": 2.5, "banana": 1, "toilet tissue": 0.5, "tabby": (1 - 0.485) / 0.229}
	bias[0], bias[1], bias[954], bias[999], bias[281], bias[500] = 2, 2.5, 1, 0.5, 0, -50
	sum := 0.0
	for _, score := range scores {
		sum += math.Exp(score)
	}
	net := nn.Named("means", nn.GlobalAvgPool, nn.Dense(1000))
	c, err := classify.Of(train.Model{Net: net, Input: input(net), Weights: weights})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Classify(red)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"goldfish", "tabby", "tench", "banana", "toilet tissue"} {
		if p := math.Exp(scores[want]) / sum; got[i].Name != want || math.Abs(got[i].Probability-p) > 1e-5 {
			t.Errorf("%d: %v, want %s with %v", i, got[:5], want, p)
		}
	}
}

func TestWithoutTheWeights(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.safetensors")
	for want, net := range map[string]nn.Layer{
		`AlexNet_Weights.IMAGENET1K_V1; in Python, import torchvision, safetensors.torch; net = torchvision.models.alexnet(weights`: zoo.AlexNetOneTower(1000),
		`VGG16_Weights.IMAGENET1K_V1; in Python, import torchvision, safetensors.torch; net = torchvision.models.vgg16(weights`:     zoo.VGG(16, 1000),
		`GoogLeNet_Weights.IMAGENET1K_V1`:                                         zoo.GoogLeNet(1000, false),
		`ResNet50_Weights.IMAGENET1K_V1`:                                          zoo.ResNet(50, 1000),
		`torchvision has none for AlexNet; its AlexNet is AlexNet-one-tower here`: zoo.AlexNet(1000),
		`torchvision has none for ZFNet-larger`:                                   zoo.ZFNetLarger(1000),
	} {
		_, err := Read(none, net)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), none) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestWithoutANetwork(t *testing.T) {
	const want = "the network is nil: give a layer, such as nn.Dense(10)"
	if _, err := Read("none.safetensors", nil); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// The names and their places that everybody knows, and those at the ends.
func TestClasses(t *testing.T) {
	for i, want := range map[int]string{0: "tench", 1: "goldfish", 281: "tabby", 954: "banana", 999: "toilet tissue"} {
		if classes[i] != want {
			t.Errorf("class %d is %q, want %q", i, classes[i], want)
		}
	}
	if len(classes) != 1000 {
		t.Errorf("%d classes", len(classes))
	}
}
