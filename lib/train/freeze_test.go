package train

import (
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/nn"
)

// normed is a network with a layer of each kind that has variables, of those that a task may take over.
func normed(name string) nn.Layer {
	return nn.Named(name, nn.MaxPool(2), nn.Conv(5, 3), nn.BatchNorm, nn.ReLU, nn.MaxPool(2), nn.Conv(7, 3), nn.BatchNorm,
		nn.ReLU, nn.Flatten, nn.Dense(11), nn.ReLU, nn.Dense(10))
}

// startsFrom is a task that starts from a run of another training of the same network.
func startsFrom(t *testing.T) Task {
	t.Helper()
	task := quick().of(normed("Before"))
	task.Loss, task.Epochs = CrossEntropy, 1
	run := mustFit(t, task)
	task = task.of(normed("After"))
	task.Start, task.Seed = run, 7
	return task
}

// stepped is a worker that has done the first steps of the task, and the network's variables after them.
func stepped(t *testing.T, task Task, steps int) (*Worker, map[string]array.Array) {
	t.Helper()
	worker := untested(t, task)
	if err := worker.t.compile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := worker.Steps(steps); err != nil {
		t.Fatal(err)
	}
	weights, err := worker.Weights()
	if err != nil {
		t.Fatal(err)
	}
	return worker, weights
}

// What is frozen ends as it began, bit for bit, be it weights, scale or running averages, whatever the optimizer does
// to what it trains, which is all the rest.
func TestFrozenLayersStay(t *testing.T) {
	isolate(t)
	task := startsFrom(t)
	for optimizer, freeze := range map[string][]string{
		"SGD": {"conv*", "batch-norm*"}, "AdamW": {"*"}, "Muon": {"batch-norm2", "conv[12]"},
	} {
		task.Freeze = freeze
		task.Optimizer = map[string]Optimizer{
			"SGD": SGD(0.05, 0.9).WeightDecay(0.1), "AdamW": AdamW(0.01, 0.3), "Muon": Muon(0.01, 0.3),
		}[optimizer]
		worker, weights := stepped(t, task, 3)
		for name, after := range weights {
			frozen := map[string]bool{
				"conv1": true, "conv2": true, "batch-norm1": optimizer != "Muon", "batch-norm2": true, "dense1": optimizer == "AdamW",
			}[path.Dir(name)]
			before, err := task.Start.Weights(name)
			if err != nil {
				t.Fatal(err)
			}
			if same := slices.Equal(before.Values, after.Values); same != frozen {
				t.Errorf("%s: %s stayed: %v, want %v", optimizer, name, same, frozen)
			}
		}
		for v := range worker.t.engine.vars.IterVariables() {
			if strings.HasPrefix(v.Path(), "/optimizer/") && strings.Contains(v.Path(), "conv") {
				t.Errorf("%s keeps %s", optimizer, v.Path())
			}
		}
	}
}

// Below the frozen layers there is no gradient: in the program that trains nothing has the dimensions of a filter, or of
// a feature map, but what the way forward has.
func TestFrozenLayersHaveNoGradient(t *testing.T) {
	isolate(t)
	task := startsFrom(t)
	size := func(freeze ...string) (filters, maps int) {
		task.Freeze = freeze
		worker := untested(t, task)
		e := worker.t.engine
		split, err := e.upload(e.splits.train)
		if err != nil {
			t.Fatal(err)
		}
		trainer, err := e.trainer(split, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range trainer.graph.Nodes() {
			if node.NumOutputs() != 1 || node.Type() == graph.NodeTypeParameter {
				continue
			}
			switch dims := node.Shape().Dimensions; {
			case slices.Equal(dims, []int{3, 3, 1, 5}), slices.Equal(dims, []int{3, 3, 5, 7}):
				filters++
			case slices.Equal(dims, []int{64, 12, 12, 5}), slices.Equal(dims, []int{64, 4, 4, 7}):
				maps++
			}
		}
		return filters, maps
	}
	allFilters, allMaps := size()
	filters, maps := size("*")
	// Each of the two feature maps comes from the convolution, gets its bias, goes through batch norm's formula of at
	// most four operations, and through ReLU, which is three nodes.
	if filters != 0 || maps > 2*9 {
		t.Errorf("frozen, %d nodes are like filters and %d like feature maps", filters, maps)
	}
	if allFilters < 4 || allMaps <= maps {
		t.Errorf("trained, %d nodes are like filters and %d like feature maps: the test sees nothing", allFilters, allMaps)
	}
}

// A start's weights at half the rate take the step that half the rate gives them, and the new ones that of the whole.
func TestStartRate(t *testing.T) {
	isolate(t)
	task := startsFrom(t)
	step := func(rate float64, o func(rate float64) Optimizer) map[string]array.Array {
		task.Optimizer = o(rate)
		_, weights := stepped(t, task, 1)
		return weights
	}
	for name, o := range map[string]func(rate float64) Optimizer{
		"SGD":  func(rate float64) Optimizer { return SGD(rate, 0.9).WeightDecay(0.1) },
		"Muon": func(rate float64) Optimizer { return Muon(rate, 0.3) }, // and AdamW
	} {
		task.StartRate = 1
		whole, half := step(0.02, o), step(0.01, o)
		task.StartRate = 0.5
		for variable, got := range step(0.02, o) {
			want := half[variable]
			if path.Dir(variable) == "dense2" {
				want = whole[variable]
			}
			if !slices.Equal(got.Values, want.Values) {
				t.Errorf("%s: %s is %v …, want %v …", name, variable, got.Values[:2], want.Values[:2])
			}
		}
		if slices.Equal(whole["conv1/weights"].Values, half["conv1/weights"].Values) {
			t.Errorf("%s: the rate changes nothing", name)
		}
	}
}

// Over some steps, with momentum and a schedule: each step is the velocity times the rate of the layer, by hand.
func TestStartRateByHand(t *testing.T) {
	isolate(t)
	task := quick().of(deep("Before", 12))
	task.Start, task.Net = mustFit(t, task), deep("After", 12)
	task.Seed, task.StartRate, task.Schedule, task.Optimizer = 7, 0.25, Cosine(), SGD(0.08, 0.5)
	worker, before := stepped(t, task, 0)
	for step := range 3 {
		if _, err := worker.Steps(1); err != nil {
			t.Fatal(err)
		}
		after, err := worker.Weights()
		if err != nil {
			t.Fatal(err)
		}
		velocity, err := worker.Kept("velocity")
		if err != nil {
			t.Fatal(err)
		}
		for name, rate := range map[string]float64{"dense1/weights": 0.02, "dense1/bias": 0.02, "dense2/weights": 0.08} {
			rate *= (1 + math.Cos(math.Pi*float64(step)/16)) / 2 // two epochs of eight steps
			for i, v := range velocity[name].Float64s() {
				want := float64(before[name].Values[i]) - rate*v
				if got := float64(after[name].Values[i]); !(math.Abs(got-want) <= 1e-7*(1+math.Abs(want))) {
					t.Fatalf("step %d: %s[%d] is %v, want %v", step, name, i, got, want)
				}
			}
		}
		before = after
	}
}

// A training with frozen layers and two rates goes on exactly, with all that is kept between steps.
func TestFrozenGoesOnExactly(t *testing.T) {
	isolate(t)
	task := modern()
	task.Epochs = 1
	task.Start = mustFit(t, task)
	task.Epochs, task.Seed, task.Freeze, task.StartRate = 2, 4, []string{"conv1"}, 0.5
	whole := mustFit(t, task)
	t.Setenv(RunsEnv, filepath.Join(t.TempDir(), "again"))
	checkError(t, interruptAt(t, 14, task), "interrupted") // in the second epoch
	again := mustFit(t, task)
	if !slices.Equal(again.History.Losses, whole.History.Losses) {
		t.Errorf("losses %v, without an interruption %v", again.History.Losses, whole.History.Losses)
	}
	if got, want := again.plan.place.ModelSum(), whole.plan.place.ModelSum(); got != want {
		t.Errorf("the model's sum is %s, without an interruption %s", got, want)
	}
}

// A frozen batch norm stays so in a network that was not told that training is over: the test images around one do not
// matter.
func TestFrozenBatchNormInATest(t *testing.T) {
	isolate(t)
	task := startsFrom(t)
	task.Freeze, task.Epochs = []string{"*"}, 1
	run := mustFit(t, task)
	told, err := run.Test()
	if err != nil {
		t.Fatal(err)
	}
	untold, err := run.TestAsInTraining(50)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range told.Outputs.Values {
		if got := untold.Outputs.Values[i]; !(math.Abs(float64(got-want)) <= 1e-4) {
			t.Fatalf("output %d is %v, in a test %v", i, got, want)
		}
	}
}

// What is frozen and how fast the rest of a start learns are part of what a run is known by, in fields that no other run
// has. The expected text is what encoding/json's documentation makes of them.
func TestFreezeIdentifies(t *testing.T) {
	isolate(t)
	task := startsFrom(t)
	plain := mustPlan(t, task)
	if about := string(plain.place.About()); strings.Contains(about, "freeze") || strings.Contains(about, "rate\": 1") {
		t.Errorf("a run without them says %s", about)
	}
	for what, c := range map[string]struct {
		change   func(*Task)
		says     string
		differs  string
		inRecipe string
	}{
		"frozen": {func(c *Task) { c.Freeze = []string{"conv2", "batch-norm*", "conv2"} }, `"freeze":["batch-norm*","conv2"]`,
			"frozen none → batch-norm* conv2, the rest the same", ", frozen batch-norm* conv2, seed 7"},
		"rate": {func(c *Task) { c.StartRate = 0.1 }, `"start_rate":0.1`,
			"start rate 1 → 0.1, the rest the same", ", start rate 0.1, seed 7"},
		"the rate as it is": {func(c *Task) { c.StartRate = 1 }, `"start":"`, "", ", learning rate 0.05, seed 7"},
		"nothing frozen":    {func(c *Task) { c.Freeze = []string{} }, `"start":"`, "", ", learning rate 0.05, seed 7"},
	} {
		changed := task
		c.change(&changed)
		p := mustPlan(t, changed)
		about := strings.Join(strings.Fields(string(p.place.About())), "")
		if !strings.Contains(about, c.says) {
			t.Errorf("%s: %s says no %s", what, about, c.says)
		}
		if got := difference(plain.place, p.place); got != c.differs || (got == "") != (p.place.Dir() == plain.place.Dir()) {
			t.Errorf("%s: differs in %q, want %q; %s and %s", what, got, c.differs, plain.place.Dir(), p.place.Dir())
		}
		if got := p.recipe().String(); !strings.HasSuffix(got, c.inRecipe) {
			t.Errorf("%s: the recipe is %q", what, got)
		}
	}
	changed := task
	changed.Freeze = []string{"conv2"}
	p := mustPlan(t, changed)
	changed.Freeze[0] = "conv1" // whoever made the list may use it again
	if got := p.recipe().Freeze; !slices.Equal(got, []string{"conv2"}) {
		t.Errorf("a plan that froze conv2 freezes %v", got)
	}
}

func TestFreezesThatCannotBe(t *testing.T) {
	isolate(t)
	task := startsFrom(t)
	run := task.Start
	for want, change := range map[string]func(c *Task){
		"the task has Freeze but no Start: only layers":             func(c *Task) { c.Start, c.Freeze = nil, []string{"conv1"} },
		"the task has StartRate but no Start":                       func(c *Task) { c.Start, c.StartRate = nil, 0.5 },
		"the task's StartRate is -1: it must be above 0 and finite": func(c *Task) { c.StartRate = -1 },
		"the task's StartRate is 1e-45 of the learning rate 0.05: their product is 0 as a float32": func(c *Task) {
			c.StartRate, c.Optimizer = 1e-45, SGD(0.05, 0)
		},
		"the task's StartRate is NaN":                                   func(c *Task) { c.StartRate = math.NaN() },
		"the task's StartRate is +Inf":                                  func(c *Task) { c.StartRate = math.Inf(1) },
		`the task's Freeze has "conv[", which is no pattern: write one`: func(c *Task) { c.Freeze = []string{"conv1", "conv["} },
		"the task has StartRate, but Freeze names all layers":           func(c *Task) { c.Freeze, c.StartRate = []string{"*"}, 0.5 },
		// The last layer is new.
		`the task's Freeze names "dense2": the layers that begin with the run's weights are ` +
			"conv1, batch-norm1, conv2, batch-norm2, dense1": func(c *Task) { c.Freeze = []string{"conv1", "dense2"} },
	} {
		c := task
		change(&c)
		_, err := c.FitContext(t.Context())
		checkError(t, err, want)
	}
	if task.Start != run {
		t.Error("a copy changed the task")
	}
}

// A pattern names a layer or a block around it, and stars do not reach into blocks.
func TestLayersByPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"*":                "conv1 residual1/conv1 residual1/shortcut/conv1 stage/residual1/conv1",
		"residual1":        "residual1/conv1 residual1/shortcut/conv1",
		"conv1":            "conv1",
		"*/conv1":          "residual1/conv1",
		"residual*":        "residual1/conv1 residual1/shortcut/conv1",
		"stage":            "stage/residual1/conv1",
		"stage/residual1":  "stage/residual1/conv1",
		"residual1/conv2":  "",
		"residual1/conv1/": "",
	} {
		var got []string
		for _, layer := range []string{"conv1", "residual1/conv1", "residual1/shortcut/conv1", "stage/residual1/conv1"} {
			named, err := names(pattern, layer)
			if err != nil {
				t.Fatal(err)
			}
			if named {
				got = append(got, layer)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q names %v, want %s", pattern, got, want)
		}
	}
}
