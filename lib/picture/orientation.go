package picture

import (
	"bytes"
	"encoding/binary"
	"image"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
)

// orientation is how the picture in a file is to be turned: 1 to 8 as EXIF numbers it, 1 where nothing says. EXIF that
// is damaged says nothing; the picture can be good all the same.
func orientation(file []byte, format string) int {
	exif := map[string]func([]byte) []byte{"jpeg": exifOfJPEG, "png": exifOfPNG, "webp": exifOfWebP}[format]
	if exif == nil {
		return 1
	}
	tiff := exif(file)
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	entries = entries[:min(len(entries), 12*int(order.Uint16(tiff[at:])))]
	for ; len(entries) >= 12; entries = entries[12:] {
		const tag, short, long = 0x0112, 3, 4
		o := 0
		switch order.Uint16(entries[2:]) {
		case short:
			o = int(order.Uint16(entries[8:]))
		case long: // some programs write it so
			o = int(order.Uint32(entries[8:]))
		}
		if order.Uint16(entries) == tag && 1 <= o && o <= 8 {
			return o
		}
	}
	return 1
}

// exifOfJPEG is the EXIF in a JPEG, nil if there is none: a segment before the pixels. A segment is 0xff, its kind, and
// the number of bytes that follow, with its own two.
func exifOfJPEG(file []byte) []byte {
	for rest := file[2:]; len(rest) >= 4 && rest[0] == 0xff; {
		if rest[1] == 0xff { // filling
			rest = rest[1:]
			continue
		}
		const app1, pixels = 0xe1, 0xda
		size := int(binary.BigEndian.Uint16(rest[2:]))
		if size < 2 || len(rest) < 2+size || rest[1] == pixels {
			break
		}
		if exif, ok := bytes.CutPrefix(rest[4:2+size], []byte("Exif\x00\x00")); ok && rest[1] == app1 {
			return exif
		}
		rest = rest[2+size:]
	}
	return nil
}

// exifOfPNG is the EXIF in a PNG: a chunk, which is its size, its name, its content and four bytes of a sum.
func exifOfPNG(file []byte) []byte {
	for rest := file[8:]; len(rest) >= 12; {
		size := int64(binary.BigEndian.Uint32(rest))
		if size > int64(len(rest)-12) {
			break
		}
		if string(rest[4:8]) == "eXIf" {
			return rest[8 : 8+size]
		}
		rest = rest[12+size:]
	}
	return nil
}

// exifOfWebP is the EXIF in a WebP: a chunk, which is its name, its size and its content, filled up to an even size.
func exifOfWebP(file []byte) []byte {
	for rest := file[12:]; len(rest) >= 8; {
		size := int64(binary.LittleEndian.Uint32(rest[4:]))
		if size > int64(len(rest)-8) {
			break
		}
		if string(rest[:4]) == "EXIF" {
			return bytes.TrimPrefix(rest[8:8+size], []byte("Exif\x00\x00"))
		}
		rest = rest[min(8+size+size%2, int64(len(rest))):]
	}
	return nil
}

// upright is a picture turned as its orientation says.
func upright(img image.Image, orientation int) image.Image {
	if orientation == 1 {
		return img
	}
	size := img.Bounds().Size()
	w, h := float64(size.X), float64(size.Y)
	turn := []f64.Aff3{ // from the file's (x, y) to the place where it is seen
		2: {-1, 0, w, 0, 1, 0},
		3: {-1, 0, w, 0, -1, h},
		4: {1, 0, 0, 0, -1, h},
		5: {0, 1, 0, 1, 0, 0},
		6: {0, -1, h, 1, 0, 0},
		7: {0, -1, h, -1, 0, w},
		8: {0, 1, 0, -1, 0, w},
	}[orientation]
	if orientation >= 5 {
		size.X, size.Y = size.Y, size.X
	}
	turned := image.NewRGBA(image.Rectangle{Max: size})
	draw.NearestNeighbor.Transform(turned, turn, img, img.Bounds(), draw.Src, nil)
	return turned
}
