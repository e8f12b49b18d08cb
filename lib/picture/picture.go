// Package picture reads pictures and brings them to the size that a network takes.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/gif" // for image.Decode, as those below
	"image/jpeg"
	_ "image/png"
	"io"
	"io/fs"
	"os"
	"strings"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"
)

// What is larger is refused before memory is taken for it. At most, a picture takes some 800 MB while it is decoded: a
// progressive JPEG of MaxPixels.
const (
	MaxPixels = 64 << 20  // of a picture: those of cameras have up to 61 million
	MaxBytes  = 128 << 20 // of a file
)

// Decode reads a picture: PNG, JPEG, GIF (the first frame of an animated one), WebP or BMP. It is turned as its EXIF
// orientation says. It has at least one pixel, and the upper left one is at (0, 0).
//
// The error of a picture that is larger than the limits, damaged or cut off is one line without the file's name. JPEGs
// of CMYK are read, those in arithmetic coding or of 12 bits are not, nor is animated WebP.
func Decode(r io.Reader) (image.Image, error) {
	file, err := read(r, MaxBytes)
	if err != nil {
		return nil, err
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return nil, explained(err, file)
	}
	if config.Width < 1 || config.Height < 1 {
		return nil, fmt.Errorf("it has %d × %d pixels", config.Width, config.Height)
	}
	if config.Width > MaxPixels/config.Height {
		return nil, fmt.Errorf("it has %d × %d pixels: at most %d are read", config.Width, config.Height, MaxPixels)
	}
	img, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, explained(err, file)
	}
	if format == "webp" {
		img = likeTelevision(img)
	}
	if whole := image.Rect(0, 0, config.Width, config.Height); img.Bounds() != whole {
		canvas := image.NewNRGBA(whole) // the first frame of a GIF can be smaller than the GIF
		draw.Draw(canvas, img.Bounds(), img, img.Bounds().Min, draw.Src)
		img = canvas
	}
	return upright(img, orientation(file, format)), nil
}

// read is all that r has, if that is not more than most bytes.
func read(r io.Reader, most int64) ([]byte, error) {
	var content bytes.Buffer
	_, err := content.ReadFrom(io.LimitReader(r, most+1))
	if err == nil && int64(content.Len()) > most {
		err = fmt.Errorf("it has more than %d MB, which is the most that is read", most>>20)
	}
	return content.Bytes(), err
}

// explained is a decoder's error in words for a reader.
func explained(err error, file []byte) error {
	switch {
	case animatedWebP(file):
		return errors.New("animated WebP is not read: save one picture of it")
	case errors.Is(err, image.ErrFormat):
		return errors.New("it is not a picture in PNG, JPEG, GIF, WebP or BMP")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.Is(err, jpeg.FormatError("short Huffman data")), strings.HasSuffix(err.Error(), io.ErrUnexpectedEOF.Error()),
		strings.HasSuffix(err.Error(), "not enough pixel data") || strings.HasSuffix(err.Error(), "not enough image data"):
		return errors.New("it is cut off")
	}
	return fmt.Errorf("it cannot be decoded: %w", err)
}

// animatedWebP reports whether the file says so: a bit of the extended header.
func animatedWebP(file []byte) bool {
	const flags, animation = 20, 1 << 1
	return len(file) > flags && string(file[:4]) == "RIFF" && string(file[8:16]) == "WEBPVP8X" && file[flags]&animation != 0
}

// Open reads the picture in a file, as [Decode] does. The error names the file.
func Open(path string) (image.Image, error) {
	info, err := os.Stat(path) // before it is opened, which would wait at a pipe
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("it is not a file")}
	}
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	img, err := Decode(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}
