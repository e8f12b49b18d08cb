package sweep_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"

	"example.org/convbook/lib/cell"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/sweep"
	"example.org/convbook/lib/train"
)

// What is trained is not kept.
func TestMain(m *testing.M) {
	runs, err := os.MkdirTemp("", "sweep-")
	if err != nil {
		panic(err)
	}
	os.Setenv(train.RunsEnv, runs)
	code := m.Run()
	os.RemoveAll(runs)
	os.Exit(code)
}

// task is a training of a second.
func task(rate float64, batch int) train.Task {
	return train.Task{
		Net:    nn.Named("Linear", nn.Flatten, nn.Dense(10)),
		Data:   sample.MNIST().Normalize(0.1307, 0.3081).Validate(112),
		Config: train.Config{Epochs: 2, Batch: batch, Optimizer: train.SGD(rate, 0), Progress: train.Quiet},
	}
}

// The settings come out by the means of what each of their trainings says by itself, the best on top.
func TestFit(t *testing.T) {
	tasks := []train.Task{task(1e-6, 50), task(0.05, 50), task(0.01, 25)}
	found, err := sweep.Fit(tasks, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		setting string
		mean    float64
		text    string
	}
	var want []row
	for _, task := range tasks {
		var accuracies []float64
		for _, seed := range []int{3, 4} {
			task.Seed = seed
			run, err := task.Load()
			if err != nil {
				t.Fatal(err)
			}
			accuracies = append(accuracies, run.History.Epochs[1].ValidationAccuracy)
		}
		mean := (accuracies[0] + accuracies[1]) / 2
		setting := fmt.Sprintf("%v %d", []float64{1e-6, 0.05, 0.01}[len(want)], task.Batch)
		want = append(want, row{setting, mean, fmt.Sprintf("%s %.2f %.2f 2", setting, mean, stat.StdDev(accuracies, nil))})
	}
	slices.SortFunc(want, func(a, b row) int {
		if a.mean > b.mean {
			return -1
		}
		return 1
	})
	head, rows := found.Table()
	if got := strings.Join(head, "|"); got != "lr|batch|validation, %|±|seeds" {
		t.Errorf("the columns are %s", got)
	}
	for i, row := range rows {
		if got := strings.Join(row, " "); got != want[i].text {
			t.Errorf("row %d is %q, want %q", i, got, want[i].text)
		}
	}
	if last := rows[2][0]; last != "1e-06" {
		t.Errorf("a rate of %s is the worst, and not the one that learns nothing", last)
	}
	best := found.Best()
	best.Seed = 4
	if run, err := best.Load(); err != nil || run.Dir() != found.Runs()[1].Dir() {
		t.Errorf("the best task's second run is another one: %v", err)
	}
	chart := found.Chart()
	if _, err := chart.PNG(); err != nil || !strings.Contains(chart.Alt, "; lr 1e-06 batch 50 mean ") {
		t.Errorf("the chart says %q: %v", chart.Alt, err)
	}
}

// A rate that is too high is a row of the table, whatever its place in the list, and no end of the others.
func TestSettingsThatDiverge(t *testing.T) {
	tasks := []train.Task{task(1e38, 50), task(0.05, 50), task(1e-6, 50)}
	found, err := sweep.Fit(tasks, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := sweep.Fit(tasks[1:], 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	_, rows := found.Table()
	_, want := alone.Table()
	want = append(want, []string{"1e+38", "–", "–", "0, 2 diverged"})
	if fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("the table is %v, want %v", rows, want)
	}
	if chart := found.Chart(); strings.Contains(chart.Alt, "1e+38") || strings.Contains(chart.Alt, "NaN") {
		t.Errorf("the chart says %q", chart.Alt)
	}
	_, err = sweep.Fit([]train.Task{tasks[0], tasks[0]}, 3, 4)
	if err == nil || !strings.Contains(err.Error(), "tasks 1 and 2 are the same but for their seeds") {
		t.Errorf("error %v of one that diverges twice", err)
	}
	if _, err := sweep.Fit(tasks[:1], 3); err == nil || err.Error() != "all trainings diverged: try learning rates of a tenth" {
		t.Errorf("error %v where all diverge", err)
	}
}

func TestWhatCannotBeChosenFrom(t *testing.T) {
	blind := task(0.1, 50)
	blind.Data = blind.Data.Validate(0)
	wrong := task(0.1, 0)
	seeded := task(0.1, 50)
	seeded.Seed = 7
	for want, fit := range map[string]func() (sweep.Results, error){
		"there are no tasks": func() (sweep.Results, error) { return sweep.Fit(nil, 1) },
		"no seed is given":   func() (sweep.Results, error) { return sweep.Fit([]train.Task{task(0.1, 50)}) },
		"tasks 1 and 3 are the same but for their seeds": func() (sweep.Results, error) {
			return sweep.Fit([]train.Task{task(0.1, 50), task(0.01, 50), seeded}, 1, 2)
		},
		"seed 2 is given twice":                                func() (sweep.Results, error) { return sweep.Fit([]train.Task{task(0.1, 50)}, 1, 2, 2) },
		"task 2 has no validation images to choose by":         func() (sweep.Results, error) { return sweep.Fit([]train.Task{task(0.1, 50), blind}, 1) },
		"setting 1 with seed 1: batch is 0: it must be at lea": func() (sweep.Results, error) { return sweep.Fit([]train.Task{wrong}, 1) },
	} {
		if _, err := fit(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// A grid is nested loops over copies of a task.
func ExampleFit() {
	var tasks []train.Task
	for _, lr := range []float64{0.0003, 0.001, 0.003} {
		for _, batch := range []int{32, 64} {
			tasks = append(tasks, task(lr, batch))
		}
	}
	found := cell.Must(sweep.Fit(tasks, 1, 2, 3))
	cell.Show(found, found.Chart())
}
