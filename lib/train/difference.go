package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train/internal/store"
)

// known is what a run's config.json says. The network stays as it stands there.
type known struct {
	description
	Network json.RawMessage `json:"network"`
}

// knownOf reads a config.json. What is not in it is not compared, and nothing is known without a run.
func knownOf(place *store.Run) (k known) {
	if place == nil {
		return k
	}
	_ = json.Unmarshal(place.About(), &k)
	return k
}

// Differs says in one line what is different from another run: "lr 0.001 → 0.003, the rest the same". It is empty if
// all settings are the same.
func (r *Run) Differs(from *Run) string { return difference(from.place(), r.place()) }

// difference says in one line what differs between two runs, which need not be trained yet.
func difference(from, to *store.Run) string {
	different := differences(from, to)
	if len(different) == 0 {
		return ""
	}
	var parts []string
	for _, s := range different {
		parts = append(parts, fmt.Sprintf("%s %s → %s", s.name, s.values[0], s.values[1]))
	}
	return strings.Join(append(parts, "the rest the same"), ", ")
}

// Differences are the settings in which the runs are not all alike, and for each run its values of them.
func Differences(runs ...Stored) (settings []string, values [][]string) {
	var places []*store.Run
	for _, s := range runs {
		places = append(places, s.place)
	}
	values = make([][]string, len(runs))
	for _, s := range differences(places...) {
		settings = append(settings, s.name)
		for run, value := range s.values {
			values[run] = append(values[run], value)
		}
	}
	return settings, values
}

// TaskDifferences are the settings in which tasks, which need not be trained yet, are not all alike, and for each task its
// values of them.
func TaskDifferences(tasks ...Task) (settings []string, values [][]string, err error) {
	var runs []Stored
	for i, t := range tasks {
		p, err := t.plan(context.Background())
		if err != nil {
			return nil, nil, fmt.Errorf("task %d: %w", i+1, err)
		}
		runs = append(runs, Stored{place: p.place})
	}
	settings, values = Differences(runs...)
	return settings, values, nil
}

// setting is something that decides a run's result, and what it is in each of some runs, for people.
type setting struct {
	name   string
	values []string
}

func (s setting) differs() bool {
	return slices.ContainsFunc(s.values, func(value string) bool { return value != s.values[0] })
}

// each is the setting whose value is of each thing what value says, or none without one.
func each[T any](name, none string, things []T, value func(T) any) setting {
	s := setting{name: name}
	for _, thing := range things {
		text := strings.Trim(fmt.Sprint(value(thing)), "[]")
		if text == "" || text == "0" || text == "<nil>" {
			text = none
		}
		s.values = append(s.values, text)
	}
	return s
}

// differences are the settings in which the runs are not all alike, always in the same order.
func differences(places ...*store.Run) (different []setting) {
	var runs []known
	for _, place := range places {
		runs = append(runs, knownOf(place))
	}
	for _, s := range described {
		if s := each(s.name, s.none, runs, s.of); s.differs() {
			different = append(different, s)
		}
	}
	// The same images were taken from the data set, but it has changed.
	taken := each("", "", runs, func(k known) any { return k.Data })
	contents := each("contents", "", runs, func(k known) any { return sumOf([]byte(strings.Join(k.Contents, "\n"))) })
	if !taken.differs() && contents.differs() {
		different = append(different, contents)
	}
	return append(different, networks(runs)...)
}

// described are all settings but what is in the network, and what they are called where they have no value.
var described = []struct {
	name, none string
	of         func(known) any
}{
	{"network", "none", func(k known) any { return k.Name }},
	{"lr", "0", func(k known) any { return k.Recipe.Rate }},
	{"epochs", "0", func(k known) any { return k.Recipe.Epochs }},
	{"batch", "0", func(k known) any { return k.Recipe.Batch }},
	{"loss", "none", func(k known) any { return k.Recipe.Loss }},
	{"loss's operations", "none", func(k known) any { return brief(k.Recipe.LossSum) }},
	{"label smoothing", "none", func(k known) any { return k.Recipe.Smoothing }},
	{"optimizer", "none", func(k known) any { return k.Recipe.Optimizer }},
	{"optimizer's operations", "none", func(k known) any { return brief(k.Recipe.UpdateSum) }},
	{"momentum", "none", func(k known) any { return k.Recipe.Momentum }},
	{"filters turn by", "none", func(k known) any { return k.Recipe.Turn }},
	{"weight decay", "none", func(k known) any { return k.Recipe.Decay }},
	{"L2 penalty", "none", func(k known) any { return k.Recipe.WeightDecay }},
	{"clip norm", "none", func(k known) any { return k.Recipe.Clip }},
	{"schedule", "none", func(k known) any { return k.Recipe.Schedule }},
	{"warm-up", "none", func(k known) any { return k.Recipe.WarmUp }},
	{"schedule's values", "none", func(k known) any { return brief(k.Recipe.ScheduleSum) }},
	{"precision", "float32", func(k known) any { return k.Recipe.Precision }},
	{"weights kept", "last epoch", func(k known) any { return k.Recipe.Keep }},
	{"patience", "none", func(k known) any { return k.Recipe.Patience }},
	{"data", "none", func(k known) any { return k.Data.Name }},
	{"classes", "all", func(k known) any { return k.Data.Classes }},
	{"images of each class", "all", func(k known) any { return k.Data.PerClass }},
	{"drawn by seed", "0", func(k known) any { return k.Data.PerClassSeed }},
	{"training images", "all", func(k known) any { return k.Data.First }},
	{"test images", "all", func(k known) any { return k.Data.FirstTest }},
	{"validation images", "none", func(k known) any {
		if k.Data.OwnValidation {
			return "its own"
		}
		return k.Data.Validation
	}},
	{"mean", "none", func(k known) any { return k.Data.Mean }},
	{"std", "none", func(k known) any { return k.Data.Std }},
	{"permutation", "none", func(k known) any { return brief(k.Data.Permutation) }},
	{"augmentation", "none", func(k known) any {
		var names []string
		for _, a := range k.Data.Augmentations {
			names = append(names, a.String())
		}
		return strings.Join(names, " and ")
	}},
	{"start", "random weights", func(k known) any { return brief(k.Start) }},
	{"frozen", "none", func(k known) any { return k.Recipe.Freeze }},
	{"start rate", "1", func(k known) any { return k.Recipe.StartRate }},
	{"last layer", "new", func(k known) any {
		if k.Recipe.StartLast {
			return "kept"
		}
		return ""
	}},
	{"seed", "0", func(k known) any { return k.Recipe.Seed }},
}

// brief is the beginning of a sum, enough to tell it from others.
func brief(sum string) string { return sum[:min(8, len(sum))] }

func sumOf(text []byte) string { return brief(fmt.Sprintf("%x", sha256.Sum256(text))) }

// mostLayers is how many settings of layers are worth naming. Networks that differ in more are told apart by size.
const mostLayers = 3

// networks are the settings in which the runs' networks are not all alike.
func networks(runs []known) []setting {
	texts := each("layers' settings", "none", runs, func(k known) any {
		var text bytes.Buffer
		_ = json.Compact(&text, k.Network) // it was read already
		return sumOf(text.Bytes())
	})
	if len(runs) == 0 || !texts.differs() {
		return nil
	}
	var flat []flatNetwork
	for _, k := range runs {
		flat = append(flat, flatten(k.Network))
	}
	different := layers(flat)
	if n := len(different); n > 0 && n <= mostLayers {
		return different
	}
	size := each("parameters", "none", flat, func(f flatNetwork) any { return f.parameters })
	if size.differs() {
		return []setting{size}
	}
	return []setting{texts}
}

// layers are the settings in which some networks differ: the number of their layers, or else the kinds of these, or
// else what is set of them.
func layers(flat []flatNetwork) (different []setting) {
	number := each("layers", "none", flat, func(f flatNetwork) any { return len(f.kinds) })
	if number.differs() {
		return []setting{number}
	}
	for i := range flat[0].kinds {
		kind := each(fmt.Sprintf("layer %d", i+1), "none", flat, func(f flatNetwork) any { return f.kinds[i] })
		if kind.differs() {
			different = append(different, kind)
		}
	}
	if len(different) > 0 {
		return different
	}
	names := map[string]bool{}
	for _, f := range flat {
		for name := range f.settings {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if s := each(name, "none", flat, func(f flatNetwork) any { return f.settings[name] }); s.differs() {
			different = append(different, s)
		}
	}
	return different
}

// flatNetwork is a network as a list: its layers' kinds, blocks before what is in them, and all that is set of them.
type flatNetwork struct {
	kinds      []string
	settings   map[string]any // by names like conv2 filters
	counts     map[string]int // of each kind
	parameters int
}

func flatten(text json.RawMessage) flatNetwork {
	f := flatNetwork{settings: map[string]any{}, counts: map[string]int{}}
	var network struct {
		Layers    []any
		Variables []nn.Variable
	}
	_ = json.Unmarshal(text, &network) // what is not there is not compared
	for _, v := range network.Variables {
		if v.Trainable {
			f.parameters += v.Size()
		}
	}
	f.add(network.Layers)
	return f
}

// add adds layers as config.json has them.
func (f *flatNetwork) add(layers []any) {
	for _, l := range layers {
		layer, _ := l.(map[string]any)
		kind := fmt.Sprint(layer["kind"])
		f.kinds = append(f.kinds, kind)
		f.counts[kind]++
		for key, value := range layer {
			if key != "kind" && key != "layers" {
				f.settings[fmt.Sprintf("%s%d %s", kind, f.counts[kind], strings.ReplaceAll(key, "_", " "))] = value
			}
		}
		if inside, ok := layer["layers"].([]any); ok {
			f.add(inside)
		}
	}
}
