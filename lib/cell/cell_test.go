package cell_test

import (
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/cell"
	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/internal/notebook/standin"
)

// cells are programs that a test runs as processes of their own, because they may end them.
var cells = map[string]func(){
	"must": func() { cell.Must(7, errors.New("batch is 0: it must be at least 1")) },
	"ok":   func() { cell.OK(errors.New("no such run")) },
	"check": func() {
		cell.Check(true, "never said")
		cell.Check(1+1 == 3, "the layer gives %v", []int{2})
	},
	"number": func() { cell.Near("mean", 0.5, 0.25, 0.1) },
	"numbers": func() {
		cell.Near("feature map", array.New([]float32{1, 2, 3.5, 4}, 2, 2), [][]float64{{1, 2}, {3, 4}}, 1e-5)
	},
	"nan":    func() { cell.Near("loss", math.NaN(), 1, 1) },
	"length": func() { cell.Near("scores", []float32{1, 2}, []float32{1, 2, 3}, 1) },
	"shape":  func() { cell.Near("map", array.New([]float32{1, 2}, 1, 2), array.New([]float32{1, 2}, 2, 1), 1) },
	"text":   func() { cell.Near("map", "one", 1, 1) },
	"table": func() {
		t := cell.NewTable("", "parameters")
		t.Row("CNN", 2806, 94.1)
		cell.Show("before", t)
	},
	"figure": func() { cell.Show("before", figure.Lines(figure.Chart{Title: "T"}), "never") },
	"show":   show,
	"order": func() {
		fmt.Println("printed")
		cell.Show("shown")
		fmt.Println("printed again")
		cell.Show("shown again")
	},
}

func TestMain(m *testing.M) {
	if program, ok := cells[os.Getenv("CELL")]; ok {
		program()
		return
	}
	os.Exit(m.Run())
}

// command is one of the cells above as a process.
func command(name string, env ...string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), "CELL="+name), env...)
	return c
}

// What is wrong ends the program with one line and a status that is not zero.
func TestErrorsEndTheProgram(t *testing.T) {
	for name, want := range map[string]string{
		"must":    "error: batch is 0: it must be at least 1\n",
		"ok":      "error: no such run\n",
		"check":   "error: the layer gives [2]\n",
		"number":  "error: mean is 0.5, want 0.25: they differ by 0.25\n",
		"numbers": "error: feature map: number 2 is 3.5, want 3: they differ by 0.5\n",
		"nan":     "error: loss is NaN, want 1: they differ by NaN\n",
		"length":  "error: scores: got [2] numbers, want [3]\n",
		"shape":   "error: map: got [1 2] numbers, want [2 1]\n",
		"text":    "error: map: a string is not numbers\n",
		"table":   "before\nerror: row 1 of a table has 3 values for 2 columns (, parameters)\n",
		"figure":  "before\nerror: chart \"T\" has no name for each axis: set X and Y\n",
	} {
		output, err := command(name).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s: ended with %v, want status 1", name, err)
		}
		if got := string(output); got != want {
			t.Errorf("%s: printed %q, want %q", name, got, want)
		}
	}
}

// What holds is silent.
func TestWhatHolds(t *testing.T) {
	if got := cell.Must(7, nil); got != 7 {
		t.Errorf("got %v", got)
	}
	cell.OK(nil)
	cell.Check(true, "no")
	cell.Near("number", 1, 1.05, 0.1)
	cell.Near("array", array.New([]float32{1, 2, 3, 4}, 2, 2), []float64{1, 2, 3, 4}, 0)
	cell.Near("rows", [][]float32{{1, 2}, {3, 4}}, array.New([]float32{1, 2, 3, 4}, 2, 2), 0)
	cell.Near("bytes and whole numbers", []byte{1, 2}, [2]int{1, 2}, 0)
	cell.Near("the end of the line", math.Inf(1), math.Inf(1), 0)
}

// table is what nn.Summary has: rows of its own, and a form as text.
type table struct{}

func (table) Table() (head []string, rows [][]string) {
	return []string{"layer", "output"}, [][]string{{"conv1", "24×24×6"}}
}
func (table) String() string { return "CNN: conv1\n" }

// show shows one thing of each kind.
func show() {
	dot := image.NewGray(image.Rect(0, 0, 1, 1))
	accuracies := cell.NewTable("net <b>", "accuracy, %", "parameters")
	accuracies.Row("CNN", 94.1234, 2806)
	accuracies.Row("FC & co", 9.5, "14,000")
	cell.Show("first", figure.Grid(figure.Pictures{Images: []image.Image{dot}, Title: "A dot", Width: 60}), accuracies, table{})
	cell.Show(3.5, "last")
}

// Numbers of five digits make those of their column easier to read; years and seeds stay as they are. Columns of
// percentages have the same decimals, whatever digits their numbers happen to end in.
func TestTablesOfNumbers(t *testing.T) {
	numbers := cell.NewTable("network", "year", "parameters", "MACs", "seconds", "notes, %", "Muon, %", "lost, %", "error, %", "loss", "paper")
	numbers.Row("LeNet", 1998, 9999, int64(4096), 12345.6, 86.4, 93.2, 0.1234, 1e-7, 0.5, "61706")
	numbers.Row("VGG-16", 2014, 138357544, int64(-15470264320), 9.25, 83.31, 91.2, 1.5, 0.5, 2.25, "138 million")
	_, rows := numbers.Table()
	want := [][]string{
		{"LeNet", "1998", "9,999", "4,096", "12,345.60", "86.40", "93.20", "0.1234", "1e-07", "0.50", "61706"},
		{"VGG-16", "2014", "138,357,544", "-15,470,264,320", "9.25", "83.31", "91.20", "1.5000", "0.5", "2.25", "138 million"},
	}
	for i := range want {
		if !slices.Equal(rows[i], want[i]) {
			t.Errorf("row %d is %q, want %q", i, rows[i], want[i])
		}
	}
}

const asText = `first
[figure: 1 picture: A dot]
net <b>  accuracy, %  parameters
CNN            94.12        2806
FC & co         9.50      14,000
CNN: conv1
3.5
last
`

// Outside of a notebook all is text, at once.
func TestShowInATerminal(t *testing.T) {
	output, err := command("show").CombinedOutput()
	if err != nil || string(output) != asText {
		t.Errorf("%v, printed %q", err, output)
	}
}

// notebook runs a cell as GoNB's kernel does.
func notebook(t *testing.T, name string) *standin.Page { return standin.Run(t, command(name)) }

// What is printed and what is shown arrive in the order in which the cell said them.
func TestPrintedAndShown(t *testing.T) {
	want := []string{"printed\n", "shown", "printed again\n", "shown again"}
	if p := notebook(t, "order"); !slices.Equal(p.Order, want) {
		t.Errorf("%q came, want %q", p.Order, want)
	}
}

// In a notebook everything comes as it can be shown best, in the order of the call, with a form as text beside it.
func TestShowInANotebook(t *testing.T) {
	p := notebook(t, "show")
	if p.Printed != "" {
		t.Errorf("printed %q", p.Printed)
	}
	displays := p.Displays
	var texts []string
	for _, d := range displays {
		texts = append(texts, fmt.Sprint(d.Data[protocol.MIMETextPlain]))
	}
	want := []string{"first", "1 picture: A dot", "net <b>  accuracy, %  parameters\nCNN            94.12        2806\n" +
		"FC & co         9.50      14,000", "CNN: conv1", "3.5", "last"}
	if !slices.Equal(texts, want) {
		t.Fatalf("displayed %q, want %q", texts, want)
	}
	png, _ := displays[1].Data[protocol.MIMEImagePNG].([]byte)
	if !strings.HasPrefix(string(png), "\x89PNG") {
		t.Errorf("a figure is %.8q", png)
	}
	about, _ := displays[1].Metadata[string(protocol.MIMEImagePNG)].(map[string]any)
	if about["alt"] != "1 picture: A dot" || about["width"] != 60 {
		t.Errorf("a figure's metadata are %v", about)
	}
	for i, cells := range map[int][]string{
		2: {`left">net &lt;b&gt;</th>`, `right">accuracy, %</th>`, `left">FC &amp; co</td>`, `right">94.12</td>`, `right">14,000</td>`},
		3: {`left">output</th>`, `left">24×24×6</td>`},
	} {
		html := fmt.Sprint(displays[i].Data[protocol.MIMETextHTML])
		for _, cell := range cells {
			if !strings.Contains(html, cell) {
				t.Errorf("table %d has no %s: %s", i, cell, html)
			}
		}
	}
}

// What was shown before an error has arrived when the cell ends, and nothing that stands after it.
func TestErrorInANotebook(t *testing.T) {
	p := notebook(t, "figure")
	if len(p.Displays) != 1 || p.Displays[0].Data[protocol.MIMETextPlain] != "before" {
		t.Errorf("displayed %v", p.Displays)
	}
	if want := "error: chart \"T\" has no name for each axis: set X and Y\n"; p.Printed != want {
		t.Errorf("printed %q, want %q", p.Printed, want)
	}
}

// A kernel that is gone is an error, not a wait without end.
func TestNoKernel(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	c := command("show", protocol.GONB_PIPE_ENV+"="+gone, protocol.GONB_PIPE_BACK_ENV+"="+gone)
	limit := time.AfterFunc(20*time.Second, func() { c.Process.Kill() })
	defer limit.Stop()
	output, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v: %s", err, output)
	}
	if !strings.HasPrefix(string(output), "error: the notebook cannot be reached: ") {
		t.Errorf("printed %q", output)
	}
}
