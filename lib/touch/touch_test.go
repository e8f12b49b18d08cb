package touch_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"example.org/convbook/lib/cell"
	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/internal/notebook"
	"example.org/convbook/lib/internal/notebook/standin"
	"example.org/convbook/lib/touch"
)

func TestMain(m *testing.M) {
	switch name := os.Getenv("CELL"); name {
	case "":
		os.Exit(m.Run())
	case "pad":
		pad()
	default:
		sliders(name)
	}
}

// sliders is a cell. With the name stopped it is stopped when the height is 7.
func sliders(name string) {
	height, width := touch.Int("height <", 3, 1, 9), touch.Float("width", 0.5, 0, 1, 0.25)
	cell.OK(touch.Sliders(func() figure.Figure {
		values := []float64{height.Value(), width.Value()}
		if name == "stopped" && height.Int() == 7 {
			syscall.Kill(os.Getpid(), syscall.SIGINT)
		}
		return figure.Bars(figure.Chart{Title: "T", X: "x", Y: "y"}, []string{"h", "w"}, figure.NewSeries("s", values))
	}, height, width))
	fmt.Println("left at", height.Int(), width.Value())
}

func command(name string, env ...string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), "CELL="+name), env...)
	return c
}

const watched = protocol.GONB_JUPYTER_KERNEL_ID_ENV + "=1234-5678"

var alternative = regexp.MustCompile(`alt="([^"]*)"`)

// left is what a cell left: what was set, if it was touched, a picture that begins so, and what it printed.
func left(t *testing.T, p *standin.Page, line, alt, printed string) {
	t.Helper()
	var texts []string
	for _, d := range p.Displays {
		texts = append(texts, fmt.Sprint(d.Data[protocol.MIMETextPlain]))
	}
	want := []string{line, alt}
	if line == "" {
		want = want[1:]
	}
	if len(texts) == len(want) && strings.HasPrefix(texts[len(want)-1], alt) {
		texts[len(want)-1] = alt
	}
	if !slices.Equal(texts, want) || p.Displays[len(want)-1].Data[protocol.MIMEImagePNG] == nil {
		t.Errorf("displayed %q, want %q", texts, want)
	}
	if p.Printed != printed {
		t.Errorf("printed %q, want %q", p.Printed, printed)
	}
}

// What is moved is answered, within the slider's range, and when the reader is done the last picture takes the place of
// the page.
func TestSliders(t *testing.T) {
	p := standin.Run(t, command("sliders", watched), `{"state":[7,0.25]}`, `{"state":[99,-1]}`, `{"done":true}`)
	left(t, p, "height < 9 · width 0", "Bar chart: T, y; h 9.00; w 0.00", "left at 9 0\n")
	var answers []string
	for _, answer := range p.Updates {
		if alt := alternative.FindStringSubmatch(fmt.Sprint(answer.Data[protocol.MIMETextHTML])); alt != nil {
			answers = append(answers, alt[1])
		}
	}
	want := []string{
		"Bar chart: T, y; h 3.00; w 0.50", "Bar chart: T, y; h 7.00; w 0.25", "Bar chart: T, y; h 9.00; w 0.00",
	}
	if !slices.Equal(answers, want) {
		t.Errorf("answered %q, want %q", answers, want)
	}
	page := fmt.Sprint(p.Updates[0].Data[protocol.MIMETextHTML])
	for _, part := range []string{
		"height &lt;", `max="9" step="1" value="3"`, `step="0.25" value="0.5"`, "1234-5678", "until you press Done",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page has no %s", part)
		}
	}
	if from := regexp.MustCompile(`(src|href)="?(https?:)?//`).FindString(page); from != "" {
		t.Errorf("the page loads something: %s", from)
	}
}

// The stop button is another way to be done.
func TestStopped(t *testing.T) {
	p := standin.Run(t, command("stopped", watched), `{"state":[7,1]}`)
	left(t, p, "height < 7 · width 1", "Bar chart: T, y; h 7.00; w 1.00", "left at 7 1\n")
}

// What does not fit is an error of one line.
func TestErrors(t *testing.T) {
	p := standin.Run(t, command("sliders", watched), `{"state":[7]}`)
	if want := "error: the page sent \"[7]\" for 2 sliders\n"; p.Printed != want {
		t.Errorf("printed %q, want %q", p.Printed, want)
	}
	drawn := func() figure.Figure { return figure.Failed(errors.New("no such layer")) }
	for want, err := range map[string]error{
		`a slider "k" from 1 to 9 in steps of 1 cannot begin at 10`:               touch.Sliders(drawn, touch.Int("k", 10, 1, 9)),
		"a slider is nil: make it with touch.Float or touch.Int":                  touch.Sliders(drawn, nil),
		"the sliders have no function that draws: give one that returns a figure": touch.Sliders(nil),
		"there is no run to try the pad on: get one with Fit or Load":             touch.Pad(nil),
		"no such layer": touch.Sliders(drawn, touch.Int("k", 1, 1, 9)),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Where nobody reads there is the picture for the values that the sliders begin with, at once.
func TestHeadless(t *testing.T) {
	const alt = "Bar chart: T, y; h 3.00; w 0.50"
	for _, env := range [][]string{{watched, notebook.HeadlessEnv + "=1"}, {protocol.GONB_JUPYTER_KERNEL_ID_ENV + "="}} {
		left(t, standin.Run(t, command("sliders", env...), "never"), "", alt, "left at 3 0.5\n")
	}
	output, err := command("sliders").CombinedOutput()
	if err != nil || string(output) != "[figure: "+alt+"]\nleft at 3 0.5\n" {
		t.Errorf("in a terminal: %v, %q", err, output)
	}
}
