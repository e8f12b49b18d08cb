package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

var ledgerFile = filepath.Join("figures", "ledger.jsonl")

// Row is what a training reached: a line of the ledger.
type Row struct {
	Work
	Parameters int               `json:"parameters"`
	Accuracy   float64           `json:"accuracy"`            // of the test images, percent
	TwoLooks   float64           `json:"two_looks,omitempty"` // accuracy if each test image is looked at from both sides
	Loss       float64           `json:"loss"`                // of the test images
	TrainLoss  float64           `json:"train_loss"`          // of the last epoch, while the network changed
	Seconds    float64           `json:"seconds"`             // of training, without compiling in advance and testing
	Others     *float64          `json:"others"`              // processors that other programs kept busy meanwhile; null: not known
	Device     string            `json:"device"`
	Processor  string            `json:"processor,omitempty"`
	Vectors    string            `json:"vectors,omitempty"`
	Cores      int               `json:"cores,omitempty"`
	Versions   map[string]string `json:"versions"`
	Date       string            `json:"date"`
	Commit     string            `json:"commit,omitempty"` // of the source; a plus sign: and what was not committed
}

// quiet reports whether its seconds may be quoted: a processor computed, and nothing else took a tenth of it.
func (r Row) quiet() bool { return !r.onGPU() && r.Others != nil && *r.Others < 0.1 }

// onGPU reports whether a GPU computed it.
func (r Row) onGPU() bool { return strings.Contains(r.Device, "cuda") }

// ledger is the rows that count.
type ledger struct {
	path   string
	series map[string][]Row // the rows of a training with all its seeds, in their order, by Work.series
}

// readLedger reads it; one that is not there is empty.
func readLedger(path string) (*ledger, error) {
	l := &ledger{path: path}
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for i, line := range bytes.Split(bytes.TrimSpace(content), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		var r Row
		if err := decoder.Decode(&r); err != nil || decoder.More() || r.Who == "" {
			return nil, fmt.Errorf("%s, line %d is no row: take it out, and make claims does that training again", path, i+1)
		}
		if r.Format >= formats[r.Who] {
			l.put(r)
		}
	}
	return l, nil
}

// put takes rows, but none of a training that has one.
func (l *ledger) put(rows ...Row) {
	if l.series == nil {
		l.series = map[string][]Row{}
	}
	for _, r := range rows {
		series := r.series()
		if at, known := place(l.series[series], r.Work); !known {
			l.series[series] = slices.Insert(l.series[series], at, r)
		}
	}
}

// find returns the training's row.
func (l *ledger) find(w Work) (Row, bool) {
	rows := l.series[w.series()]
	at, known := place(rows, w)
	if !known {
		return Row{}, false
	}
	return rows[at], true
}

// place is where a training's row is, or belongs, among those of its series.
func place(rows []Row, w Work) (at int, there bool) {
	return slices.BinarySearchFunc(rows, w, func(r Row, w Work) int {
		return cmp.Or(cmp.Compare(r.Seed, w.Seed), cmp.Compare(r.Format, w.Format))
	})
}

// rows are all of them, in their order: those that differ in nothing but who and seed stand together.
func (l *ledger) rows() (all []Row) {
	for _, series := range slices.Sorted(maps.Keys(l.series)) {
		all = append(all, l.series[series]...)
	}
	return all
}

// add puts a row into the file, unless the training has one; others may have added theirs meanwhile.
func (l *ledger) add(row Row) error {
	lock := flock.New(l.path + ".lock")
	if err := lock.Lock(); err != nil {
		return err
	}
	defer lock.Unlock()
	fresh, err := readLedger(l.path)
	if err != nil {
		return err
	}
	fresh.put(row)
	var content []byte
	for _, r := range fresh.rows() {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		content = append(append(content, line...), '\n')
	}
	l.series = fresh.series
	return renameio.WriteFile(l.path, content, 0o644)
}

// series identifies the training but for its seed and its format.
func (w Work) series() string {
	return fmt.Sprintf("%s|%s|%s|%s", w.Data.Set, w.Network, w.group(), w.Who)
}

// group identifies the training but for who and seed.
func (w Work) group() string {
	w.Who, w.Format, w.Seed = "", 0, 0
	return w.key()
}

// of lists the rows of a training with the seeds 1 to n. The training's own seed does not matter.
func (l *ledger) of(w Work, n int) (rows []Row, whole bool) {
	for _, r := range l.every(w) {
		if r.Format == w.Format && r.Seed >= 1 && r.Seed <= n {
			rows = append(rows, r)
		}
	}
	return rows, len(rows) == n
}

// every lists all rows of a training, whatever their seeds.
func (l *ledger) every(w Work) []Row { return l.series[w.series()] }

// estimate is how long a training will take on an idle machine: as long as the same with other seeds did, or else what
// was once measured on two cores.
func (l *ledger) estimate(w Work) time.Duration {
	var seconds []float64
	for _, r := range l.every(w) {
		if r.quiet() {
			seconds = append(seconds, r.Seconds)
		}
	}
	if len(seconds) > 0 {
		return time.Duration(mean(seconds)*float64(time.Second)) + 2*time.Second // for data and programs
	}
	images := w.Data.First
	if w.Data.PerClass > 0 {
		images = w.Data.PerClass * len(w.Data.Classes)
	}
	if images == 0 {
		images = map[string]int{"MNIST": 60000, "CIFAR-10": 50000}[w.Data.Set]
	}
	perEpoch := costs[w.Network] * float64(images) / 10000
	if w.Who == peers {
		perEpoch *= 1.4
	}
	return time.Duration(float64(w.Recipe.Epochs)*perEpoch*float64(time.Second)) + 3*time.Second
}

// costs are seconds for 10,000 training images on two cores, about.
var costs = map[string]float64{
	"FC2Layer": 0.03, "CNN": 0.25, "Net": 0.45, "VGG16": 25, "SpeedNet": 33, withoutNorm: 22, withReLU: 33,
	"plain-6": 1.5, "plain-14": 3, "plain-26": 6, "plain-50": 11,
	"residual-6": 1.5, "residual-14": 3, "residual-26": 6, "residual-50": 11,
}
