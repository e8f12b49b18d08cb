// Package sweep trains a network with several settings, each with several seeds, and tells which does best on validation
// images.
//
//	found := cell.Must(sweep.Fit(tasks, 1, 2, 3))
//	cell.Show(found, found.Chart())
//	best := found.Best()
//
// It does one training after another. For more than one machine or one core there is `make sweep`.
package sweep

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/train"
)

// Results are the settings from best to worst: those of which no training diverged first, and then by their mean
// accuracy on the validation images. [Fit] gives them, with at least one setting; the zero value has none.
type Results struct {
	names    []string // of the settings that are not the same in all
	settings []Setting
}

// Setting is a task with what its trainings gave, one for each seed.
type Setting struct {
	Task     train.Task     // with its own seed
	Runs     []*train.Run   // those that came to their end, in the order of the seeds
	Diverged []train.Stored // what the others left

	dir    string   // of the training with the first seed
	values []string // of what Results names
}

// Accuracies are those of the runs on the validation images, in percent: after the last epoch or the one that a run keeps.
func (s Setting) Accuracies() (all []float64) {
	for _, run := range s.Runs {
		all = append(all, run.Result.ValidationAccuracy)
	}
	return all
}

// Mean is the mean of the accuracies, and NaN where all trainings diverged.
func (s Setting) Mean() float64 { return stat.Mean(s.Accuracies(), nil) }

// Deviation is the standard deviation of the accuracies, how far one run typically is from the mean: the root of the sum
// of squared differences divided by one less than their number. It is NaN for fewer than two runs.
func (s Setting) Deviation() float64 {
	if len(s.Runs) < 2 {
		return math.NaN()
	}
	return stat.StdDev(s.Accuracies(), nil)
}

// Fit trains each task with each of the seeds, all tasks with the first seed first. What is stored already is not trained
// again. A task that shows no progress of its own prints a line when it is done, with what tells it from the others.
//
// The seeds are those that are given here, whatever a task's own is, so no two tasks may differ in that only.
//
// A training that diverges, as with a learning rate that is too high, is counted, and the others go on. It is an error
// if all do.
//
// Every task needs a validation split: whoever chooses by the test images has none left to tell what the choice is worth.
func Fit(tasks []train.Task, seeds ...int) (Results, error) {
	if err := check(tasks, seeds); err != nil {
		return Results{}, err
	}
	found, err := describe(tasks, seeds[0])
	if err != nil {
		return Results{}, err
	}
	for s, seed := range seeds {
		for i, task := range tasks {
			task.Seed = seed
			if task.Progress == nil {
				words := append(found.words(found.settings[i]), fmt.Sprint("seed ", seed))
				task.Progress = counted{s*len(tasks) + i + 1, len(seeds) * len(tasks), strings.Join(words, ", ")}
			}
			if err := found.settings[i].fit(task); err != nil {
				return Results{}, fmt.Errorf("setting %d with seed %d: %w", i+1, seed, err)
			}
			same := func(other Setting) bool { return other.dir == found.settings[i].dir }
			if k := slices.IndexFunc(found.settings[:i], same); s == 0 && k >= 0 {
				return Results{}, fmt.Errorf("tasks %d and %d are the same but for their seeds: leave one out", k+1, i+1)
			}
		}
	}
	if !slices.ContainsFunc(found.settings, func(s Setting) bool { return len(s.Runs) > 0 }) {
		return Results{}, errors.New("all trainings diverged: try learning rates of a tenth")
	}
	slices.SortStableFunc(found.settings, func(a, b Setting) int {
		return cmp.Or(cmp.Compare(len(b.Runs), len(a.Runs)), cmp.Compare(b.Mean(), a.Mean()))
	})
	return found, nil
}

// fit trains the setting's task with one of the seeds.
func (s *Setting) fit(task train.Task) error {
	run, err := task.Fit()
	if diverged := (train.Diverged{}); errors.As(err, &diverged) {
		s.Diverged = append(s.Diverged, diverged.Run)
		s.dir = cmp.Or(s.dir, diverged.Run.Dir)
		return nil
	}
	if err == nil {
		s.Runs = append(s.Runs, run)
		s.dir = cmp.Or(s.dir, run.Dir())
	}
	return err
}

func check(tasks []train.Task, seeds []int) error {
	switch {
	case len(tasks) == 0:
		return errors.New("there are no tasks to choose from: add some to the list")
	case len(seeds) == 0:
		return errors.New("no seed is given: name some, as in sweep.Fit(tasks, 1, 2, 3)")
	}
	for i, seed := range seeds {
		if slices.Contains(seeds[:i], seed) {
			return fmt.Errorf("seed %d is given twice: it would give the same network again", seed)
		}
	}
	for i, task := range tasks {
		if !task.Data.HasValidation() {
			return fmt.Errorf("task %d has no validation images to choose by: keep some back with Data.Validate(5000)", i+1)
		}
	}
	return nil
}

// describe finds what differs between the tasks, each with this seed.
func describe(tasks []train.Task, seed int) (r Results, err error) {
	tasks = slices.Clone(tasks)
	r.settings = make([]Setting, len(tasks))
	for i := range tasks {
		r.settings[i].Task = tasks[i]
		tasks[i].Seed = seed
	}
	names, values, err := train.TaskDifferences(tasks...)
	if err != nil {
		return Results{}, err
	}
	r.names = names
	for i := range r.settings {
		r.settings[i].values = values[i]
	}
	return r, nil
}

// words are what tells a setting from the others, such as "lr 0.001".
func (r Results) words(s Setting) (words []string) {
	for i, name := range r.names {
		words = append(words, name+" "+s.values[i])
	}
	return words
}

// Settings are all of them, from best to worst.
func (r Results) Settings() []Setting { return slices.Clone(r.settings) }

// best is the best setting, and an empty one if there is none.
func (r Results) best() Setting {
	if len(r.settings) == 0 {
		return Setting{}
	}
	return r.settings[0]
}

// Best is the task of the best setting, with its own seed. Without any setting it is the empty task, which cannot be
// trained.
func (r Results) Best() train.Task { return r.best().Task }

// Runs are the trainings of the best setting, in the order of the seeds.
func (r Results) Runs() []*train.Run { return r.best().Runs }

// Table is the columns' names and the rows as cell.Show takes them: what differs between the settings, the mean of their
// accuracies on the validation images, and the standard deviation over the seeds, of which some may have diverged.
func (r Results) Table() (head []string, rows [][]string) {
	head = append(slices.Clone(r.names), "validation, %", "±", "seeds")
	for _, s := range r.settings {
		mean, deviation, seeds := "–", "–", fmt.Sprint(len(s.Runs))
		if len(s.Runs) > 0 {
			mean = fmt.Sprintf("%.2f", s.Mean())
		}
		if len(s.Runs) > 1 {
			deviation = fmt.Sprintf("%.2f", s.Deviation())
		}
		if n := len(s.Diverged); n > 0 {
			seeds += fmt.Sprintf(", %d diverged", n)
		}
		rows = append(rows, append(slices.Clone(s.values), mean, deviation, seeds))
	}
	return head, rows
}

// Chart draws the accuracies on the validation images: a dot for each seed, a line at the mean of each setting, but for
// those of which all trainings diverged.
func (r Results) Chart() figure.Figure {
	var labels []string
	var values [][]float64
	for _, s := range r.settings {
		if len(s.Runs) == 0 {
			continue
		}
		labels = append(labels, strings.Join(r.words(s), "\n"))
		values = append(values, s.Accuracies())
	}
	return figure.Spread(figure.Chart{
		Title: "Each setting with its seeds, and their mean", X: "setting, the best at the left",
		Y: "accuracy on the validation images, %", Width: 760,
	}, labels, values)
}

// counted prints a line at the end of one of several trainings.
type counted struct {
	number, of int
	setting    string
}

// Tell implements [train.Progress].
func (c counted) Tell(e train.Event) {
	switch e := e.(type) {
	case train.Ended:
		if e.Err == nil {
			fmt.Printf("training %d of %d, %s: %.2f %% of the validation images\n", c.number, c.of, c.setting, e.ValidationAccuracy)
		}
		if errors.As(e.Err, new(train.Diverged)) {
			fmt.Printf("training %d of %d, %s: %v\n", c.number, c.of, c.setting, e.Err)
		}
	case train.Noted:
		fmt.Println(e.Text)
	}
}
