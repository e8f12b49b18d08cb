package train

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train/internal/store"
)

// deep is a network of some layers before the one that answers.
func deep(name string, units ...int) nn.Layer {
	layers := []nn.Layer{nn.MaxPool(4), nn.Flatten}
	for _, n := range units {
		layers = append(layers, nn.Dense(n), nn.ReLU)
	}
	return nn.Named(name, append(layers, nn.Dense(10), nn.LogSoftmax)...)
}

// A training that starts from another run has its weights, but for the last layer; it is another run than without, and
// than from another one; and it goes on exactly.
func TestStart(t *testing.T) {
	isolate(t)
	before := mustFit(t, quick().of(deep("Before", 12)))
	plain := quick().of(deep("After", 12))
	plain.Seed = 7
	task := plain
	task.Start = before
	drawn, started := initial(t, plain), initial(t, task)
	for name, values := range started {
		want := drawn[name]
		if name == "dense1/weights" || name == "dense1/bias" {
			trained, err := before.Weights(name)
			if err != nil {
				t.Fatal(err)
			}
			want = trained.Float64s()
			if slices.Equal(want, drawn[name]) {
				t.Errorf("%s: nothing was learned", name)
			}
		}
		if !slices.Equal(values, want) {
			t.Errorf("%s begins with %.3v …, want %.3v …", name, values[:5], want[:5])
		}
	}

	other := quick().of(deep("Before", 12))
	other.Seed = 2
	fromOther := task
	fromOther.Start = mustFit(t, other)
	dirs := []string{mustPlan(t, plain).place.Dir(), mustPlan(t, task).place.Dir(), mustPlan(t, fromOther).place.Dir()}
	if slices.Sort(dirs); len(slices.Compact(slices.Clone(dirs))) != 3 {
		t.Errorf("runs with and without a start are %v", dirs)
	}

	var told record
	noted := task
	noted.Progress = &told
	whole := mustFit(t, noted)
	if got := fmt.Sprint(told.events[0]); !strings.Contains(got, "starts with the weights of 1 of the 2 layers that have any; new: dense2") {
		t.Errorf("first it tells %s", got)
	}
	if slices.Equal(whole.History.Losses, mustFit(t, plain).History.Losses) {
		t.Error("the start changed nothing")
	}
	if err := os.RemoveAll(whole.Dir()); err != nil {
		t.Fatal(err)
	}
	checkError(t, interruptAt(t, 5, task), "interrupted")
	resumed := mustFit(t, task)
	if !slices.Equal(resumed.History.Losses, whole.History.Losses) || resumed.Dir() != whole.Dir() {
		t.Errorf("losses %v, without an interruption %v", resumed.History.Losses, whole.History.Losses)
	}
	if loaded, err := task.Load(); err != nil || !slices.Equal(loaded.History.Losses, whole.History.Losses) {
		t.Error(err)
	}

	task.Fresh = true
	if err := os.Remove(inRun(before, store.Model)); err != nil {
		t.Fatal(err)
	}
	_, err := task.FitContext(t.Context())
	checkError(t, err, before.Dir(), store.Model)
}

// Weights from elsewhere begin a training as those of the run do that has them, and another value makes another run.
func TestStartWeights(t *testing.T) {
	isolate(t)
	before := mustFit(t, quick().of(deep("Before", 12)))
	weights := map[string]array.Array{}
	for _, name := range []string{"dense1/weights", "dense1/bias", "dense2/weights", "dense2/bias"} {
		w, err := before.Weights(name)
		if err != nil {
			t.Fatal(err)
		}
		weights[name] = w
	}
	task, fromRun := quick().of(deep("After", 12)), quick().of(deep("After", 12))
	task.Seed, fromRun.Seed = 7, 7
	task.StartWeights, fromRun.Start = weights, before
	want := initial(t, fromRun)
	for name, values := range initial(t, task) {
		if !slices.Equal(values, want[name]) {
			t.Errorf("%s begins with %.3v …, want %.3v …", name, values[:5], want[name][:5])
		}
	}
	run := mustFit(t, task)
	if !slices.Equal(run.History.Losses, mustFit(t, fromRun).History.Losses) {
		t.Error("the same weights give other losses")
	}
	if loaded, err := task.Load(); err != nil || loaded.Dir() != run.Dir() {
		t.Errorf("loaded %v, %v", loaded, err)
	}

	other := task
	other.StartWeights = maps.Clone(weights)
	values := slices.Clone(weights["dense2/bias"].Values)
	values[3]++
	other.StartWeights["dense2/bias"] = array.New(values, weights["dense2/bias"].Dims...)
	if mustPlan(t, other).place.Dir() == run.Dir() {
		t.Error("other weights give the same run")
	}

	for want, wrong := range map[string]array.Array{
		"StartWeights have the value NaN in dense1/bias":    {Dims: []int{1}, Values: []float32{float32(math.NaN())}},
		"StartWeights have the value -Inf in dense1/bias":   {Dims: []int{1}, Values: []float32{float32(math.Inf(-1))}},
		"StartWeights have 1 values for dense1/bias, which": {Dims: []int{1, 12}, Values: []float32{1}},
	} {
		other.StartWeights["dense1/bias"] = wrong
		_, err := other.FitContext(t.Context())
		checkError(t, err, want)
	}

	normed := quick().of(nn.Named("Normed", nn.BatchNorm, nn.Flatten, nn.Dense(10)))
	normed.StartWeights = map[string]array.Array{"batch-norm1/variance": array.New([]float32{-1}, 1, 1, 1, 1)}
	_, err := normed.FitContext(t.Context())
	checkError(t, err, "StartWeights have the value -1 in batch-norm1/variance: a variance is at least 0")

	task.Start = before
	_, err = task.FitContext(t.Context())
	checkError(t, err, "the task has Start and StartWeights: leave one of the two out")
	task.Start, task.StartWeights = nil, map[string]array.Array{"conv1/weights": array.New([]float32{1}, 1)}
	_, err = task.FitContext(t.Context())
	checkError(t, err, "After cannot start from its StartWeights")
}

// With its last layer, a network begins as another training ended: it gives the same before the first step.
func TestStartLast(t *testing.T) {
	isolate(t)
	before := mustFit(t, quick().of(deep("Before", 12)))
	task := quick().of(deep("After", 12))
	task.Seed, task.Start, task.StartLast = 7, before, true
	for name, values := range initial(t, task) {
		if trained, err := before.Weights(name); err != nil || !slices.Equal(values, trained.Float64s()) {
			t.Errorf("%s does not begin with the run's: %v", name, err)
		}
	}
	without := task
	without.StartLast = false
	if got, want := difference(mustPlan(t, without).place, mustPlan(t, task).place), "last layer new → kept, the rest the same"; got != want {
		t.Errorf("it differs in %q, want %q", got, want)
	}
	if got := mustPlan(t, task).recipe().String(); !strings.HasSuffix(got, ", last layer kept, seed 7") {
		t.Errorf("the recipe is %q", got)
	}
	for want, change := range map[string]func(c *Task){
		"the task has StartLast but no Start":                            func(c *Task) { c.Start = nil },
		"After cannot start from the run of Before with StartLast":       func(c *Task) { c.Net = deep("After", 12, 9) },
		"Freeze names all layers, with StartLast the last one, too: not": func(c *Task) { c.Freeze = []string{"*"} },
	} {
		c := task
		change(&c)
		_, err := c.FitContext(t.Context())
		checkError(t, err, want)
	}
}

func TestStartThatCannotBe(t *testing.T) {
	isolate(t)
	task := quick().of(deep("After", 5))
	task.Start = &Run{}
	_, err := task.FitContext(t.Context())
	checkError(t, err, "the task's Start is not a finished run: get one with Fit or Load")
	task.Start = mustFit(t, quick().of(deep("Before", 12)))
	_, err = task.FitContext(t.Context())
	checkError(t, err, "After cannot start from the run of Before")
}

// An auxiliary classifier's last layer speaks of other classes as the network's own does.
func TestTakenLayersOfAuxiliaryClassifiers(t *testing.T) {
	net := nn.Named("Guessing", nn.Conv(4, 3), nn.Auxiliary(0.3, nn.Flatten, nn.Dense(6), nn.Dense(5)),
		nn.Conv(4, 3), nn.Auxiliary(0.3, nn.Flatten, nn.Dense(5)), nn.Flatten, nn.Dense(5))
	summary, err := nn.Summarize(net, 12, 12, 1)
	if err != nil {
		t.Fatal(err)
	}
	for keepLast, want := range map[bool]string{
		false: "conv1 auxiliary1/dense1 conv2",
		true:  "conv1 auxiliary1/dense1 auxiliary1/dense2 conv2 auxiliary2/dense1 dense1",
	} {
		var layers []string
		for _, v := range taken(summary, summary.Variables, keepLast) {
			layers = append(layers, path.Dir(v.Name))
		}
		if got := strings.Join(slices.Compact(layers), " "); got != want {
			t.Errorf("the layers taken are %q, want %q", got, want)
		}
	}
}

// A layer is taken as a whole or not at all, and the last one never.
func TestTakenLayers(t *testing.T) {
	conv := nn.Conv(4, 3)
	dense := []nn.Layer{nn.Flatten, nn.Dense(10)}
	from := nn.Named("From", append([]nn.Layer{
		conv, nn.BatchNorm, nn.Residual(conv.Padding(1)), conv.NoBias()}, dense...)...)
	summarize := func(net nn.Layer) *nn.Summary {
		summary, err := nn.Summarize(net, 12, 12, 1)
		if err != nil {
			t.Fatal(err)
		}
		return summary
	}
	for want, to := range map[string]nn.Layer{
		"conv1 batch-norm1 residual1/conv1 conv2": from,
		"conv1":             nn.Named("To", append([]nn.Layer{conv, conv}, dense...)...),
		"conv1 batch-norm1": nn.Named("To", append([]nn.Layer{conv, nn.BatchNorm, nn.Residual(nn.Conv(4, 5).Padding(2))}, dense...)...),
		"batch-norm1":       nn.Named("To", append([]nn.Layer{nn.Conv(4, 5), conv, nn.BatchNorm}, dense...)...),
		"":                  nn.Named("To", dense...),
	} {
		var layers []string
		for _, v := range taken(summarize(to), summarize(from).Variables, false) {
			layers = append(layers, path.Dir(v.Name))
		}
		if got := strings.Join(slices.Compact(layers), " "); got != want {
			t.Errorf("the layers taken are %q, want %q", got, want)
		}
	}
}
