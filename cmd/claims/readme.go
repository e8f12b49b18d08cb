package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

const readmeFile = "README.md"

// blocks are README's tables that are written here, between markers.
var blocks = map[string]func(*ledger) string{"results": resultsTable, "claims": claimsTable}

func block(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?s)(<!-- ` + name + `: make claims -->\n).*?(<!-- end -->)`)
}

// withBlocks is the text with its tables as the ledger has them.
func withBlocks(text string, l *ledger) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(blocks)) {
		at := block(name).FindStringSubmatchIndex(text)
		if at == nil {
			return "", fmt.Errorf("%s has no table between <!-- %s: make claims --> and <!-- end -->", readmeFile, name)
		}
		text = text[:at[3]] + blocks[name](l) + text[at[4]:]
	}
	return text, nil
}

func checkReadme(l *ledger) error {
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		return err
	}
	wanted, err := withBlocks(string(text), l)
	if err == nil && wanted != string(text) {
		err = errors.New("README.md does not show what the ledger has: run make claims BUDGET=0")
	}
	return err
}

func writeReadme(l *ledger) error {
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		return err
	}
	wanted, err := withBlocks(string(text), l)
	if err != nil || wanted == string(text) {
		return err
	}
	return renameio.WriteFile(readmeFile, []byte(wanted), 0o644)
}

// inTheNotes is what the lecture notes report, in percent.
var inTheNotes = map[string]float64{net.work.group(): 62, vggNotes.work.group(): 84.92}

// shown are the trainings of the table of results, in its order: those on whole data sets.
var shown = []arm{fc, fcPermuted, cnn, cnnPermuted, net, vggNotes, vggBook, vggHurried, speed}

// none stands in a table where there is no figure.
const none = "–"

// resultsTable is what the networks reach.
func resultsTable(l *ledger) string {
	var text strings.Builder
	timed := !slices.ContainsFunc(shown, func(a arm) bool {
		rows := l.every(a.by(ours))
		return len(rows) > 0 && secondsOf(rows) == none
	})
	line := func(training string, cells ...string) {
		if timed {
			cells = append(cells, training)
		}
		text.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line("training", "network", "parameters", "data", "recipe", "test accuracy", "PyTorch", "in the notes")
	line("---", slices.Repeat([]string{"---"}, 7)...)
	machines := map[string]bool{}
	for _, a := range shown {
		mine, theirs := l.every(a.by(ours)), l.every(a.by(peers))
		if len(mine) == 0 {
			continue
		}
		reported := none
		if r, ok := inTheNotes[a.work.group()]; ok {
			reported = fmt.Sprintf("%v %%", r)
		}
		line(secondsOf(mine), a.work.Network, thousands(mine[0].Parameters), a.work.Data.String(), a.work.Recipe.String(),
			accuraciesOf(mine), accuraciesOf(theirs), reported)
		for _, r := range slices.Concat(mine, theirs) {
			machines[r.machine()] = true
		}
	}
	text.WriteString("\nMean ± standard deviation (number of seeds).")
	if timed {
		text.WriteString(" Times are those of trainings beside which the machine did nothing else.")
	}
	fmt.Fprintf(&text, " \"In the notes\" is what the lecture notes report. Computed on %s.\n",
		strings.Join(slices.Sorted(maps.Keys(machines)), "; "))
	return text.String()
}

func accuraciesOf(rows []Row) string {
	s := sampled{unit: "%"}
	for _, r := range rows {
		s.all = append(s.all, r.Accuracy)
	}
	return s.String()
}

// secondsOf is how long those took that nothing disturbed.
func secondsOf(rows []Row) string {
	var seconds []float64
	for _, r := range rows {
		if r.quiet() {
			seconds = append(seconds, r.Seconds)
		}
	}
	if len(seconds) == 0 {
		return none
	}
	return fmt.Sprintf("%.1f s", mean(seconds))
}

// machine names what a row was computed on and with.
func (r Row) machine() string {
	if r.Processor == "" { // a stored run, which knows its device only
		_, name, _ := strings.Cut(r.Device, " · ")
		return strings.Replace(name, " · ", " with ", 1)
	}
	name := fmt.Sprintf("%s, %d cores, %s", r.Processor, r.Cores, r.Vectors)
	if r.onGPU() {
		name = strings.Split(r.Device, " · ")[1]
	}
	var with []string
	for _, package_ := range []string{"gomlx", "go-xla", "onednn", "torch"} {
		if version := r.Versions[package_]; version != "" {
			with = append(with, package_+" "+strings.TrimPrefix(version, "v"))
		}
	}
	return name + " with " + strings.Join(with, ", ")
}

// thousands writes 62006 as 62,006.
func thousands(n int) string { return message.NewPrinter(language.English).Sprint(n) }

// claimsTable is what became of the claims.
func claimsTable(l *ledger) string {
	var text strings.Builder
	text.WriteString("| claim | convbook | PyTorch | difference | verdict |\n| --- | --- | --- | --- | --- |\n")
	for _, c := range claims {
		v := c.judge(l)
		first := v.sides[0]
		mine, theirs, differences := first.pair(), none, []string{first.shortDifference()}
		if c.asPyTorch() {
			mine, theirs = first.a.String(), first.b.String()
		} else if c.peers {
			theirs = v.sides[1].pair()
			differences = append(differences, v.sides[1].shortDifference())
		}
		says := c.says
		if c.where != readme {
			says += " (" + c.where + ")"
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s: %s |\n", says, mine, theirs, strings.Join(differences, "; "), v.outcome, c.ruleText())
	}
	text.WriteString("\nMean ± standard deviation (number of seeds). A difference of means has its 95 % interval (Welch's). " +
		"Each interval stands for itself: of some forty at 95 %, one or two may miss by chance. A claim holds " +
		"when the whole interval is where the verdict says, or, where that is \"the mean reaches it\", when the mean does; it is " +
		"not measured as long as seeds are missing. " +
		"`make claims` trains and judges, `make test` judges again.\n")
	return text.String()
}

func (s side) pair() string { return fmt.Sprintf("%s %s; %s %s", s.a.name, s.a, s.b.name, s.b) }

func (s side) shortDifference() string {
	if s.outcome == notMeasured {
		return none
	}
	return s.differenceText()
}

// ruleText is the rule in words, with its unit.
func (c claim) ruleText() string {
	text := c.rule.String()
	if c.what.unit == "%" && c.rule.by == 1 {
		text += " point"
	} else if c.what.unit == "%" && c.rule.by > 0 {
		text += " points"
	} else if c.what.unit == "" {
		text += ", training loss"
	}
	return text
}
