package sweep_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/initializer"
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

// Of a run that keeps its best epoch, that one counts.
func TestFitWithTheBestEpoch(t *testing.T) {
	wild := task(2, 50) // goes up and down
	wild.Epochs, wild.Keep = 6, train.BestEpoch
	found, err := sweep.Fit([]train.Task{task(1e-6, 50), wild}, 3)
	if err != nil {
		t.Fatal(err)
	}
	highest, last := 0.0, 0.0
	for _, e := range found.Runs()[0].History.Epochs {
		highest, last = max(highest, e.ValidationAccuracy), e.ValidationAccuracy
	}
	_, rows := found.Table()
	if want := fmt.Sprintf("%.2f", highest); highest == last || !slices.Contains(rows[0], want) {
		t.Errorf("the first row is %q, want %s in it and not %.2f", rows[0], want, last)
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
	settings := found.Settings()
	for i, s := range settings {
		accuracies := s.Accuracies()
		a, b := accuracies[0], accuracies[1]
		if len(s.Runs) != 2 || len(s.Diverged) != 0 || s.Mean() != want[i].mean || math.Abs(s.Deviation()-math.Abs(a-b)/math.Sqrt2) > 1e-9 {
			t.Errorf("setting %d: %v with mean %v and deviation %v, want %v", i, accuracies, s.Mean(), s.Deviation(), want[i])
		}
	}
	best := found.Best()
	if best.Batch != settings[0].Task.Batch || found.Runs()[0] != settings[0].Runs[0] {
		t.Error("the best setting is not the first")
	}
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
	if worst := found.Settings()[2]; len(worst.Runs) != 0 || len(worst.Diverged) != 2 || !math.IsNaN(worst.Mean()) {
		t.Errorf("of the worst setting %d trainings diverged, with the mean %v", len(worst.Diverged), worst.Mean())
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

// A setting that diverges with a later seed differs from the others in what it differed in before, and not in that seed.
func TestSettingsThatDivergeWithSomeSeeds(t *testing.T) {
	explosive := nn.ModelFunc("explosive", func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope = scope.WithInitializer(initializer.RandomUniformFn(scope, -1, 1))
		drawn := scope.VariableWithShape("drawn", shapes.Make(dtypes.Float32)).NodeValue(x)
		huge := graph.GreaterThan(drawn, graph.ScalarZero(x.Graph(), x.DType())) // by the seed
		return graph.Mul(x, graph.Where(huge, graph.Const(x.Graph(), float32(1e25)), graph.ScalarOne(x.Graph(), x.DType())))
	})
	of := func(rate float64, seed int) train.Task {
		t := task(rate, 50)
		t.Net, t.Seed = nn.Named("Explosive", nn.Flatten, nn.Dense(10), explosive), seed
		return t
	}
	good, bad := 0, 0
	for seed := 1; good*bad == 0 && seed <= 10; seed++ {
		if _, err := of(0.05, seed).Fit(); errors.As(err, new(train.Diverged)) {
			bad = seed
		} else if err == nil {
			good = seed
		}
	}
	found, err := sweep.Fit([]train.Task{of(1e-30, 1), of(0.05, 1)}, good, bad)
	if err != nil {
		t.Fatal(err)
	}
	head, rows := found.Table()
	if fmt.Sprint(head) != "[lr validation, % ± seeds]" || rows[0][3] != "2" || rows[1][3] != "1, 1 diverged" {
		t.Errorf("the table is %q, %q", head, rows)
	}
}

// What an error leaves has no best setting, and says so where it is used.
func TestNoResults(t *testing.T) {
	none, _ := sweep.Fit(nil, 1)
	if _, err := none.Best().Fit(); err == nil || err.Error() != "the task has no network: set Net, such as zoo.CNN(6)" {
		t.Errorf("error %v of the best task", err)
	}
	if head, rows := none.Table(); len(none.Runs()) != 0 || len(none.Settings()) != 0 || len(head) != 3 || len(rows) != 0 {
		t.Errorf("runs %v, table %v %v", none.Runs(), head, rows)
	}
	if _, err := none.Chart().PNG(); err == nil {
		t.Error("a chart of nothing")
	}
	if s := (sweep.Setting{}); !math.IsNaN(s.Mean()) || !math.IsNaN(s.Deviation()) {
		t.Errorf("no runs have the mean %v and the deviation %v", s.Mean(), s.Deviation())
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
		"seed 2 is given twice":                        func() (sweep.Results, error) { return sweep.Fit([]train.Task{task(0.1, 50)}, 1, 2, 2) },
		"task 2 has no validation images to choose by": func() (sweep.Results, error) { return sweep.Fit([]train.Task{task(0.1, 50), blind}, 1) },
		"task 1: batch is 0: it must be at least 1":    func() (sweep.Results, error) { return sweep.Fit([]train.Task{wrong}, 1) },
	} {
		if _, err := fit(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// A task that shows no progress of its own says at its end what tells it from the others.
func ExampleFit_progress() {
	one, two := task(0.01, 25), task(0.01, 50)
	one.Net = nn.Named("Zero", nn.Flatten, nn.Dense(10), nn.Times(0)) // always the same class
	two.Net = one.Net
	cell.Must(sweep.Fit([]train.Task{one, two}, 7, 8)) // is stored, so the ones below are told without a word more
	one.Progress, two.Progress = nil, nil
	cell.Must(sweep.Fit([]train.Task{one, two}, 7, 8))
	cell.Must(sweep.Fit([]train.Task{one}, 7))
	// Output:
	// training 1 of 4, batch 25, seed 7: 9.82 % of the validation images
	// training 2 of 4, batch 50, seed 7: 9.82 % of the validation images
	// training 3 of 4, batch 25, seed 8: 9.82 % of the validation images
	// training 4 of 4, batch 50, seed 8: 9.82 % of the validation images
	// training 1 of 1, seed 7: 9.82 % of the validation images
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
