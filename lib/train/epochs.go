package train

import (
	"encoding/json"
	"fmt"
	"os"
)

// epochsEnv names a file to which Fit adds a line after each epoch, as JSON: the run's folder, which epoch it was, and
// where the run stood then. It tells whoever runs a notebook how its trainings go while they do. Epochs that were done
// before are noted at once.
const epochsEnv = "CONVBOOK_EPOCHS"

// epochLine is what stands in the file.
type epochLine struct {
	Dir     string `json:"dir"`
	Network string `json:"network"`
	Epoch   int    `json:"epoch"` // from 1
	Epochs  int    `json:"epochs"`
	Kept    int    `json:"kept,omitempty"` // the epoch whose weights the run would have if it ended here, if another one
	EpochHistory
}

// noting is a Progress that also notes every epoch in a file.
type noting struct {
	Progress
	file string
	plan *plan
	done []EpochHistory
}

// noted is the progress, with epochs noted if somebody asks for it.
func (p *plan) noted() Progress {
	if file := os.Getenv(epochsEnv); file != "" {
		return &noting{Progress: p.Progress, file: file, plan: p}
	}
	return p.Progress
}

func (n *noting) Tell(e Event) {
	n.Progress.Tell(e)
	switch e := e.(type) {
	case Started:
		n.done = nil
	case Resumed:
		for _, h := range e.History.Epochs {
			n.add(e.Training, h)
		}
	case Tested:
		n.add(e.Training, e.EpochHistory)
	}
}

// add adds the line of an epoch. Where that is not possible the training goes on and says so.
func (n *noting) add(about Training, h EpochHistory) {
	n.done = append(n.done, h)
	line := epochLine{n.plan.place.Dir(), about.Network, len(n.done), about.Epochs, 0, h}
	if kept := n.plan.kept(n.done) + 1; kept != line.Epoch {
		line.Kept = kept
	}
	if err := addLine(n.file, line); err != nil {
		n.Progress.Tell(Noted{Text: fmt.Sprintf("cannot note epoch %d in the file that %s names: %v: make it writable or unset %[2]s",
			line.Epoch, epochsEnv, err)})
	}
}

// addLine adds a value to a file as a line of JSON, in one piece, since other processes may add theirs at the same time.
func addLine(path string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := file.Write(append(text, '\n')); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
