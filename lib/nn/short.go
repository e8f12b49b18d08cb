package nn

import (
	"regexp"
	"slices"
	"strings"
)

// Blocks is the trace in fewer lines. A block of layers is one line with the sums of what is in it; what multiplies
// nothing and keeps the shape, such as ReLU and batch norm, is counted with what comes before it; and lines that follow
// each other and are alike in all but what they see become one, with their sums. The columns still add up to the same.
//
// A block is described by the filters of its convolutions, in the order of its layers: | stands between branches, + before
// those of a residual's shortcut.
func (t *Trace) Blocks() *Trace {
	short := *t
	short.Layers = nil
	var name string // of the block that the line before stands for
	var inside []LayerInfo
	close := func() {
		if len(inside) > 0 {
			last := &short.Layers[len(short.Layers)-1]
			last.Layer = name + filters(name, inside)
			inside = nil
		}
	}
	shape := t.Input
	for _, l := range t.Layers {
		block, _, nested := strings.Cut(l.Path, "/")
		if nested && len(inside) > 0 && block == name {
			inside = append(inside, l)
			short.Layers[len(short.Layers)-1].add(l)
			shape = l.Output
			continue
		}
		close()
		if !nested && l.MACs == 0 && slices.Equal(l.Output, shape) && len(short.Layers) > 0 {
			short.Layers[len(short.Layers)-1].add(l)
			continue
		}
		if nested {
			name, inside = block, []LayerInfo{l}
			l.Path = block
		}
		short.Layers = append(short.Layers, l)
		shape = l.Output
	}
	close()
	short.Layers = folded(short.Layers)
	return &short
}

// add counts another layer, one that follows, with this one.
func (l *LayerInfo) add(next LayerInfo) {
	l.Output, l.Field = next.Output, max(l.Field, next.Field)
	l.Parameters += next.Parameters
	l.MACs += next.MACs
}

var filterCount = regexp.MustCompile(`(\d+) filters`)

// filters lists those of a block's convolutions; a single one is described as it is.
func filters(block string, layers []LayerInfo) string {
	var weighty []LayerInfo
	for _, l := range layers {
		if l.MACs > 0 {
			weighty = append(weighty, l)
		}
	}
	if len(weighty) == 1 {
		_, details, _ := strings.Cut(weighty[0].Layer, " ")
		return " " + details
	}
	text, lane := "", ""
	for _, l := range layers {
		n := filterCount.FindStringSubmatch(l.Layer)
		if n == nil {
			continue
		}
		now := ""
		for _, part := range strings.Split(strings.TrimPrefix(l.Path, block), "/") {
			if strings.HasPrefix(part, "branch") && !strings.HasPrefix(part, "branches") || part == "shortcut" {
				now = part
			}
		}
		switch {
		case text == "":
			text = " "
		case now == lane:
			text += ", "
		case now == "shortcut":
			text += " + "
		default:
			text += " | "
		}
		text += n[1]
		lane = now
	}
	if text == "" {
		return ""
	}
	return text + " filters"
}

// folded makes one line of lines that follow each other and are alike in all but what they see.
func folded(layers []LayerInfo) (lines []LayerInfo) {
	var first LayerInfo // that the last line stands for
	for _, l := range layers {
		if len(lines) > 0 && alike(first, l) {
			last := &lines[len(lines)-1]
			last.add(l)
			last.Path = first.Path + "–" + strings.TrimPrefix(l.Path, kindOf(l.Path))
			continue
		}
		first = l
		lines = append(lines, l)
	}
	return lines
}

func alike(a, b LayerInfo) bool {
	_, detailsA, _ := strings.Cut(a.Layer, " ")
	_, detailsB, _ := strings.Cut(b.Layer, " ")
	return kindOf(a.Path) == kindOf(b.Path) && detailsA == detailsB && slices.Equal(a.Output, b.Output) &&
		a.Parameters == b.Parameters && a.MACs == b.MACs
}

// kindOf is a path without the number at its end.
func kindOf(path string) string { return strings.TrimRight(path, "0123456789") }
