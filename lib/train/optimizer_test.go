package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/initializer"
	"gonum.org/v1/gonum/mat"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/zoo"
)

// Every optimizer, for three steps on one weight and one bias, against PyTorch's formulas written out in float64.
func TestOptimizersAgainstTheirFormulas(t *testing.T) {
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	gradients := []float64{0.5, -2, 0.1}
	factors := []float64{1, 0.5, 0.25} // of a schedule
	const start, rate = 3.0, 0.1
	sgd := func(momentum, decay float64) func(kind string) float64 {
		return func(kind string) float64 {
			p, v := start, 0.0
			for i, g := range gradients {
				if kind == weightsKind {
					g += decay * p
				}
				v = momentum*v + g
				p -= rate * factors[i] * v
			}
			return p
		}
	}
	adam := func(decay, decoupled float64) func(kind string) float64 {
		return func(kind string) float64 {
			p, m, v := start, 0.0, 0.0
			for i, g := range gradients {
				if kind == weightsKind {
					g += decay * p
					p -= rate * factors[i] * decoupled * p
				}
				m = 0.9*m + 0.1*g
				v = 0.999*v + 0.001*g*g
				mean, variance := m/(1-math.Pow(0.9, float64(i+1))), v/(1-math.Pow(0.999, float64(i+1)))
				p -= rate * factors[i] * mean / (math.Sqrt(variance) + 1e-8)
			}
			return p
		}
	}
	for _, c := range []struct {
		optimizer Optimizer
		want      func(kind string) float64
	}{
		{SGD(rate, 0), sgd(0, 0)},
		{SGD(rate, 0.9), sgd(0.9, 0)},
		{SGD(rate, 0.9).WeightDecay(0.05), sgd(0.9, 0.05)},
		{Adam(rate), adam(0, 0)},
		{Adam(rate).WeightDecay(0.05), adam(0.05, 0)},
		{AdamW(rate, 0.3), adam(0, 0.3)},
		{Muon(rate, 0.3), adam(0, 0.3)}, // on all but convolutions
		{ownSGD(rate, 0.9), sgd(0.9, 0)},
		{ownSGD(rate, 0.9).WeightDecay(0.05), sgd(0.9, 0.05)},
		{ownAdamW(rate, 0.3), adam(0, 0.3)},
	} {
		for _, kind := range []string{weightsKind, "bias", "shift"} {
			value := float32(start)
			kept := make([]float32, len(c.optimizer.kept))
			step, err := graph.NewExec(backend, func(in []*graph.Node) []*graph.Node {
				p := parameter{value: in[0], gradient: in[1], kind: kind}
				for i := range kept {
					p.kept = append(p.kept, graph.Reshape(graph.Slice(in[2], graph.AxisElem(i))))
				}
				value, kept := c.optimizer.apply(numbersIn(in[3])[0], p)
				return append([]*graph.Node{value}, kept...)
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, g := range gradients {
				outputs, err := step.Call(value, float32(g), kept, row(c.optimizer.stepNumbers(factors[i], i+1)))
				if err != nil {
					t.Fatal(err)
				}
				value = tensors.ToScalar[float32](outputs[0])
				for i := range kept {
					kept[i] = tensors.ToScalar[float32](outputs[1+i])
				}
			}
			step.Finalize()
			if want := c.want(kind); !(math.Abs(float64(value)-want) <= 1e-5) {
				t.Errorf("%s, %s: %v, want %v", c.optimizer.name, kind, value, want)
			}
		}
	}
}

// row is a step's numbers as the program gets them.
func row(now stepNumbers[float64]) []float32 {
	var row []float32
	for _, v := range list(now.fields()) {
		row = append(row, float32(v))
	}
	return row
}

// ownSGD and ownAdamW are optimizers of the book as a reader writes them.
func ownSGD(rate, momentum float64) Optimizer {
	return OptimizerFunc("own SGD", rate, func(p Parameter) (*graph.Node, []*graph.Node) {
		velocity := graph.Add(graph.MulScalar(p.Kept[0], momentum), p.Gradient)
		return graph.Sub(p.Value, graph.Mul(p.Rate, velocity)), []*graph.Node{velocity}
	}, "velocity")
}

func ownAdamW(rate, decay float64) Optimizer {
	corrected := func(mean, step *graph.Node, share float64) *graph.Node {
		left := graph.Pow(graph.Scalar(mean.Graph(), mean.DType(), share), step)
		return graph.Div(mean, graph.OneMinus(left))
	}
	return OptimizerFunc("own AdamW", rate, func(p Parameter) (*graph.Node, []*graph.Node) {
		mean := graph.Add(graph.MulScalar(p.Kept[0], 0.9), graph.MulScalar(p.Gradient, 0.1))
		variance := graph.Add(graph.MulScalar(p.Kept[1], 0.999), graph.MulScalar(graph.Square(p.Gradient), 0.001))
		value := p.Value
		if p.Kind == "weights" {
			value = graph.Sub(value, graph.Mul(graph.MulScalar(p.Rate, decay), value))
		}
		spread := graph.AddScalar(graph.Sqrt(corrected(variance, p.Step, 0.999)), 1e-8)
		return graph.Sub(value, graph.Div(graph.Mul(p.Rate, corrected(mean, p.Step, 0.9)), spread)), []*graph.Node{mean, variance}
	}, "mean", "variance")
}

// A network learns the same with an optimizer of one's own as with the book's, interrupted or not.
func TestOptimizerFunc(t *testing.T) {
	isolate(t)
	book, own := quick(), quick()
	book.Optimizer, own.Optimizer = SGD(0.05, 0.9).Clip(1), ownSGD(0.05, 0.9).Clip(1)
	want, got := mustFit(t, book).Result, mustFit(t, own).Result
	if got.TestLoss != want.TestLoss || got.TestAccuracy != want.TestAccuracy {
		t.Errorf("test loss %v, accuracy %v; want %v, %v", got.TestLoss, got.TestAccuracy, want.TestLoss, want.TestAccuracy)
	}
	if text := got.Recipe.String(); !strings.Contains(text, "own SGD, gradients clipped to norm 1, learning rate 0.05") {
		t.Errorf("the recipe is %q", text)
	}
	book.Seed, own.Seed = 2, 2
	checkError(t, interruptAt(t, 5, own), "interrupted")
	resumed := mustFit(t, own).Result
	if want := mustFit(t, book).Result; resumed.TestLoss != want.TestLoss {
		t.Errorf("test loss %v after an interrupt, want %v", resumed.TestLoss, want.TestLoss)
	}
}

// Optimizers of one name are told apart by their constants.
func TestOptimizerFuncsAreToldApart(t *testing.T) {
	isolate(t)
	one, two := quick(), quick()
	one.Optimizer, two.Optimizer = ownSGD(0.1, 0.5), ownSGD(0.1, 0.6)
	first, second, again := mustPlan(t, one), mustPlan(t, two), mustPlan(t, one)
	if first.place.Dir() == second.place.Dir() || first.place.Dir() != again.place.Dir() {
		t.Errorf("places %s, %s, %s", first.place.Dir(), second.place.Dir(), again.place.Dir())
	}
	want := fmt.Sprintf("optimizer's operations %s → %s, the rest the same",
		first.recipe().UpdateSum[:8], second.recipe().UpdateSum[:8])
	if got := difference(first.place, second.place); got != want {
		t.Errorf("the difference is %q, want %q", got, want)
	}
}

// And by which of their nodes they keep: here the arrays change places.
func TestOptimizerFuncsAreToldApartByResults(t *testing.T) {
	isolate(t)
	places := map[string]bool{}
	for _, swapped := range []bool{false, true} {
		task := quick()
		task.Optimizer = OptimizerFunc("two arrays", 0.1, func(p Parameter) (*graph.Node, []*graph.Node) {
			a, b := graph.Add(p.Kept[0], p.Gradient), graph.Add(p.Kept[1], p.Gradient)
			value := graph.Sub(p.Value, graph.Mul(p.Rate, a))
			if swapped {
				a, b = b, a
			}
			return value, []*graph.Node{a, b}
		}, "one", "other")
		places[mustPlan(t, task).place.Dir()] = true
	}
	if len(places) != 2 {
		t.Errorf("both have the same place: %v", places)
	}
}

func TestSchedulesByHand(t *testing.T) {
	const steps = 40
	half := (1 + math.Cos(math.Pi/2)) / 2
	for _, c := range []struct {
		schedule Schedule
		at       map[int]float64 // step → share of the rate
	}{
		{Schedule{}, map[int]float64{0: 1, 39: 1}},
		{Cosine(), map[int]float64{0: 1, 20: half, 10: (1 + math.Sqrt2/2) / 2, 39: (1 + math.Cos(math.Pi*39/40)) / 2}},
		{Linear(), map[int]float64{0: 1, 20: half, 10: 0.75, 39: 1. / 40}},
		// A warm-up of 0.25 ends with step 9, the tenth; PyTorch's OneCycleLR counts the same.
		{OneCycle(0.25), map[int]float64{0: 1. / 25, 9: 1, 24: (1 + 1./25e4) / 2, 39: 1. / 25e4}},
		{OneCycle(0.025), map[int]float64{0: 1, 39: 1. / 25e4}}, // a warm-up of one step: its peak is the first
		{OneCycle(0.525), map[int]float64{0: 1. / 25, 10: (1 + 1./25) / 2, 20: 1, 39: 1. / 25e4}},
		{ScheduleFunc("squares", func(done float64) float64 { return done * done }), map[int]float64{0: 0, 10: 1. / 16, 39: 39. * 39 / 1600}},
	} {
		for step, want := range c.at {
			if got := c.schedule.Share(step, steps); !(math.Abs(got-want) <= 1e-9) {
				t.Errorf("%s: step %d has %v of the rate, want %v", c.schedule.name, step, got, want)
			}
		}
	}
	if share := OneCycle(0.1).Share(0, 1); math.IsNaN(share) || share < 0 || share > 1 {
		t.Errorf("a training of one step has %v of the rate", share)
	}
	for _, wrong := range []Schedule{OneCycle(2), ScheduleFunc("none", nil), ScheduleFunc("below zero", func(float64) float64 { return -1 })} {
		if share := wrong.Share(0, steps); !math.IsNaN(share) {
			t.Errorf("%s, which cannot work, has %v of the rate", wrong.name, share)
		}
	}
}

// Cosine written as a function gives the same losses, in a run of its own. A run is known by the function's name and
// values, though they differ in a single step alone.
func TestScheduleFunc(t *testing.T) {
	isolate(t)
	task := quick()
	task.Schedule = Cosine()
	run := mustFit(t, task)
	cosine := func() Schedule {
		return ScheduleFunc("cosine", func(done float64) float64 { return (1 + math.Cos(math.Pi*done)) / 2 })
	}
	task.Schedule = cosine()
	written := mustFit(t, task)
	if written.Dir() == run.Dir() || !slices.Equal(written.History.Losses, run.History.Losses) {
		t.Errorf("losses %v in %s, want %v in another folder than %s", written.History.Losses, written.Dir(), run.History.Losses, run.Dir())
	}
	jump := func(down func(done float64) bool) Schedule {
		return ScheduleFunc("cosine", func(done float64) float64 {
			if down(done) {
				return 0.1
			}
			return 1
		})
	}
	seen := map[string]bool{run.Dir(): true, written.Dir(): true}
	for _, schedule := range []Schedule{
		ScheduleFunc("another name", func(done float64) float64 { return (1 + math.Cos(math.Pi*done)) / 2 }),
		jump(func(done float64) bool { return done > 0.3 }), jump(func(done float64) bool { return done >= 0.3 }),
		jump(func(done float64) bool { return done > 2./3 }), jump(func(done float64) bool { return done >= 2./3 }),
		jump(func(done float64) bool { return done > 1./11 }), jump(func(done float64) bool { return done >= 1./11 }),
		jump(func(done float64) bool { return done > 5./13 }), jump(func(done float64) bool { return done >= 5./13 }),
	} {
		task.Schedule = schedule
		dir := mustPlan(t, task).place.Dir()
		if seen[dir] {
			t.Errorf("%s has the place of another schedule", schedule.name)
		}
		seen[dir] = true
	}
	task.Schedule = cosine()
	if dir := mustPlan(t, task).place.Dir(); dir != written.Dir() {
		t.Errorf("the same function again has the place %s, not %s", dir, written.Dir())
	}
}

// Labels smoothed by 0.3 over three classes are 0.8, 0.1, 0.1: the cross-entropy with those, by hand.
func TestLabelSmoothing(t *testing.T) {
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := graph.CallOnceN(backend, func(scores, labels *graph.Node) []*graph.Node {
		loss := CrossEntropy.Smooth(0.3)
		return []*graph.Node{loss.train(scores, labels), loss.each(scores, labels)}
	}, [][]float32{{1, 2, 3}}, []int32{0})
	if err != nil {
		t.Fatal(err)
	}
	sum := math.Log(math.Exp(1) + math.Exp(2) + math.Exp(3))
	for i, want := range []float64{0.8*(sum-1) + 0.1*(sum-2) + 0.1*(sum-3), sum - 1} {
		if got := tensors.MustCopyFlatData[float32](outputs[i])[0]; !(math.Abs(float64(got)-want) <= 1e-6) {
			t.Errorf("output %d: %v, want %v", i, got, want)
		}
	}
}

// modern has all that is random or kept between steps: augmentation, dropout, batch norm's averages, an optimizer of
// two rules, a schedule.
func modern() Task {
	return Task{
		Net:  nn.Named("Modern", nn.Conv(4, 3).Padding(1), nn.BatchNorm, nn.ReLU, nn.MaxPool(4), nn.Flatten, nn.Dropout(0.2), nn.Dense(10)),
		Data: digits().Augment(dataset.RandomCrop(28, 2), dataset.RandomFlip),
		Config: Config{Epochs: 2, Batch: 50, Loss: CrossEntropy.Smooth(0.1), Optimizer: Muon(0.01, 0.01),
			Schedule: OneCycle(0.3), Seed: 3, Progress: Quiet},
	}
}

func TestModernRecipeLearnsAndGoesOnExactly(t *testing.T) {
	isolate(t)
	whole := mustFit(t, modern())
	if first, last := whole.History.Losses[0], whole.History.Losses[len(whole.History.Losses)-1]; !(last < 0.8*first) {
		t.Errorf("the loss went from %v to %v", first, last)
	}
	var losses []string
	for _, loss := range whole.History.Losses {
		losses = append(losses, fmt.Sprint(loss))
	}

	isolate(t)
	for _, step := range []int{3, 11, 14} { // in the first epoch, at its end, in the second
		if err := interruptAt(t, step, modern()); err == nil {
			t.Fatalf("was not interrupted at step %d", step)
		}
	}
	again := mustFit(t, modern())
	for i, loss := range again.History.Losses {
		if fmt.Sprint(loss) != losses[i] {
			t.Fatalf("after interruptions step %d has the loss %v, without %v", i, loss, losses[i])
		}
	}
	if whole.Result.TestAccuracy != again.Result.TestAccuracy || whole.Result.TestLoss != again.Result.TestLoss {
		t.Errorf("tests differ: %v and %v", whole.Result, again.Result)
	}
}

// Trained on labels that say nothing of the pictures, a network must not do better than chance on test pictures.
func TestShuffledLabelsLeaveChance(t *testing.T) {
	isolate(t)
	train, test, err := open(digits())
	if err != nil {
		t.Fatal(err)
	}
	accuracy := func(labels []byte) float64 {
		data := dataset.New("digits", digits().Classes, 28, 28, 1, func() (*dataset.Split, *dataset.Split, error) {
			return &dataset.Split{Pixels: train.Pixels, Labels: labels}, &dataset.Split{Pixels: test.Pixels, Labels: test.Labels}, nil
		}).Normalize(0.1307, 0.3081).Augment(dataset.RandomCrop(28, 2), dataset.RandomFlip)
		task := modern()
		task.Data, task.Epochs = data, 10
		return mustFit(t, task).Result.TestAccuracy
	}
	shuffled := make([]byte, len(train.Labels))
	for i, from := range dataset.Permutation(len(shuffled), 1) {
		shuffled[i] = train.Labels[from]
	}
	// Chance is 10 % of 256 pictures; 18 % lies four standard deviations above.
	if got := accuracy(shuffled); got > 18 {
		t.Errorf("%.1f %% of test pictures right after shuffled labels: something leaks", got)
	}
	if got := accuracy(train.Labels); got < 50 {
		t.Errorf("%.1f %% of test pictures right after true labels: the check shows nothing", got)
	}
}

// An auxiliary classifier that guesses what the network does adds its weight's share of the same loss.
func TestAuxiliaryLossIsAdded(t *testing.T) {
	isolate(t)
	plain := []nn.Layer{nn.Flatten, nn.Dense(10)}
	firstLoss := func(layers ...nn.Layer) float64 {
		var told record
		task := quick().of(nn.Named("Guessing", layers...))
		task.Loss, task.Progress = CrossEntropy, &told
		checkError(t, interruptAt(t, 1, task), "interrupted")
		return float64(told.losses()[0])
	}
	same := nn.Func("same", func(x *graph.Node) *graph.Node { return graph.MulScalar(x, 1) })
	alone := firstLoss(plain...)
	if both := firstLoss(append(plain, nn.Auxiliary(0.5, same))...); !(math.Abs(both-1.5*alone) <= 1e-5) {
		t.Errorf("the first loss is %v, want %v", both, 1.5*alone)
	}
}

// The gradient of softmax's cross-entropy with respect to a linear layer's weights, x·(p − y) averaged over the batch,
// written out.
func TestGradientsOfALinearLayer(t *testing.T) {
	isolate(t)
	const batch = 5
	task := Task{Net: nn.Named("Linear", nn.Flatten, nn.Dense(10)), Data: digits(), Config: Config{
		Epochs: 1, Batch: batch, Optimizer: SGD(1e-9, 0), Seed: 4, Progress: Quiet}}
	gradients, err := task.Gradients()
	if err != nil || len(gradients) != 1 || gradients[0].Variable != "dense1/weights" {
		t.Fatalf("%v, %v", gradients, err)
	}
	start := initial(t, task)
	train, err := digits().Train()
	if err != nil {
		t.Fatal(err)
	}
	sum := make([]float64, 784*10)
	for _, i := range shuffled(train.Len(), 4, 0)[:batch] {
		x, scores := make([]float64, 784), slices.Clone(start["dense1/bias"])
		for p := range x {
			x[p] = (float64(train.Pixels[int(i)*784+p])/255 - 0.1307) / 0.3081
			for c := range scores {
				scores[c] += x[p] * start["dense1/weights"][p*10+c]
			}
		}
		total := 0.0
		for _, s := range scores {
			total += math.Exp(s)
		}
		for c, s := range scores {
			wrong := math.Exp(s) / total
			if c == int(train.Labels[i]) {
				wrong--
			}
			for p, v := range x {
				sum[p*10+c] += v * wrong / batch
			}
		}
	}
	squares := 0.0
	for _, g := range sum {
		squares += g * g
	}
	if want := math.Sqrt(squares / float64(len(sum))); !(math.Abs(gradients[0].Size-want) <= 1e-4*want) {
		t.Errorf("size %v, want %v", gradients[0].Size, want)
	}
}

// What Gradients finds in a network with batch norm, dropout and an auxiliary classifier, and of augmented images, is what
// the first step of training has: its velocity.
func TestGradientsAreThoseOfTheFirstStep(t *testing.T) {
	isolate(t)
	net := nn.Named("Normalised",
		nn.Conv(4, 3).NoBias(), nn.BatchNorm, nn.ReLU, nn.Auxiliary(0.5, nn.GlobalAvgPool, nn.Dense(10)),
		nn.Conv(4, 3), nn.BatchNorm, nn.ReLU, nn.Dropout(0.5), nn.GlobalAvgPool, nn.Dense(10))
	task := Task{Net: net, Data: digits().Augment(dataset.RandomCrop(28, 4), dataset.RandomFlip),
		Config: Config{Epochs: 1, Batch: 16, Optimizer: SGD(0.1, 0.9), Seed: 2, Progress: Quiet}}
	gradients, err := task.Gradients()
	if err != nil {
		t.Fatal(err)
	}
	worker := untested(t, task)
	if err := worker.t.compile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := worker.Steps(1); err != nil {
		t.Fatal(err)
	}
	velocities, err := worker.Kept("velocity")
	if err != nil {
		t.Fatal(err)
	}
	if len(gradients) != 4 {
		t.Fatalf("gradients of %v, want those of four weights", gradients)
	}
	for _, g := range gradients {
		values := velocities[g.Variable].Values
		squares := 0.0
		for _, v := range values {
			squares += float64(v) * float64(v)
		}
		if want := math.Sqrt(squares / float64(len(values))); !(math.Abs(g.Size-want) <= 1e-4*want) || want == 0 {
			t.Errorf("%s: %v, want %v", g.Variable, g.Size, want)
		}
	}
}

// untested is a worker whose programs are not compiled.
func untested(t *testing.T, task Task) *Worker {
	t.Helper()
	p := mustPlan(t, task)
	e, err := p.untrained(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	about, err := p.training()
	if err != nil {
		t.Fatal(err)
	}
	return &Worker{t: newTraining(e, about)}
}

// The first step's velocities, which are its gradients, clipped and not, against the formula of PyTorch's
// clip_grad_norm_ in float64: over all layers together, without those that are frozen, and before weight decay.
func TestClippedGradientsAgainstTheirFormula(t *testing.T) {
	isolate(t)
	const decay = 0.1
	task := startsFrom(t)
	for _, freeze := range [][]string{nil, {"conv1", "batch-norm1"}} {
		task.Freeze = freeze
		velocities := func(optimizer Optimizer) map[string]array.Array {
			task.Optimizer = optimizer
			worker, _ := stepped(t, task, 1)
			kept, err := worker.Kept("velocity")
			if err != nil {
				t.Fatal(err)
			}
			return kept
		}
		gradients, decayed := velocities(SGD(0.1, 0.9)), velocities(SGD(0.1, 0.9).WeightDecay(decay))
		if _, ok := gradients["conv1/weights"]; ok != (freeze == nil) {
			t.Fatalf("frozen %v: conv1 has a gradient: %v", freeze, ok)
		}
		var all []float64
		for _, gradient := range gradients {
			all = append(all, gradient.Float64s()...)
		}
		total := mat.Norm(mat.NewVecDense(len(all), all), 2)
		for _, norm := range []float64{total / 3, total * 3} {
			share := min(1, norm/(total+1e-6))
			for name, clipped := range velocities(SGD(0.1, 0.9).WeightDecay(decay).Clip(norm)) {
				for i, got := range clipped.Float64s() {
					gradient := gradients[name].Float64s()[i]
					want := share*gradient + decayed[name].Float64s()[i] - gradient
					if !(math.Abs(got-want) <= 1e-6*total) {
						t.Fatalf("frozen %v, clipped to %v of %v: value %d of %s is %v, want %v", freeze, norm, total, i, name, got, want)
					}
				}
			}
		}
	}
	task.Optimizer = SGD(0.1, 0).Clip(1)
	if got := task.recipe().String(); !strings.Contains(got, ", gradients clipped to norm 1, ") {
		t.Errorf("the recipe is %q", got)
	}
}

// newtonSchulz is the iteration of Muon as Jordan writes it.
func newtonSchulz(x *mat.Dense) *mat.Dense {
	y := mat.DenseCopyOf(x)
	y.Scale(1/mat.Norm(x, 2), x)
	for range 5 {
		var a, square, b, next mat.Dense
		a.Mul(y, y.T())
		square.Mul(&a, &a)
		b.Scale(-4.7750, &a)
		square.Scale(2.0315, &square)
		b.Add(&b, &square)
		next.Mul(&b, y)
		y.Scale(3.4445, y)
		y.Add(y, &next)
	}
	return y
}

// The last momentum counts, and the usual one makes the run that Muon makes without.
func TestMomentumIsSetAnew(t *testing.T) {
	isolate(t)
	usual, again := quick().of(zoo.CNN(2)), quick().of(zoo.CNN(2))
	usual.Optimizer, again.Optimizer = Muon(0.01, 0), Muon(0.01, 0).Momentum(0.6).Momentum(0.95)
	run := mustFit(t, usual)
	again.Fresh = true
	if other := mustFit(t, again); other.Dir() != run.Dir() || !slices.Equal(other.History.Losses, run.History.Losses) {
		t.Errorf("losses %v in %s, want %v in %s", other.History.Losses, other.Dir(), run.History.Losses, run.Dir())
	}
}

// Three steps of Muon on the weights of a convolution, against the formulas of torch.optim.Muon, and of airbench94_muon
// where filters keep their size, written out in float64.
func TestMuonAgainstItsFormulas(t *testing.T) {
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	const rate, decay, turn = 0.1, 0.3, 0.24
	for i, dims := range [][]int{{2, 3, 2, 5}, {1, 1, 5, 12}, {1, 2, 3, 6}} {
		inputs, filters := dims[0]*dims[1]*dims[2], dims[3]
		random := rand.New(rand.NewPCG(1, 2))
		draw := func() *mat.Dense {
			x := mat.NewDense(inputs, filters, nil)
			x.Apply(func(_, _ int, _ float64) float64 { return random.NormFloat64() }, x)
			return x
		}
		tensor := func(x *mat.Dense) *tensors.Tensor {
			flat := make([]float32, inputs*filters)
			for i, v := range x.RawMatrix().Data {
				flat[i] = float32(v)
			}
			return tensors.FromFlatDataAndDimensions(flat, dims...)
		}
		optimizer, share, turns := Muon(rate, decay), 0.95, i == 2
		if i > 0 {
			optimizer, share = optimizer.Momentum(0.6), 0.6
		}
		if turns { // as airbench94_muon
			optimizer = optimizer.Turn(turn)
		}
		step, err := graph.NewExec(backend, func(in []*graph.Node) []*graph.Node {
			p := parameter{value: in[0], gradient: in[1], kept: in[2:3], kind: weightsKind}
			value, kept := optimizer.apply(numbersIn(in[3])[0], p)
			return append([]*graph.Node{value}, kept...)
		})
		if err != nil {
			t.Fatal(err)
		}
		want, momentum := draw(), mat.NewDense(inputs, filters, nil)
		value, kept := tensor(want), tensor(momentum)
		for i, factor := range []float64{1, 0.5, 0.25} { // of a schedule
			gradient := draw()
			var ahead, change mat.Dense
			momentum.Scale(share, momentum)
			momentum.Add(momentum, gradient)
			ahead.Scale(share, momentum)
			ahead.Add(&ahead, gradient)
			change.Scale(factor*rate*0.2*math.Sqrt(float64(max(inputs, filters))), newtonSchulz(&ahead))
			want.Scale(1-factor*rate*decay, want)
			if turns {
				change.Scale(factor*turn, newtonSchulz(&ahead))
				want.Scale(math.Sqrt(float64(filters))/mat.Norm(want, 2), want)
			}
			want.Sub(want, &change)

			outputs, err := step.Call(value, tensor(gradient), kept, row(optimizer.stepNumbers(factor, i+1)))
			if err != nil {
				t.Fatal(err)
			}
			value, kept = outputs[0], outputs[1]
		}
		for i, got := range tensors.MustCopyFlatData[float32](value) {
			if want := want.RawMatrix().Data[i]; !(math.Abs(float64(got)-want) <= 1e-4) {
				t.Errorf("%v: weight %d is %v, want %v", dims, i, got, want)
			}
		}
	}
}

// A parameter that the plugin does not take is left to XLA.
func TestUpdatesOfManyAxes(t *testing.T) {
	isolate(t)
	axes := func(axes ...int) nn.Layer {
		return nn.Named("Scaled", nn.Flatten, nn.Dense(10), nn.ModelFunc("scale", func(scope *model.Scope, x *graph.Node) *graph.Node {
			one := scope.WithInitializer(initializer.One).VariableWithShape("scale", shapes.Make(x.DType(), axes...))
			return graph.Mul(x, graph.Reshape(one.NodeValue(x), 1, 10))
		}), nn.LogSoftmax)
	}
	for _, o := range []Optimizer{SGD(0.05, 0.9), AdamW(0.01, 0.1)} {
		var losses []float64
		for _, net := range []nn.Layer{axes(1, 10), axes(1, 1, 1, 1, 10)} {
			task := quick().of(net)
			task.Optimizer = o
			losses = append(losses, mustFit(t, task).Result.TestLoss)
		}
		if losses[0] != losses[1] || losses[0] > 2 {
			t.Errorf("%s: test losses %v", o.name, losses)
		}
	}
}

// The plugin's updates are XLA's to the last bit.
func TestHandedUpdates(t *testing.T) {
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	if !device.OneDNN(backend) {
		t.Skip("there is no plugin")
	}
	random := rand.New(rand.NewPCG(1, 1))
	for _, o := range []Optimizer{SGD(0.1, 0), SGD(0.1, 0.9), Adam(0.001), AdamW(0.001, 0.1)} {
		for _, dims := range [][]int{{}, {3}, {1, 1, 1, 37}, {3, 3, 64, 129}, {500, 600}} {
			for _, kind := range []string{weightsKind, "bias"} {
				size := 1
				for _, dim := range dims {
					size *= dim
				}
				draw := func() *tensors.Tensor {
					values := make([]float32, size)
					for i := range values {
						values[i] = float32(random.NormFloat64() * math.Pow(10, float64(random.IntN(5)-3)))
					}
					return tensors.FromFlatDataAndDimensions(values, dims...)
				}
				step, err := graph.NewExec(backend, func(in []*graph.Node) (out []*graph.Node) {
					now := numbersIn(in[len(in)-1])[0]
					p := parameter{value: in[0], gradient: in[1], kept: in[2 : len(in)-1], kind: kind}
					value, kept := o.update(now, p)
					handed, keep := o.handOver(o.handed, now, p)
					return append(append([]*graph.Node{value, handed}, kept...), keep...)
				})
				if err != nil {
					t.Fatal(err)
				}
				inputs := []any{draw(), draw()}
				for range o.kept {
					kept := draw()
					if o.handed == "adam" {
						tensors.MustMutableFlatData(kept, func(values []float32) {
							for i, v := range values {
								values[i] = v * v // a variance is not negative
							}
						})
					}
					inputs = append(inputs, kept)
				}
				outputs, err := step.Call(append(inputs, row(o.stepNumbers(0.7, 3)))...)
				if err != nil {
					t.Fatal(err)
				}
				n := len(o.kept)
				for what, pair := range map[string][2]int{"value": {0, 1}, o.kept[0]: {2, 2 + n}, o.kept[n-1]: {1 + n, 1 + 2*n}} {
					want, got := tensors.MustCopyFlatData[float32](outputs[pair[0]]), tensors.MustCopyFlatData[float32](outputs[pair[1]])
					different := 0
					for i := range want {
						if want[i] != got[i] {
							different++
						}
					}
					if different > 0 {
						t.Errorf("%s %v, %s: %s: %d of %d are different", o.name, dims, kind, what, different, size)
					}
				}
			}
		}
	}
}
