package figure

import (
	"fmt"
	"image"

	"example.org/convbook/lib/array"
)

// Numbers draws each number of an array [height, width] in a cell of its own, to be read one by one: the redder, the
// farther above 0, the bluer, the farther below. A frame goes around some cells, given as columns and rows.
func Numbers(title string, a array.Array, frames ...image.Rectangle) Figure {
	rows, columns, err := size(a)
	if err != nil {
		return fail("numbers %q: %w", title, err)
	}
	for _, f := range frames {
		if !f.In(image.Rect(0, 0, columns, rows)) {
			return fail("numbers %q: %d × %d of them have no cells %v to frame", title, rows, columns, f)
		}
	}
	const least = 30 * density // of a cell
	if err := checkSize(columns*least, rows*least); err != nil {
		return fail("numbers %q: %w", title, err)
	}
	numbers := make([]string, len(a.Values))
	for i, v := range a.Values {
		numbers[i] = fmt.Sprintf("%.3g", v+0) // + 0: not -0
	}
	const narrowest = 150 * density // room for a title
	cell := max(least, widest(numbers, small(textSize))+gap)
	whole := max(columns*cell, narrowest) + 2*margin
	heading := wrap(title, textSize, true, whole-2*margin)
	top := margin + len(heading)*lineHeight(textSize) + gap/2
	left := (whole - columns*cell) / 2
	if err := checkSize(whole, top+rows*cell+margin); err != nil {
		return fail("numbers %q: %w", title, err)
	}
	sheet := newSheet(whole, top+rows*cell+margin)
	sheet.write(heading, whole/2, margin, textSize, true, ink)
	most := farthest(a)
	for i, number := range numbers {
		x, y := left+i%columns*cell, top+i/columns*cell
		sheet.rectangle(image.Rect(x, y, x+cell, y+cell), wire)
		sheet.fill(x+density/2, y+density/2, cell, redBlue(float64(a.Values[i]), most, 110))
		sheet.write([]string{number}, x+cell/2, y+(cell-lineHeight(textSize))/2, textSize, false, ink)
	}
	for _, f := range frames {
		if !f.Empty() {
			sheet.frame(image.Rectangle{f.Min.Mul(cell), f.Max.Mul(cell)}.Add(image.Pt(left, top)))
		}
	}
	return Figure{
		Alt:     fmt.Sprintf("Table of %d × %d numbers: %s", rows, columns, title),
		picture: sheet.RGBA,
	}
}
