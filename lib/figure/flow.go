package figure

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"slices"
	"strings"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// Box is a step of a Flow.
type Box struct {
	Label         string // inside of the box, or below it where the box is alone in its group
	Width, Height int    // in screen pixels
	Kind          string // boxes of one kind have one colour; the legend names it
}

// Group is a part of a Flow: one box, boxes one after another, or several lanes of them side by side.
type Group struct {
	Lanes [][]Box
	Skip  bool   // a way leads around the boxes
	Times int    // how often the group stands there, one after another; once if 0
	Note  string // below the group, one or more lines
}

// Flow draws groups of boxes from left to right, in as many rows as they need in a width of screen pixels at most.
func Flow(title string, wide int, groups ...Group) Figure {
	if len(groups) == 0 {
		return fail("a flow needs at least one group")
	}
	const size = 9
	alt := title
	var kinds []string
	var drawn []group
	for _, g := range groups {
		laid := layout(g, size)
		if laid.width == 0 {
			return fail("%s: a group has no box", title)
		}
		drawn = append(drawn, laid)
		for _, lane := range g.Lanes {
			for _, box := range lane {
				if !slices.Contains(kinds, box.Kind) {
					kinds = append(kinds, box.Kind)
				}
			}
		}
		alt += "; " + strings.Join(strings.Fields(g.describe()), " ")
	}
	colors := map[string]color.RGBA{}
	for i, kind := range kinds {
		colors[kind] = palette[i%len(palette)]
	}

	// Rows: where each group stands, and how much room its row needs above and below the middle line.
	const between = 14 * density
	room := wide*density - 2*margin
	type row struct{ height, notes, first, end int }
	var rows []row
	x := 0
	lefts := make([]int, len(drawn))
	for i, g := range drawn {
		if i == 0 || x+g.width > room {
			rows = append(rows, row{first: i})
			x = 0
		}
		r := &rows[len(rows)-1]
		r.height, r.notes, r.end = max(r.height, g.height), max(r.notes, len(g.notes)), i+1
		lefts[i] = x
		x += g.width + between
	}
	room = 0 // what is needed of it
	for i, g := range drawn {
		room = max(room, lefts[i]+g.width)
	}
	legend := 0
	for _, kind := range kinds {
		legend += lineHeight(size) + gap/2 + width(kind, small(size)) + 3*gap
	}
	room = max(room, legend, min(260, wide)*density-2*margin) // the title takes some, too
	heading := wrap(title, textSize, true, room)
	head := margin + len(heading)*lineHeight(textSize) + gap
	height := head + margin + lineHeight(size) + gap
	for _, r := range rows {
		height += r.height + r.notes*lineHeight(size) + 3*gap
	}
	sheet := newSheet(2*margin+room, height)
	sheet.write(heading, margin+room/2, margin, textSize, true, ink)
	y := head
	for _, r := range rows {
		middle := y + r.height/2
		for i := r.first; i < r.end; i++ {
			left := margin + lefts[i]
			if i > 0 {
				sheet.line(max(margin/4, left-between), left, middle)
			}
			drawn[i].draw(sheet, left, middle, colors, size)
			sheet.write(drawn[i].notes, left+drawn[i].width/2, y+r.height+gap, size, false, ink)
		}
		y += r.height + r.notes*lineHeight(size) + 3*gap
	}
	x = margin
	for _, kind := range kinds {
		sheet.rectangle(image.Rect(x, y, x+lineHeight(size)-density, y+lineHeight(size)-density), colors[kind])
		x += lineHeight(size) + gap/2
		sheet.writeLeft(kind, x, y, size)
		x += width(kind, small(size)) + 3*gap
	}
	return Figure{Alt: alt, picture: sheet.RGBA}
}

// describe puts the group into words.
func (g Group) describe() string {
	var lanes []string
	for _, lane := range g.Lanes {
		var labels []string
		for _, box := range lane {
			labels = append(labels, strings.TrimSpace(box.Kind+" "+box.Label))
		}
		lanes = append(lanes, strings.Join(labels, ", "))
	}
	s := strings.Join(lanes, " beside ")
	if g.Skip {
		s += ", with a way around"
	}
	if g.Times > 1 {
		s += fmt.Sprintf(", %d times", g.Times)
	}
	return s
}

// group is a Group with its measures in the picture's pixels.
type group struct {
	Group
	width, height int
	lanes         []int // their heights
	notes         []string
}

const (
	laneGap = 5 * density
	boxGap  = 8 * density
	skip    = 12 * density // above the boxes, for the way around them
)

func layout(g Group, size float64) group {
	laid := group{Group: g}
	for i, lane := range g.Lanes {
		wide, high := 0, 0
		for k, box := range lane {
			if k > 0 {
				wide += boxGap
			}
			wide += box.Width * density
			high = max(high, box.Height*density)
		}
		if i > 0 {
			laid.height += laneGap
		}
		laid.lanes = append(laid.lanes, high)
		laid.width, laid.height = max(laid.width, wide), laid.height+high
	}
	if g.several() {
		laid.width += 2 * boxGap
	}
	if g.Skip {
		laid.height += 2 * skip
	}
	if g.Times > 1 {
		laid.notes = append(laid.notes, fmt.Sprintf("%d ×", g.Times))
	}
	if alone, ok := g.alone(); ok && alone.Label != "" {
		laid.notes = append(laid.notes, strings.Split(alone.Label, "\n")...)
	}
	if g.Note != "" {
		laid.notes = append(laid.notes, strings.Split(g.Note, "\n")...)
	}
	for _, note := range laid.notes {
		laid.width = max(laid.width, width(note, small(size)))
	}
	return laid
}

// several says that the way parts at the group's start and meets at its end.
func (g Group) several() bool { return len(g.Lanes) > 1 || g.Skip }

// alone is the group's only box.
func (g Group) alone() (Box, bool) {
	if len(g.Lanes) == 1 && len(g.Lanes[0]) == 1 && !g.Skip {
		return g.Lanes[0][0], true
	}
	return Box{}, false
}

func (g group) draw(s sheet, left, middle int, colors map[string]color.RGBA, size float64) {
	right := left + g.width
	top := middle - g.height/2
	if g.Skip {
		top += skip
		over := middle - g.height/2 + skip/4
		s.line(left, right, over)
		s.upright(left, over, middle)
		s.upright(right, over, middle)
	}
	for i, lane := range g.Lanes {
		center := top + g.lanes[i]/2
		if len(g.Lanes) > 1 {
			s.upright(left, min(center, middle), max(center, middle))
			s.upright(right, min(center, middle), max(center, middle))
		}
		s.line(left, right, center)
		total := (len(lane) - 1) * boxGap
		for _, box := range lane {
			total += box.Width * density
		}
		x := left + (g.width-total)/2
		for _, box := range lane {
			high := box.Height * density
			s.rectangle(image.Rect(x, center-high/2, x+box.Width*density, center+high/2), colors[box.Kind])
			if _, alone := g.alone(); !alone {
				s.write([]string{box.Label}, x+box.Width*density/2, center-lineHeight(size)/2, size, false, color.White)
			}
			x += box.Width*density + boxGap
		}
		top += g.lanes[i] + laneGap
	}
}

var wire = color.RGBA{0x99, 0x99, 0x99, 0xff}

func (s sheet) rectangle(r image.Rectangle, c color.Color) {
	draw.Draw(s.RGBA, r, image.NewUniform(c), image.Point{}, draw.Src)
}

// line is a level line, upright one that stands; both a screen pixel wide.
func (s sheet) line(from, to, y int) { s.rectangle(image.Rect(from, y, to, y+density), wire) }

func (s sheet) upright(x, from, to int) {
	s.rectangle(image.Rect(x, from, x+density, to+density), wire)
}

// writeLeft writes a line of text from x on.
func (s sheet) writeLeft(line string, x, top int, size float64) {
	st := small(size)
	s.canvas.FillText(st, vg.Point{X: vg.Length(x), Y: vg.Length(s.Bounds().Dy() - top)}, line)
}

// small is text from the left, without emphasis.
func small(size float64) text.Style { return style(size, false, ink, text.XLeft, text.YTop) }
