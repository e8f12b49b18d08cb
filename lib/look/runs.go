package look

import (
	"fmt"
	"strings"

	"example.org/convbook/lib/figure"
	"example.org/convbook/lib/train"
)

// Listing is a table of stored runs, for cell.Show.
type Listing struct{ runs []train.Stored }

// Runs lists what was trained of a network, the latest first: what differs between the runs as columns, how well they
// do, and when they were trained.
//
//	cell.Show(cell.Must(look.Runs("VGG16")))
func Runs(network string) (Listing, error) {
	stored, err := train.Runs()
	if err != nil {
		return Listing{}, err
	}
	var l Listing
	for _, s := range stored {
		if s.Result.Network == network {
			l.runs = append(l.runs, s)
		}
	}
	if len(l.runs) == 0 {
		return l, fmt.Errorf("no run of %s is stored: train one with Fit first, or name another network", network)
	}
	return l, nil
}

// Table is the columns' names and the rows as cell.Show takes them.
func (l Listing) Table() (head []string, rows [][]string) {
	settings, values := train.Differences(l.runs...)
	validated := train.Validated(l.runs...)
	head = append([]string{"run"}, settings...)
	if validated != nil {
		head = append(head, "validation, %")
	}
	head = append(head, "accuracy, %", "training, s", "date", "state")
	for i, s := range l.runs {
		accuracy, seconds := s.Outcome()
		row := append([]string{s.Title()}, values[i]...)
		if validated != nil {
			row = append(row, validated[i])
		}
		rows = append(rows, append(row, accuracy, seconds, s.Date.Local().Format(train.TimeLayout), s.Status()))
	}
	return head, rows
}

// Stored draws how some finished runs on disk went, a curve for each. They are named as for [train.FindAll]. In the
// legend, a run to which the user gave no name is described by what differs between them.
//
//	look.Stored(look.TestAccuracy, look.ByEpoch, "my best", "VGG16-CIFAR-10-4ed1")
func Stored(what Measure, by By, names ...string) figure.Figure {
	runs, err := train.FindAll(names...)
	if err != nil {
		return figure.Failed(err)
	}
	settings, values := train.Differences(runs...)
	var all []curve
	for i, run := range runs {
		history, err := run.History()
		if err != nil {
			return figure.Failed(err)
		}
		var parts []string
		for k, setting := range settings {
			parts = append(parts, setting+" "+values[i][k])
		}
		label := strings.Join(parts, ", ")
		if run.Name != "" || label == "" {
			label = run.Title()
		}
		all = append(all, curve{label, history, run.Result.ValidationImages > 0})
	}
	return curves(what, by, all)
}
