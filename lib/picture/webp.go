package picture

import "image"

// likeTelevision is a picture as it is meant where its luminance is in 16 to 235 and its colours are in 16 to 240. A
// lossy WebP has them so (RFC 6386, section 9.2), and its decoder hands them on as if they went from 0 to 255, as in a
// JPEG: white would be a light grey. Other pictures stay as they are.
func likeTelevision(img image.Image) image.Image {
	alpha := func(x, y int) byte { return 255 }
	var from *image.YCbCr
	switch img := img.(type) {
	case *image.YCbCr:
		from = img
	case *image.NYCbCrA:
		from, alpha = &img.YCbCr, func(x, y int) byte { return img.A[img.AOffset(x, y)] }
	default: // a lossless one
		return img
	}
	to := image.NewNRGBA(from.Rect)
	for y := from.Rect.Min.Y; y < from.Rect.Max.Y; y++ {
		for x := from.Rect.Min.X; x < from.Rect.Max.X; x++ {
			light, colour := int(from.Y[from.YOffset(x, y)])-16, from.COffset(x, y)
			blue, red := int(from.Cb[colour])-128, int(from.Cr[colour])-128
			pixel := to.Pix[to.PixOffset(x, y):][:4]
			// BT.601's factors, times 1<<16
			pixel[0] = rounded(76309*light + 104597*red)
			pixel[1] = rounded(76309*light - 25675*blue - 53279*red)
			pixel[2] = rounded(76309*light + 132201*blue)
			pixel[3] = alpha(x, y)
		}
	}
	return to
}

// rounded is a byte that is given times 1<<16.
func rounded(value int) byte { return byte(max(0, min(255, (value+1<<15)>>16))) }
