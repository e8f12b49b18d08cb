package touch

import (
	"fmt"
	"math"
)

// A digit of MNIST fills a box of 20 × 20 pixels, and the middle of its mass stands in the middle of a picture of
// 28 × 28 (LeCun, Cortes and Burges, "The MNIST database of handwritten digits"). The middle is that of pixel 14, as
// the data show.
const (
	side   = 28
	box    = 20
	centre = 14.5
)

// pen is how far ink reaches from the middle of a stroke, in pixels of the picture.
const pen = 1.4

// mostPoints is how long a drawing may be.
const mostPoints = 20_000

// point is a place in a drawing or in a picture. The middle of a picture's first pixel is at ½, ½.
type point struct{ x, y float64 }

// drawing is strokes, each as the points that it goes through.
type drawing [][]point

// newDrawing is a drawing of strokes that are lists of x, y, x, y, …
func newDrawing(strokes [][]float64) (d drawing, err error) {
	n := 0
	for _, s := range strokes {
		if n += len(s); n > 2*mostPoints {
			return nil, fmt.Errorf("a drawing has more than %d points: clear it", mostPoints)
		}
		if len(s) < 2 || len(s)%2 != 0 {
			return nil, fmt.Errorf("a stroke of %d numbers is not x and y of its points", len(s))
		}
		var points []point
		for i := 0; i < len(s); i += 2 {
			points = append(points, point{s[i], s[i+1]})
		}
		d = append(d, points)
	}
	return d, nil
}

// digit is the drawing as a picture of MNIST: white ink on black, a byte for each of 28 × 28 pixels.
func (d drawing) digit() []byte {
	low, high := d.bounds()
	scale := 1.0 // of a dot
	if longest := max(high.x-low.x, high.y-low.y); longest > 0 {
		scale = (box - 2*pen) / longest
	}
	middle := point{(low.x + high.x) / 2, (low.y + high.y) / 2}
	centred := d.moved(middle, scale, point{centre, centre}).ink()
	m := mass(centred)
	return d.moved(middle, scale, point{2*centre - m.x, 2*centre - m.y}).ink()
}

// bounds are the corners of the drawing.
func (d drawing) bounds() (low, high point) {
	low, high = point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, stroke := range d {
		for _, p := range stroke {
			low = point{min(low.x, p.x), min(low.y, p.y)}
			high = point{max(high.x, p.x), max(high.y, p.y)}
		}
	}
	return low, high
}

// moved is the drawing scaled about a point, which goes to another place.
func (d drawing) moved(from point, scale float64, to point) (moved drawing) {
	for _, stroke := range d {
		var points []point
		for _, p := range stroke {
			points = append(points, point{to.x + scale*(p.x-from.x), to.y + scale*(p.y-from.y)})
		}
		moved = append(moved, points)
	}
	return moved
}

// ink is the picture of strokes that stand where they belong. The edge of a stroke fades over a pixel.
func (d drawing) ink() []byte {
	picture := make([]byte, side*side)
	for i := range picture {
		distance := d.distance(point{float64(i%side) + 0.5, float64(i/side) + 0.5})
		picture[i] = byte(math.Round(255 * min(max(pen+0.5-distance, 0), 1)))
	}
	return picture
}

// distance is how far a point is from the nearest stroke.
func (d drawing) distance(p point) float64 {
	nearest := math.Inf(1)
	for _, stroke := range d {
		for i, b := range stroke {
			nearest = min(nearest, p.from(stroke[max(i-1, 0)], b))
		}
	}
	return nearest
}

// from is how far p is from the line between a and b.
func (p point) from(a, b point) float64 {
	along, length := point{b.x - a.x, b.y - a.y}, 0.0
	part := 0.0
	if length = along.x*along.x + along.y*along.y; length > 0 {
		part = min(max(((p.x-a.x)*along.x+(p.y-a.y)*along.y)/length, 0), 1)
	}
	return math.Hypot(p.x-a.x-part*along.x, p.y-a.y-part*along.y)
}

// mass is the middle of a picture's ink, the centre if it has none.
func mass(picture []byte) point {
	var sum float64
	var m point
	for i, v := range picture {
		sum += float64(v)
		m.x += float64(v) * (float64(i%side) + 0.5)
		m.y += float64(v) * (float64(i/side) + 0.5)
	}
	if sum == 0 {
		return point{centre, centre}
	}
	return point{m.x / sum, m.y / sum}
}
