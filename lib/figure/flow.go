package figure

import (
	"fmt"
	"image"
	"image/color"
	"slices"
	"strings"
)

// Box is a step of a Flow.
type Box struct {
	Label         string // inside of the box, or below it where the box is alone in its group
	Width, Height int    // in screen pixels
	Kind          string // boxes of one kind have one colour; the legend names it
}

// Group is a part of a Flow: one box, boxes one after another, or several lanes of them side by side.
type Group struct {
	Lanes  [][]Box
	Skip   bool   // a way leads around the boxes
	Around []Box  // on that way
	Times  int    // how often the group stands there, one after another; once if 0
	Note   string // below the group, one or more lines
}

// flowSize is the size of a flow's text.
const flowSize = 9

// Flow draws groups of boxes from left to right, in as many rows as they need in a width of screen pixels at most.
func Flow(title string, wide int, groups ...Group) Figure {
	if len(groups) == 0 {
		return fail("a flow needs at least one group")
	}
	alt := title
	var all []group
	for _, g := range groups {
		laid := layout(g)
		if laid.width == 0 {
			return fail("%s: a group has no box", title)
		}
		all = append(all, laid)
		alt += "; " + strings.Join(strings.Fields(g.describe()), " ")
	}
	legend := newLegend(groups)
	rows, room := breakRows(all, wide*density-2*margin)
	room = max(room, legend.width(), min(260, wide)*density-2*margin) // the title takes some, too
	heading := wrap(title, textSize, true, room)
	y := margin + len(heading)*lineHeight(textSize) + gap
	height := y + lineHeight(flowSize) + gap + margin
	for _, r := range rows {
		height += r.whole()
	}
	if err := checkSize(2*margin+room, height); err != nil {
		return fail("%q: %w", title, err)
	}
	sheet := newSheet(2*margin+room, height)
	sheet.write(heading, margin+room/2, margin, textSize, true, ink)
	for _, r := range rows {
		r.draw(sheet, y, legend.colors)
		y += r.whole()
	}
	legend.draw(sheet, y)
	return Figure{Alt: alt, picture: sheet.RGBA}
}

// flowRow is groups side by side on a common middle line.
type flowRow struct {
	groups        []group
	lefts         []int // where each begins
	follows       bool  // a row stands above
	height, notes int   // of the highest group, and the lines of the longest note
}

const between = 14 * density // groups

// breakRows puts groups into rows that fit into a width, and says how much of it they need.
func breakRows(all []group, room int) (rows []*flowRow, needed int) {
	x := 0
	for i, g := range all {
		if i == 0 || x+g.width > room {
			rows = append(rows, &flowRow{follows: i > 0})
			x = 0
		}
		r := rows[len(rows)-1]
		r.groups, r.lefts = append(r.groups, g), append(r.lefts, margin+x)
		r.height, r.notes = max(r.height, g.height), max(r.notes, len(g.notes))
		needed = max(needed, x+g.width)
		x += g.width + between
	}
	return rows, needed
}

// whole is the row's height with its notes.
func (r flowRow) whole() int { return r.height + r.notes*lineHeight(flowSize) + 3*gap }

func (r flowRow) draw(s sheet, y int, colors map[string]color.RGBA) {
	middle := y + r.height/2
	for i, g := range r.groups {
		left := r.lefts[i]
		if i > 0 || r.follows {
			s.line(max(margin/4, left-between), left, middle)
		}
		g.draw(s, left, middle, colors)
		s.write(g.notes, left+g.width/2, y+r.height+gap, flowSize, false, ink)
	}
}

// legend is the kinds of boxes with their colours.
type legend struct {
	kinds  []string
	colors map[string]color.RGBA
}

func newLegend(groups []Group) legend {
	l := legend{colors: map[string]color.RGBA{}}
	for _, g := range groups {
		for _, box := range slices.Concat(append(slices.Clone(g.Lanes), g.Around)...) {
			if _, known := l.colors[box.Kind]; !known {
				l.colors[box.Kind] = palette[len(l.kinds)%len(palette)]
				l.kinds = append(l.kinds, box.Kind)
			}
		}
	}
	return l
}

func (l legend) width() (whole int) {
	for _, kind := range l.kinds {
		whole += lineHeight(flowSize) + gap/2 + width(kind, small(flowSize)) + 3*gap
	}
	return whole
}

func (l legend) draw(s sheet, y int) {
	x := margin
	for _, kind := range l.kinds {
		s.rectangle(image.Rect(x, y, x+lineHeight(flowSize)-density, y+lineHeight(flowSize)-density), l.colors[kind])
		x += lineHeight(flowSize) + gap/2
		s.writeLeft(kind, x, y, flowSize)
		x += width(kind, small(flowSize)) + 3*gap
	}
}

// describe puts the group into words.
func (g Group) describe() string {
	words := func(lane []Box) string {
		var labels []string
		for _, box := range lane {
			labels = append(labels, strings.TrimSpace(box.Kind+" "+box.Label))
		}
		return strings.Join(labels, ", ")
	}
	var lanes []string
	for _, lane := range g.Lanes {
		lanes = append(lanes, words(lane))
	}
	s := strings.Join(lanes, " beside ")
	if g.Skip {
		s += ", with a shortcut"
	}
	if len(g.Around) > 0 {
		s += " through " + words(g.Around)
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
	around        int   // that of the boxes on the way around
	notes         []string
}

const (
	laneGap = 5 * density
	boxGap  = 8 * density
	skip    = 12 * density // above the boxes, for their shortcuts
)

func layout(g Group) group {
	laid := group{Group: g.labelled()}
	g = laid.Group
	for i, lane := range g.Lanes {
		wide, high := measure(lane)
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
		wide, high := measure(g.Around)
		laid.width, laid.around = max(laid.width, wide), high
		laid.height += 2 * (skip + high) // below the boxes, too, so their middle stays
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
		laid.width = max(laid.width, width(note, small(flowSize)))
	}
	return laid
}

// measure is how wide and how high boxes one after another are.
func measure(lane []Box) (wide, high int) {
	for k, box := range lane {
		if k > 0 {
			wide += boxGap
		}
		wide += box.Width * density
		high = max(high, box.Height*density)
	}
	return wide, high
}

// labelled is the group with boxes that are as wide as the labels in them, at least.
func (g Group) labelled() Group {
	if _, alone := g.alone(); alone { // its label stands below it
		return g
	}
	wider := func(lane []Box) []Box {
		lane = slices.Clone(lane)
		for i, box := range lane {
			lane[i].Width = max(box.Width, width(box.Label, small(flowSize))/density+4)
		}
		return lane
	}
	g.Lanes, g.Around = slices.Clone(g.Lanes), wider(g.Around)
	for i, lane := range g.Lanes {
		g.Lanes[i] = wider(lane)
	}
	return g
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

func (g group) draw(s sheet, left, middle int, colors map[string]color.RGBA) {
	right := left + g.width
	top := middle - g.height/2
	if g.Skip {
		top += skip + g.around
		over := middle - g.height/2 + skip/4 + g.around/2
		s.upright(left, over, middle)
		s.upright(right, over, middle)
		g.drawLane(s, g.Around, left, over, colors)
	}
	for i, lane := range g.Lanes {
		center := top + g.lanes[i]/2
		if len(g.Lanes) > 1 {
			s.upright(left, min(center, middle), max(center, middle))
			s.upright(right, min(center, middle), max(center, middle))
		}
		g.drawLane(s, lane, left, center, colors)
		top += g.lanes[i] + laneGap
	}
}

// drawLane draws boxes in the middle of a line that goes through the whole group.
func (g group) drawLane(s sheet, lane []Box, left, center int, colors map[string]color.RGBA) {
	s.line(left, left+g.width, center)
	wide, _ := measure(lane)
	x := left + (g.width-wide)/2
	for _, box := range lane {
		high := box.Height * density
		s.rectangle(image.Rect(x, center-high/2, x+box.Width*density, center+high/2), colors[box.Kind])
		if _, alone := g.alone(); !alone {
			middle := x + box.Width*density/2
			s.write([]string{box.Label}, middle, center-lineHeight(flowSize)/2, flowSize, false, color.White)
		}
		x += box.Width*density + boxGap
	}
}
