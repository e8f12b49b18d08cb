package train

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn"
)

// written is cross-entropy as a reader writes it, scaled.
func written(scale float64) Loss {
	return LossFunc("cross-entropy", func(outputs, labels *graph.Node) *graph.Node {
		label := graph.OneHot(labels, outputs.Shape().Dim(-1), outputs.DType())
		sum := graph.ReduceSum(graph.Exp(outputs), -1)
		of := graph.ReduceSum(graph.Mul(outputs, label), -1)
		return graph.MulScalar(graph.Sub(graph.Log(sum), of), scale)
	})
}

// Cross-entropy written as a function gives the same losses, with short batches and an auxiliary classifier, in a run
// of its own.
func TestLossFunc(t *testing.T) {
	isolate(t)
	task := quick().of(nn.Named("Guessing", nn.Flatten, nn.Dense(20), nn.Auxiliary(0.5, nn.Dense(10)), nn.ReLU, nn.Dense(10)))
	task.Batch, task.TestBatch, task.perCall = 100, 100, 0
	task.Loss = CrossEntropy
	run := mustFit(t, task)
	task.Loss = written(1)
	again := mustFit(t, task)
	if again.Dir() == run.Dir() {
		t.Errorf("both are stored in %s", run.Dir())
	}
	same := func(what string, got, want float64) {
		if !(math.Abs(got-want) <= 1e-5*(1+want)) { // sums in another order, over all steps
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	for i, want := range run.History.Losses {
		same("a step's loss", float64(again.History.Losses[i]), float64(want))
	}
	same("the test's loss", again.Result.TestLoss, run.Result.TestLoss)
}

// weighted is cross-entropy in which images of the last class count that much.
func weighted(last float32) Loss {
	return LossFunc("weighted", func(outputs, labels *graph.Node) *graph.Node {
		weights := []float32{1, 1, 1, 1, 1, 1, 1, 1, 1, last}
		of := graph.Gather(graph.Const(outputs.Graph(), weights), graph.ExpandAxes(labels, -1))
		return graph.Mul(of, CrossEntropy.each(outputs, labels))
	})
}

// Tests measure the same function: the mean of what it gives for the outputs, whose softmax are the probabilities.
func TestLossFuncInTests(t *testing.T) {
	isolate(t)
	task := quick()
	task.Loss, task.TestBatch, task.perCall = weighted(3), 100, 0
	run := mustFit(t, task)
	predictions, err := run.Test()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, label := range predictions.Labels {
		scores, total := predictions.Outputs.Row(i).Float64s(), 0.0
		for _, score := range scores {
			total += math.Exp(score)
		}
		probability := math.Exp(scores[label]) / total
		if got := predictions.Probability(i, int(label)); !(math.Abs(got-probability) <= 1e-9) {
			t.Fatalf("image %d has the probability %v, want %v", i, got, probability)
		}
		loss := -math.Log(probability)
		if label == 9 {
			loss *= 3
		}
		sum += loss
	}
	if want := sum / float64(len(predictions.Labels)); !(math.Abs(run.Result.TestLoss-want) <= 1e-5*want) {
		t.Errorf("the test's loss is %v, want %v", run.Result.TestLoss, want)
	}
}

// Losses of one name are told apart by their constants, also those of an array, by the gradients that they set, and by
// which of their nodes they give.
func TestLossFuncsAreToldApart(t *testing.T) {
	isolate(t)
	pulled := func(by float64) Loss {
		return LossFunc("pulled", func(outputs, labels *graph.Node) *graph.Node {
			return CrossEntropy.each(graph.IdentityWithCustomGradient(outputs, func(_, v *graph.Node) *graph.Node {
				return graph.MulScalar(v, by)
			}), labels)
		})
	}
	either := func(doubled bool) Loss {
		return LossFunc("either", func(outputs, labels *graph.Node) *graph.Node {
			each := CrossEntropy.each(outputs, labels)
			if twice := graph.MulScalar(each, 2); doubled {
				return twice
			}
			return each
		})
	}
	one, two := quick(), quick()
	one.Loss, two.Loss = weighted(1), weighted(2)
	sum := func(task Task) string { return mustPlan(t, task).recipe().LossSum[:8] }
	want := fmt.Sprintf("loss's operations %s → %s, the rest the same", sum(one), sum(two))
	if got := difference(mustPlan(t, one).place, mustPlan(t, two).place); got != want {
		t.Errorf("the difference is %q, want %q", got, want)
	}
	var seen []string
	for i := range 2 { // the second time they are the same
		for k, loss := range []Loss{CrossEntropy, written(1), written(2), weighted(1), weighted(2), pulled(1), pulled(2),
			either(true), either(false)} {
			task := quick()
			task.Loss = loss
			dir := mustPlan(t, task).place.Dir()
			if at := slices.Index(seen, dir); i == 0 && at >= 0 || i == 1 && at != k {
				t.Errorf("loss %d in round %d has the place of loss %d", k, i, at)
			}
			seen = append(seen, dir)
		}
	}
}

// logHead gives logarithms of probabilities by code of its own, behind a layer of package nn.
type logHead struct{ nn.Layer }

func (h logHead) Info() nn.Info { return nn.Info{Kind: "log-head"} }

func (h logHead) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	return graph.LogSoftmax(nn.Sequential(h.Layer).Apply(scope, x), -1)
}

// Scores are nothing that NLL can measure: a network that ends in them is refused before anything is written, and where
// only the loss tells, it ends the training.
func TestNLLNeedsLogarithms(t *testing.T) {
	runs := isolate(t)
	const remedy = ": end the network with nn.LogSoftmax, or use train.CrossEntropy"
	for end, net := range map[string]nn.Layer{
		"dense": nn.Named("Scores", nn.Flatten, nn.Named("head", nn.Dense(10))),
		"relu":  nn.Named("Scores", nn.Flatten, nn.Dense(10), nn.ReLU),
	} {
		_, err := quick().of(net).FitContext(context.Background())
		checkError(t, err, "NLL needs logarithms of probabilities, and Scores ends in "+end+remedy)
	}
	if left, _ := filepath.Glob(filepath.Join(runs, "*.training")); len(left) != 0 {
		t.Errorf("refused, but there is %v", left)
	}
	same := nn.Func("same", func(x *graph.Node) *graph.Node { return x })
	_, err := quick().of(nn.Named("Mine", nn.Flatten, nn.Dense(10), same)).FitContext(context.Background())
	checkError(t, err, "NLL needs logarithms of probabilities, and the loss of Mine is -", remedy)
	want := mustFit(t, quick()).History.Losses
	softmax := nn.Func("log-softmax", func(x *graph.Node) *graph.Node { return graph.LogSoftmax(x, -1) })
	for _, net := range []nn.Layer{
		nn.Named("Own function", nn.Flatten, nn.Dense(10), softmax),
		nn.Named("Own type", nn.Flatten, logHead{nn.Dense(10)}),
	} {
		run := mustFit(t, quick().of(net))
		if got := run.History.Losses; got[len(got)-1] > want[0]/2 {
			t.Errorf("%s: losses %v, with nn.LogSoftmax %v", nn.Name(net), got, want)
		}
	}
}

// What rounding does to the logarithm of a certain answer is no error.
func TestLossesThatNLLMayHave(t *testing.T) {
	net, err := nn.Summarize(linear(), 28, 28, 1)
	if err != nil {
		t.Fatal(err)
	}
	for loss, wrong := range map[float64]bool{0: false, -1e-6: false, 3: false, math.NaN(): false, -0.01: true, math.Inf(-1): true} {
		if err := NLL.checkValue(loss, net); (err != nil) != wrong {
			t.Errorf("loss %v: error %v", loss, err)
		}
	}
	if err := LossFunc(NLL.name, NLL.each).checkValue(-1, net); err != nil {
		t.Errorf("a loss of a reader's own: %v", err)
	}
}
