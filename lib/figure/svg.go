package figure

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Screen pixels around the data of a chart in SVG.
const (
	svgLeft   = 56
	svgRight  = 14
	svgTop    = 46
	svgBottom = 42
)

// LinesSVG draws series as [Lines] does, but for a page that changes: as SVG, in the colours of the page, which makes
// it small, quickly drawn and at home in a dark theme. It takes as much of the chart's width as there is. A series may
// be empty, and then so may the chart.
func LinesSVG(c Chart, series ...Series) (string, error) {
	if c.X == "" || c.Y == "" {
		return "", fmt.Errorf("chart %q has no name for each axis: set X and Y", c.Title)
	}
	var drawn []Series
	for _, s := range series {
		if len(s.X) == 0 {
			continue
		}
		if _, err := s.points(); err != nil {
			return "", fmt.Errorf("chart %q: %w", c.Title, err)
		}
		drawn = append(drawn, s)
	}
	g := newSVG(c, drawn)
	fmt.Fprintf(&g.Builder, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s" style="width: 100%%; max-width: %dpx" `+
		`font-family="sans-serif" font-size="%d" fill="currentColor" text-anchor="middle">`,
		c.width(), c.height(), html.EscapeString(c.about(drawn)), c.width(), textSize)
	g.axes()
	for i, s := range drawn {
		c := lineColor(drawn, i)
		g.line(s, fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B), dashes(drawn, i))
	}
	g.WriteString("</svg>")
	return g.String(), nil
}

// svg is a chart while it is drawn.
type svg struct {
	strings.Builder
	Chart
	left, right, low, high float64 // what the axes show
	legend                 int     // where its next entry begins, in screen pixels
}

func newSVG(c Chart, series []Series) *svg {
	g := &svg{Chart: c, left: math.Inf(1), right: math.Inf(-1), low: math.Inf(1), high: math.Inf(-1), legend: svgLeft}
	for _, s := range series {
		g.left, g.right = min(g.left, slices.Min(s.X)), max(g.right, slices.Max(s.X))
		g.low, g.high = min(g.low, slices.Min(s.Y)), max(g.high, slices.Max(s.Y))
	}
	if len(series) == 0 {
		g.left, g.right, g.low, g.high = 0, 0, 0, 0
	}
	if c.XEnd != 0 {
		g.right = max(g.right, c.XEnd)
	}
	g.left = min(g.left, g.right)
	g.low, g.high = c.heightsShown(g.low, g.high)
	if g.left == g.right {
		g.left, g.right = g.left-0.5, g.right+0.5
	}
	if g.low == g.high && len(series) > 0 {
		room := max(0.5, math.Abs(g.low)/1e6) // beside a huge number, a half is nothing
		g.low, g.high = g.low-room, g.high+room
	}
	return g
}

// x and y are where a number is.
func (g *svg) x(v float64) float64 {
	return svgLeft + (v-g.left)/(g.right-g.left)*float64(g.width()-svgLeft-svgRight)
}

func (g *svg) y(v float64) float64 {
	return float64(g.height()-svgBottom) - (v-g.low)/(g.high-g.low)*float64(g.height()-svgTop-svgBottom)
}

func (g *svg) write(x, y float64, style, text string) {
	fmt.Fprintf(&g.Builder, `<text x="%.1f" y="%.1f"%s>%s</text>`, x, y, style, html.EscapeString(text))
}

// axes draws what is around the data.
func (g *svg) axes() {
	right, bottom := float64(g.width()-svgRight), float64(g.height()-svgBottom)
	middle := (svgTop + bottom) / 2
	g.write(float64(g.width())/2, textSize+2, ` font-weight="bold"`, g.Title)
	g.write((svgLeft+right)/2, float64(g.height()-6), "", g.X)
	g.write(textSize, middle, fmt.Sprintf(` transform="rotate(-90 %d %.1f)"`, textSize, middle), g.Y)
	for _, tick := range g.ticksBelow(g.left, g.right) {
		g.write(g.x(tick.Value), bottom+textSize+5, "", tick.Label)
		fmt.Fprintf(&g.Builder, `<path d="M%.1f %.1fv4" stroke="currentColor"/>`, g.x(tick.Value), bottom)
	}
	for _, tick := range ticks(g.low, g.high) { // none if there is nothing to draw
		g.write(svgLeft-6, g.y(tick.Value)+4, ` text-anchor="end"`, tick.Label)
		fmt.Fprintf(&g.Builder, `<path d="M%d %.1fH%.1f" stroke="currentColor" stroke-opacity="0.15"/>`,
			svgLeft, g.y(tick.Value), right)
	}
	fmt.Fprintf(&g.Builder, `<path d="M%d %dV%.1fH%.1f" fill="none" stroke="currentColor"/>`, svgLeft, svgTop, bottom, right)
}

// line draws a series, and its name above the data.
func (g *svg) line(s Series, color string, dashes []float64) {
	width, opacity := strongLine, 1.0
	if s.Pale {
		width, opacity = paleLine, 0.5
	}
	// Nearer to the text's colour, so darker on white and lighter on black, where the browser can mix colours.
	style := fmt.Sprintf(`fill="none" stroke="%s" style="stroke: color-mix(in srgb, %s 80%%, currentColor)" `+
		`stroke-width="%g" stroke-opacity="%g" stroke-linejoin="round"`, color, color, width, opacity)
	if dashes != nil {
		style += fmt.Sprintf(` stroke-dasharray="%g %g"`, dashes[0], dashes[1])
	}
	g.WriteString(`<path d="M`)
	for i := range s.X {
		fmt.Fprintf(&g.Builder, "%.1f %.1f ", g.x(s.X[i]), g.y(s.Y[i]))
	}
	fmt.Fprintf(&g.Builder, `" %s/>`, style)
	if len(s.X) == 1 { // a line of one point shows nothing
		fmt.Fprintf(&g.Builder, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, g.x(s.X[0]), g.y(s.Y[0]), color)
	}
	fmt.Fprintf(&g.Builder, `<path d="M%d %dh18" %s/>`, g.legend, svgTop-16, style)
	g.write(float64(g.legend+22), svgTop-12, ` text-anchor="start"`, s.Name)
	g.legend += 22 + int(small(textSize).Width(s.Name).Points())/density + 14
}
