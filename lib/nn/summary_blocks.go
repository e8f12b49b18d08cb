package nn

import (
	"fmt"
	"slices"
)

// Blocks is the summary in fewer lines. A block of layers is one line with the sums of what is in it; what multiplies
// nothing and keeps the shape, such as ReLU and batch norm, is counted with what comes before it; and consecutive lines
// that differ only in what they see become one, with their sums. The columns still add up to the same.
//
// A block is described by the filters of its convolutions, in the order of its layers: | stands between branches, +
// before those of a residual's shortcut.
func (s *Summary) Blocks() *Summary {
	var lines []numbered
	count := map[string]int{}
	shape := s.Input
	for _, p := range s.parts {
		label := p.layer.Info().label()
		count[label]++
		line := p.line()
		if len(p.parts) == 0 && line.MACs == 0 && slices.Equal(line.Output, shape) && len(lines) > 0 {
			lines[len(lines)-1].add(line)
			continue
		}
		lines = append(lines, numbered{line, count[label]})
		shape = line.Output
	}
	short := *s
	short.Layers = folded(lines)
	return &short
}

// line is one line for the part: its own, or one with the sums of its parts.
func (p *part) line() LayerInfo {
	if len(p.parts) == 0 {
		return p.lines[0]
	}
	block := LayerInfo{Info: p.layer.Info(), Path: p.path, inside: filters(p.lines)}
	for _, l := range p.lines {
		block.add(l)
	}
	if p.output != nil {
		block.Output = p.output
	}
	return block
}

// add counts another layer, one that follows, with this one.
func (l *LayerInfo) add(next LayerInfo) {
	l.Output, l.Field = next.Output, max(l.Field, next.Field)
	l.Parameters += next.Parameters
	l.MACs += next.MACs
}

// filters lists those of a block's convolutions; a single layer with weights is described as it is.
func filters(layers []LayerInfo) (text string) {
	var weighty []LayerInfo
	for _, l := range layers {
		if l.MACs > 0 {
			weighty = append(weighty, l)
		}
	}
	if len(weighty) == 1 {
		return weighty[0].Details()
	}
	lane := ""
	for _, l := range layers {
		if l.Filters == 0 {
			continue
		}
		switch {
		case text == "":
		case l.Lane == lane:
			text += ", "
		case l.Lane == "shortcut":
			text += " + "
		default:
			text += " | "
		}
		text += fmt.Sprint(l.Filters)
		lane = l.Lane
	}
	if text == "" {
		return ""
	}
	return text + " filters"
}

// numbered is a line for the layer with this number among those of its name.
type numbered struct {
	LayerInfo
	number int
}

// folded makes one line of lines that follow each other and are alike in all but what they see.
func folded(lines []numbered) (layers []LayerInfo) {
	var first LayerInfo // that the last line stands for
	for _, l := range lines {
		if len(layers) > 0 && alike(first, l.LayerInfo) {
			last := &layers[len(layers)-1]
			last.add(l.LayerInfo)
			last.Path = fmt.Sprintf("%s–%d", first.Path, l.number)
			continue
		}
		first = l.LayerInfo
		layers = append(layers, first)
	}
	return layers
}

func alike(a, b LayerInfo) bool {
	return a.Info == b.Info && a.inside == b.inside && slices.Equal(a.Output, b.Output) &&
		a.Parameters == b.Parameters && a.MACs == b.MACs
}
