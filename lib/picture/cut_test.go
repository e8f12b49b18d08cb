package picture

import (
	"bytes"
	"image"
	"image/color/palette"
	"image/gif"
	"image/png"
	"strings"
	"testing"
)

// A file that ends too early is called so, wherever it ends, and not by what the decoder missed.
func TestCutOff(t *testing.T) {
	img := image.NewPaletted(image.Rect(0, 0, 64, 64), palette.Plan9)
	for i := range img.Pix {
		img.Pix[i] = byte(i * i / 7)
	}
	var asPNG, asGIF bytes.Buffer
	if err := png.Encode(&asPNG, img); err != nil {
		t.Fatal(err)
	}
	if err := gif.Encode(&asGIF, img, nil); err != nil {
		t.Fatal(err)
	}
	for kind, file := range map[string][]byte{"PNG": asPNG.Bytes(), "GIF": asGIF.Bytes()} {
		for _, percent := range []int{40, 50, 60, 75, 90} {
			_, err := Decode(bytes.NewReader(file[:len(file)*percent/100]))
			if err == nil || err.Error() != "it is cut off" {
				t.Errorf("%d %% of a %s: %v", percent, kind, err)
			}
		}
	}
}

func TestAnimatedWebP(t *testing.T) {
	file := "RIFF\x2e\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x03\x00\x00" +
		"ANIM\x06\x00\x00\x00\xff\xff\xff\xff\x00\x00ANMF\x00\x00\x00\x00"
	if _, err := Decode(strings.NewReader(file)); err == nil || !strings.HasPrefix(err.Error(), "animated WebP is not read") {
		t.Errorf("error %v", err)
	}
}
