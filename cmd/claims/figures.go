package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var sourcesFile = filepath.Join("figures", "sources.md")

// figure is a number in a text with its unit: % for an accuracy, s or min for a time.
type figure struct {
	number   string
	unit     string
	sentence string
}

func (f figure) String() string { return f.number + " " + f.unit }

// decimals are the digits behind the point.
func (f figure) decimals() int {
	_, fraction, _ := strings.Cut(f.number, ".")
	return len(fraction)
}

const number = `\d+(?:\.\d+)?`

var (
	// Several numbers may share a unit: "81.94 and 83.01 %", "6.1, 6.2 and 6.3 %", "4 – 5 s", "80-82 %".
	shared  = regexp.MustCompile(number + `(?:(?:, (?:and )?| and | or | to (?:about )?| ?[–-] ?)` + number + `)*`)
	units   = regexp.MustCompile(`^[ \x{a0}\x{202f}]?(?:(%|per ?cent\b)|(s|seconds?)\b|(min|minutes?)\b)`)
	numbers = regexp.MustCompile(number)
	code    = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
)

// figuresIn finds the accuracies and times of a text, without those in code.
func figuresIn(text string) (all []figure) {
	text = code.ReplaceAllString(text, "`…`")
	text = regexp.MustCompile(`(\d),(\d{3})\b`).ReplaceAllString(text, "$1$2") // 1,251.8 is one number
	for _, at := range shared.FindAllStringIndex(text, -1) {
		unit := units.FindStringSubmatch(text[at[1]:])
		if unit == nil || at[0] > 0 && text[at[0]-1] == '.' { // a version's end
			continue
		}
		name := "%"
		if unit[2] != "" {
			name = "s"
		} else if unit[3] != "" {
			name = "min"
		}
		chain := numbers.FindAllString(text[at[0]:at[1]], -1)
		last := figure{number: chain[len(chain)-1]}
		for _, n := range chain {
			f := figure{n, name, sentence(text, at[0])}
			if f.decimals() == last.decimals() { // the 2012 of "2012, 15.3 %" is another thing
				all = append(all, f)
			}
		}
	}
	return all
}

// sentence is the one around a place.
func sentence(text string, at int) string {
	begin := max(strings.LastIndex(text[:at], "\n"), strings.LastIndex(text[:at], ". ")+1, 0)
	end := len(text)
	for _, mark := range []string{"\n", ". "} {
		if i := strings.Index(text[at:], mark); i >= 0 {
			end = min(end, at+i)
		}
	}
	return strings.TrimSpace(text[begin:end])
}

// backing is what figures may stand on, by unit.
type backing struct {
	means map[string][]float64
	rows  map[string][]float64 // single rows, and the spreads
}

// backing of the ledger: accuracies, and the times of undisturbed trainings.
func (l *ledger) backing() backing {
	b := backing{map[string][]float64{}, map[string][]float64{}}
	for _, rows := range l.series {
		var accuracies, seconds []float64
		for _, r := range rows {
			accuracies = append(accuracies, r.Accuracy)
			if r.quiet() {
				seconds = append(seconds, r.Seconds)
			}
		}
		b.means["%"] = append(b.means["%"], mean(accuracies))
		b.rows["%"] = append(append(b.rows["%"], accuracies...), spread(accuracies))
		if len(seconds) > 0 {
			b.means["s"], b.means["min"] = append(b.means["s"], mean(seconds)), append(b.means["min"], mean(seconds)/60)
		}
		for _, s := range seconds {
			b.rows["s"], b.rows["min"] = append(b.rows["s"], s), append(b.rows["min"], s/60)
		}
	}
	return b
}

// has reports whether one of the numbers is the figure, to the digits that it shows. A figure without decimals must be a
// mean: a single row that rounds to it would be easily found.
func (b backing) has(f figure) bool {
	wanted, _ := strconv.ParseFloat(f.number, 64)
	scale := math.Pow10(f.decimals())
	same := func(v float64) bool { return math.Round(v*scale) == math.Round(wanted*scale) }
	return slices.ContainsFunc(b.means[f.unit], same) || f.decimals() > 0 && slices.ContainsFunc(b.rows[f.unit], same)
}

// page is a text of the book with what its code printed.
type page struct {
	name    string // README or a notebook's number
	text    string
	outputs []figure
	printed map[string]bool // numbers with a fraction, whatever stands behind them
}

// shows reports whether an output of the page has the figure.
func (p page) shows(f figure) bool {
	for _, o := range p.outputs {
		if o.number == f.number && o.unit == f.unit {
			return true
		}
	}
	return f.decimals() > 0 && p.printed[f.number]
}

// source is a line of figures/sources.md: a figure on a page, and where it comes from.
type source struct{ page, figure, from string }

// readSources reads the table.
func readSources(text string) (all []source, err error) {
	for i, line := range strings.Split(text, "\n") {
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| where") {
			continue
		}
		if len(cells) != 5 || strings.TrimSpace(cells[3]) == "" {
			return nil, fmt.Errorf("%s, line %d: it must be | where | figure | source |", sourcesFile, i+1)
		}
		all = append(all, source{strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])})
	}
	return all, nil
}

// unbacked lists the figures of the pages that nothing backs, and the sources that no figure needs.
func unbacked(pages []page, b backing, sources []source) error {
	var all []error
	used := map[source]bool{}
	for _, p := range pages {
		for _, f := range figuresIn(p.text) {
			found := b.has(f) || p.shows(f)
			for _, s := range sources {
				if s.page == p.name && s.figure == f.String() {
					used[s], found = true, true
				}
			}
			if !found {
				all = append(all, fmt.Errorf("%s: %q: nothing backs %s", p.name, f.sentence, f))
			}
		}
	}
	for _, s := range sources {
		if !used[s] {
			all = append(all, fmt.Errorf("%s: there is no %s in %s any more: take the line out", sourcesFile, s.figure, s.page))
		}
	}
	return errors.Join(all...)
}

func checkFigures(l *ledger) error {
	content, err := os.ReadFile(readmeFile)
	if err != nil {
		return err
	}
	text := string(content)
	for name := range blocks {
		text = block(name).ReplaceAllString(text, "")
	}
	pages := []page{{name: readme, text: text}}
	paths, err := filepath.Glob(filepath.Join("notebooks", "[0-9][0-9]_*.ipynb"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		p, err := notebook(filepath.Base(path)[:2], content)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		pages = append(pages, p)
	}
	table, err := os.ReadFile(sourcesFile)
	if err != nil {
		return err
	}
	sources, err := readSources(string(table))
	if err != nil {
		return err
	}
	return unbacked(pages, l.backing(), sources)
}

// text is what a notebook's file has as one string or as a list of lines.
type text string

func (t *text) UnmarshalJSON(content []byte) error {
	var lines []string
	if json.Unmarshal(content, &lines) == nil {
		*t = text(strings.Join(lines, ""))
		return nil
	}
	return json.Unmarshal(content, (*string)(t))
}

// notebook reads a notebook's text and outputs.
func notebook(name string, content []byte) (page, error) {
	var file struct {
		Cells []struct {
			Kind    string `json:"cell_type"`
			Source  text   `json:"source"`
			Outputs []struct {
				Text text `json:"text"`
				Data struct {
					Plain text `json:"text/plain"`
				} `json:"data"`
			} `json:"outputs"`
		} `json:"cells"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		return page{}, err
	}
	p := page{name: name, printed: map[string]bool{}}
	for _, cell := range file.Cells {
		if cell.Kind == "markdown" {
			p.text += string(cell.Source) + "\n\n"
		}
		for _, o := range cell.Outputs {
			printed := string(o.Text + o.Data.Plain)
			p.outputs = append(p.outputs, figuresIn(printed)...)
			for _, n := range numbers.FindAllString(printed, -1) {
				if strings.Contains(n, ".") {
					p.printed[n] = true
				}
			}
		}
	}
	return p, nil
}
