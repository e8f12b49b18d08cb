package picture

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
)

// fixtures are what fixtures.py writes: small pictures of all kinds, and what Pillow makes of them.
type fixtures struct {
	Files []struct {
		Name          string
		File          []byte
		Width, Height int
		Pixels        []byte
		Off           int
	}
	Frames []struct {
		Frame  Frame
		Pixels []byte
	}
}

func pillows(t testing.TB) (f fixtures) {
	file, err := os.ReadFile("testdata/pictures.json")
	if err == nil {
		err = json.Unmarshal(file, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// off is how far two lists of bytes are apart at most.
func off(a, b []byte) (most int) {
	if len(a) != len(b) {
		return 256
	}
	for i := range a {
		most = max(most, int(a[i])-int(b[i]), int(b[i])-int(a[i]))
	}
	return most
}

// whole is all of a picture in red, green and blue.
func whole(img image.Image) []byte {
	return Frame{Height: img.Bounds().Dy(), Width: img.Bounds().Dx(), Channels: 3}.Pixels(img)
}

func TestDecodeIsPillows(t *testing.T) {
	for _, want := range pillows(t).Files {
		img, err := Decode(bytes.NewReader(want.File))
		if err != nil {
			t.Errorf("%s: %v", want.Name, err)
			continue
		}
		if img.Bounds() != image.Rect(0, 0, want.Width, want.Height) {
			t.Errorf("%s: %v, want %d×%d", want.Name, img.Bounds(), want.Width, want.Height)
		} else if off := off(whole(img), want.Pixels); off > want.Off {
			t.Errorf("%s: a byte is %d off, want at most %d", want.Name, off, want.Off)
		}
	}
}

func TestPixelsArePillows(t *testing.T) {
	pillows := pillows(t)
	img, err := Decode(bytes.NewReader(pillows.Files[0].File))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range pillows.Frames {
		got := want.Frame.Pixels(img)
		if off := off(got, want.Pixels); off > 1 { // Pillow rounds twice, once in each direction
			t.Errorf("%+v: a byte is %d off", want.Frame, off)
		}
	}
}

func TestPixelsOfTheRightSizeStay(t *testing.T) {
	img := image.NewNRGBA(image.Rect(-3, 5, 29, 37))
	var want []byte
	for i := range 32 * 32 {
		red, green, blue := byte(i), byte(i*7), byte(255-i*13)
		img.SetNRGBA(i%32-3, i/32+5, color.NRGBA{red, green, blue, 255})
		want = append(want, red, green, blue)
	}
	for _, shorter := range []int{0, 32} {
		if got := (Frame{32, 32, 3, shorter}).Pixels(img); !bytes.Equal(got, want) {
			t.Errorf("with %d on the shorter side, a picture of the frame's size has changed", shorter)
		}
	}
	var middle []byte
	for y := 8; y < 24; y++ {
		middle = append(middle, want[3*(32*y+8):][:3*16]...)
	}
	if got := (Frame{16, 16, 3, 32}).Pixels(img); !bytes.Equal(got, middle) {
		t.Error("the middle is not what was cut out")
	}
}

func TestPixelsOfLongPictures(t *testing.T) {
	for _, size := range []image.Point{{1, 50000}, {50000, 1}, {1, 1}, {3, 20000}} {
		img := image.NewGray(image.Rectangle{Max: size})
		for i := range img.Pix {
			img.Pix[i] = 77
		}
		got := Frame{Height: 224, Width: 200, Channels: 1, Shorter: 256}.Pixels(img)
		if off := off(got, bytes.Repeat([]byte{77}, 224*200)); off > 0 {
			t.Errorf("%v of one grey: a byte is %d off", size, off)
		}
	}
	got := Frame{2, 2, 1, 0}.Pixels(image.NewGray(image.Rectangle{}))
	if !bytes.Equal(got, []byte{255, 255, 255, 255}) {
		t.Errorf("a picture without pixels is %v, not white", got)
	}
}

func TestFirstFrameOfGIFIsOnItsCanvas(t *testing.T) {
	red := color.RGBA{200, 0, 0, 255}
	frame := image.NewPaletted(image.Rect(1, 1, 3, 2), color.Palette{red})
	var file bytes.Buffer
	err := gif.EncodeAll(&file, &gif.GIF{
		Image: []*image.Paletted{frame}, Delay: []int{0}, Config: image.Config{Width: 4, Height: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	w, r := "\xff\xff\xff", "\xc8\x00\x00"
	if got, want := string(whole(img)), w+w+w+w+w+r+r+w+w+w+w+w; got != want {
		t.Errorf("pixels %x, want %x", got, want)
	}
}

func TestCheck(t *testing.T) {
	for _, good := range []Frame{{1, 1, 1, 0}, {4096, 4096, 3, 4096}, {28, 28, 1, 5}} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []Frame{
		{}, {0, 1, 1, 0}, {1, -1, 1, 0}, {1, 4097, 1, 0}, {8, 8, 2, 0}, {8, 8, 3, -1}, {8, 8, 3, 1 << 30},
	} {
		if err := bad.Check(); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want one line", bad, err)
		}
	}
	text, err := json.Marshal(Frame{224, 200, 3, 256})
	if want := `{"height":224,"width":200,"channels":3,"shorter":256}`; string(text) != want || err != nil {
		t.Errorf("as JSON %s, %v; want %s", text, err, want)
	}
}

// claims is a PNG's beginning, which says how large the picture is.
func claims(width, height uint32) []byte {
	header := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	header = binary.BigEndian.AppendUint32(header, height)
	header = append(header, 8, 2, 0, 0, 0)
	file := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), header...)
	return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(header))
}

func TestDecodeRefuses(t *testing.T) {
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, image.NewGray(image.Rect(0, 0, 99, 99)), nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, file, want string }{
		{"nothing", "", "it is not a picture in PNG, JPEG, GIF, WebP or BMP"},
		{"a text", "cats and dogs", "it is not a picture in PNG, JPEG, GIF, WebP or BMP"},
		{"a cut JPEG", jpg.String()[:jpg.Len()-40], "it is cut off"},
		{"the start of a JPEG", jpg.String()[:20], "it is cut off"},
		{"a giant PNG", string(claims(60000, 60000)), "it has 60000 × 60000 pixels: at most 67108864 are read"},
		{"a PNG of 2³² pixels", string(claims(1<<16, 1<<16)), "it has 65536 × 65536 pixels: at most 67108864 are read"},
		{"a GIF of no pixels", "GIF89a\x00\x00\x01\x00\x00\x00\x00", "it has 0 × 1 pixels"},
		{"a giant GIF", "GIF89a\xff\xff\xff\xff\x00\x00\x00", "it has 65535 × 65535 pixels: at most 67108864 are read"},
	} {
		before := allocated()
		img, err := Decode(strings.NewReader(c.file))
		if img != nil || err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if took := allocated() - before; took > 1<<20 {
			t.Errorf("%s took %d bytes of memory", c.name, took)
		}
	}
}

// allocated is how many bytes the process has taken by now, whether it has given them back or not.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// endless is a file without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestReadsOnlySoMuch(t *testing.T) {
	const want = "it has more than 2 MB, which is the most that is read"
	if _, err := read(endless{}, 2<<20); err == nil || err.Error() != want {
		t.Errorf("an endless file: %v", err)
	}
	if file, err := read(strings.NewReader("four"), 4); string(file) != "four" || err != nil {
		t.Errorf("a file of as many bytes as may be: %q, %v", file, err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, file []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, good := range pillows(t).Files[:2] {
		if _, err := Open(write("我的 猫 "+good.Name, good.File)); err != nil {
			t.Error(err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		write("note.txt", []byte("cats")): "it is not a picture in PNG, JPEG, GIF, WebP or BMP",
		filepath.Join(dir, "missing"):     "no such file or directory",
		dir:                               "it is not a file",
		pipe:                              "it is not a file",
	} {
		if _, err := Open(path); err == nil || !strings.HasSuffix(err.Error(), path+": "+want) {
			t.Errorf("%v, want one that ends with %s: %s", err, path, want)
		}
	}
}

// FuzzDecode looks for files that make it panic, and for pictures that break what its comment says.
func FuzzDecode(f *testing.F) {
	for _, file := range pillows(f).Files {
		f.Add(file.File, uint8(5), uint8(7), uint8(0))
	}
	f.Add(claims(60000, 60000), uint8(1), uint8(1), uint8(9))
	f.Fuzz(func(t *testing.T, file []byte, height, width, shorter uint8) {
		config, format, err := image.DecodeConfig(bytes.NewReader(file))
		if err == nil && config.Width*config.Height > 1<<20 && config.Width*config.Height <= MaxPixels {
			t.Skip("it would take much memory, rightly")
		}
		img, err := Decode(bytes.NewReader(file))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %v", err)
			}
			return
		}
		size, bounds := image.Pt(config.Width, config.Height), img.Bounds()
		if bounds.Min != (image.Point{}) || bounds.Max != size && bounds.Max != image.Pt(size.Y, size.X) {
			t.Errorf("a %s of %v has become %v", format, size, bounds)
		}
		frame := Frame{1 + int(height), 1 + int(width), 1 + 2*int(height%2), int(shorter)}
		if got, want := len(frame.Pixels(img)), frame.Height*frame.Width*frame.Channels; got != want {
			t.Errorf("%d bytes, want %d", got, want)
		}
	})
}

func ExampleFrame_Pixels() {
	img := image.NewGray(image.Rect(0, 0, 4, 2)) // white on the left, black on the right
	copy(img.Pix, []byte{255, 255, 0, 0, 255, 255, 0, 0})
	fmt.Println(Frame{Height: 1, Width: 2, Channels: 1}.Pixels(img))
	// Output: [219 36]
}
