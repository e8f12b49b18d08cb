package figure

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/text"
)

// widestNames is how wide the names of classes may be side by side, in the picture's pixels. Wider ones are written
// upwards, or else a hundred classes would take gigabytes.
const widestNames = 8000

// With more classes than mostCounted, the cells are small and without numbers, and the names in tiny letters.
const mostCounted, tiny = 60, 7

// Confusion draws counts of right classes, by row, against given ones, by column: the darker, the larger the part of
// its row. The diagonal is what was right.
func Confusion(title string, counts [][]int, classes []string) Figure {
	n := len(classes)
	if n == 0 || len(counts) != n {
		return fail("a confusion matrix of %d classes has %d rows", n, len(counts))
	}
	right, total, most := 0, 0, 0
	for row := range counts {
		if len(counts[row]) != n {
			return fail("row %d of a confusion matrix of %d classes has %d columns", row, n, len(counts[row]))
		}
		right += counts[row][row]
		total += sum(counts[row])
		most = max(most, slices.Max(counts[row]))
	}
	const given, truth = "given by the network", "right class"
	crowded := n > mostCounted
	size := float64(textSize)
	if crowded {
		size = tiny
	}
	label := style(size, false, ink, text.XCenter, text.YTop)
	names := widest(classes, label)
	cell := max(34*density, width(fmt.Sprint(most), label)+gap/2, (width(given, label)+n-1)/n)
	if crowded {
		cell = lineHeight(size)
	}
	above := lineHeight(textSize) // for the classes' names over the columns
	upwards := crowded || n*(names+gap) > widestNames
	if upwards {
		above = names + gap/2
	} else {
		cell = max(cell, names+gap)
	}
	left := margin + lineHeight(textSize) + gap + names + gap
	heading := wrap(title, textSize, true, left+n*cell-margin)
	top := margin + len(heading)*lineHeight(textSize) + gap + lineHeight(textSize) + above + gap/2
	if err := checkSize(left+n*cell+margin, top+n*cell+margin); err != nil {
		return fail("a confusion matrix of %d classes: %w", n, err)
	}
	sheet := newSheet(left+n*cell+margin, top+n*cell+margin)
	sheet.write(heading, sheet.Bounds().Dx()/2, margin, textSize, true, ink)
	sheet.write([]string{given}, left+n*cell/2, top-lineHeight(textSize)-above-gap/2, textSize, false, ink)
	sheet.writeUp(truth, margin, top+n*cell/2, textSize)
	for i, class := range classes {
		sheet.write([]string{class}, left-gap-names/2, top+i*cell+(cell-lineHeight(size))/2, size, false, ink)
		if upwards {
			sheet.writeUp(class, left+i*cell+(cell-lineHeight(size))/2, top-gap/2-above/2, size)
		} else {
			sheet.write([]string{class}, left+i*cell+cell/2, top-above-gap/2, textSize, false, ink)
		}
		sheet.row(counts[i], i, left, top+i*cell, cell, !crowded)
	}
	return Figure{
		Alt:     fmt.Sprintf("Confusion matrix: %s; %d of %d right, on the diagonal", title, right, total),
		picture: sheet.RGBA,
	}
}

// row draws the counts of a right class, with their numbers or without.
func (s sheet) row(counts []int, class, left, y, cell int, numbers bool) {
	const size = textSize - 1
	all := sum(counts)
	for column, count := range counts {
		part := 0.0
		if all > 0 {
			part = float64(count) / float64(all)
		}
		shade, on := shade(part, class == column)
		x := left + column*cell
		s.fill(x, y, cell, shade)
		if !numbers {
			continue
		}
		s.write([]string{fmt.Sprint(count)}, x+cell/2, y+(cell-lineHeight(size))/2, size, false, on)
	}
}

func sum(counts []int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// shade is the colour of a cell that holds a part of its row, blue where right and orange where wrong, and that of
// text on it. Small parts are lifted, so one mistake in a thousand can be seen.
func shade(part float64, right bool) (cell, on color.RGBA) {
	strong := palette[1]
	if right {
		strong = palette[0]
	}
	weight := math.Sqrt(part)
	mix := func(c uint8) uint8 { return uint8(math.Round(255 + weight*(float64(c)-255))) }
	cell = color.RGBA{mix(strong.R), mix(strong.G), mix(strong.B), 0xff}
	if weight > 0.6 {
		return cell, color.RGBA{0xff, 0xff, 0xff, 0xff}
	}
	return cell, ink
}
