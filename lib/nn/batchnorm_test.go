package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/nn/internal/check"
)

// batchNormOf applies the layer, alone in a network, and returns its store and what f makes of its output.
func batchNormOf(t *testing.T, training bool, values map[string][]float32, x *tensors.Tensor,
	f func(store *model.Store, x, y *graph.Node) []*graph.Node) (*model.Store, [][]float32) {
	t.Helper()
	named := map[string][]float32{}
	for name, v := range values {
		named["batch-norm1/"+name] = v
	}
	return appliedTo(t, BatchNorm, training, named, x, f)
}

// Four values of one channel, by hand: mean 4, variance 5 over four values and 20/3 over three.
func TestBatchNormByHand(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1, 3, 5, 7}, 2, 1, 2, 1)
	check := func(what string, got, want []float32) {
		if !check.Near(got, want, 1e-6) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	unit := float32(1 / math.Sqrt(5+1e-5))

	store, got := batchNormOf(t, true, map[string][]float32{"scale": {2}, "shift": {10}}, x, func(_ *model.Store, _, y *graph.Node) []*graph.Node { return []*graph.Node{y} })
	check("training", got[0], []float32{10 - 6*unit, 10 - 2*unit, 10 + 2*unit, 10 + 6*unit})
	running := func(name string) []float32 {
		return tensors.MustCopyFlatData[float32](store.GetVariable(Path("batch-norm1/" + name)).MustValue())
	}
	check("running mean", running("mean"), []float32{0.9*0 + 0.1*4})
	check("running variance", running("variance"), []float32{0.9*1 + 0.1*20/3})

	values := map[string][]float32{"mean": {3}, "variance": {4 - 1e-5}, "scale": {2}, "shift": {10}}
	store, got = batchNormOf(t, false, values, x, func(_ *model.Store, _, y *graph.Node) []*graph.Node { return []*graph.Node{y} })
	check("testing", got[0], []float32{10 - 2, 10, 10 + 2, 10 + 4})
	check("running mean after testing", running("mean"), []float32{3})
}

// Where its scale and shift are not to be trained it does in training what it does in a test, and its averages stay.
// Its gradient with respect to the input is that of a fixed factor, 2/√4 here, whatever else is in the batch.
func TestFrozenBatchNorm(t *testing.T) {
	x := tensors.FromFlatDataAndDimensions([]float32{1, 3, 5, 7}, 2, 1, 2, 1)
	values := map[string][]float32{"mean": {3}, "variance": {4 - 1e-5}, "scale": {2}, "shift": {10}}
	named := map[string][]float32{}
	for name, v := range values {
		named["batch-norm1/"+name] = v
	}
	freeze := Func("freeze", func(x *graph.Node) *graph.Node {
		for _, name := range []string{"scale", "shift"} {
			if v := model.GetStore(x).GetVariable(Path("batch-norm1/" + name)); v != nil { // not in the summary's graph
				v.SetTrainable(false)
			}
		}
		return x
	})
	store, got := appliedTo(t, Sequential(freeze, BatchNorm), true, named, x, func(_ *model.Store, x, y *graph.Node) []*graph.Node {
		squares := graph.ReduceAllSum(graph.Square(y))
		return []*graph.Node{y, graph.Gradient(squares, x)[0]}
	})
	for i, want := range [][]float32{{8, 10, 12, 14}, {16, 20, 24, 28}} {
		if !check.Near(got[i], want, 1e-5) {
			t.Errorf("output %d: %v, want %v", i, got[i], want)
		}
	}
	for _, name := range []string{"mean", "variance"} {
		kept := tensors.MustCopyFlatData[float32](store.GetVariable(Path("batch-norm1/" + name)).MustValue())
		if !slices.Equal(kept, values[name]) {
			t.Errorf("the running %s is %v, was %v", name, kept, values[name])
		}
	}
}

// Its gradients equal finite differences of the definition, written out in float64.
func TestBatchNormGradients(t *testing.T) {
	const n, channels = 3 * 2 * 2, 2
	x, pull := check.Random(1, 3, 2, 2, channels), check.Random(2, 3, 2, 2, channels)
	xs, pulls := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](pull)
	scale, shift := []float32{1.5, -0.5}, []float32{0.25, 2}
	loss := func(xs, scale, shift []float32) float64 {
		sum := 0.0
		for c := range channels {
			var mean, variance float64
			for i := range n {
				mean += float64(xs[i*channels+c]) / n
			}
			for i := range n {
				variance += math.Pow(float64(xs[i*channels+c])-mean, 2) / n
			}
			for i := range n {
				normal := (float64(xs[i*channels+c]) - mean) / math.Sqrt(variance+1e-5)
				sum += float64(pulls[i*channels+c]) * (normal*float64(scale[c]) + float64(shift[c]))
			}
		}
		return sum
	}
	_, got := batchNormOf(t, true, map[string][]float32{"scale": scale, "shift": shift}, x,
		func(store *model.Store, x, y *graph.Node) []*graph.Node {
			value := func(name string) *graph.Node { return store.GetVariable(Path("batch-norm1/" + name)).NodeValue(x) }
			loss := graph.ReduceAllSum(graph.Mul(y, graph.Const(x.Graph(), pull)))
			return graph.Gradient(loss, x, value("scale"), value("shift"))
		})
	check.Gradient(t, "by the input", got[0], xs, func(xs []float32) float64 { return loss(xs, scale, shift) })
	check.Gradient(t, "by scale", got[1], scale, func(scale []float32) float64 { return loss(xs, scale, shift) })
	check.Gradient(t, "by shift", got[2], shift, func(shift []float32) float64 { return loss(xs, scale, shift) })
}

func TestBatchNormsParameters(t *testing.T) {
	summary, err := Summarize(BatchNorm, 4, 4, 5)
	if err != nil {
		t.Fatal(err)
	}
	if summary.Parameters() != 10 {
		t.Errorf("%d parameters: mean and variance are none, want 2 for each of 5 channels", summary.Parameters())
	}
	if !slices.Equal(summary.Output, []int{4, 4, 5}) {
		t.Errorf("output %v", summary.Output)
	}
}

// A batch with fillers computes, for the images that count, what these images alone compute: their outputs, the running
// averages and the gradients. A filler has no gradient, whatever is in it.
func TestBatchNormLeavesFillersOut(t *testing.T) {
	const counted, fillers, size = 3, 2, 4 * 4 * 2
	all := tensors.MustCopyFlatData[float32](check.Random(1, counted+fillers, 4, 4, 2))
	pull := tensors.MustCopyFlatData[float32](check.Random(2, counted+fillers, 4, 4, 2))
	for i := counted * size; i < len(all); i++ {
		all[i] *= 1000
	}
	values := map[string][]float32{"batch-norm1/scale": {1.5, -0.5}, "batch-norm1/shift": {0.25, 2}}
	run := func(images int, which []float32) (outputs [][]float32, running [2][]float32) {
		x := tensors.FromFlatDataAndDimensions(all[:images*size], images, 4, 4, 2)
		tell := Func("tell", func(x *graph.Node) *graph.Node {
			if which != nil && x.Shape().Dim(0) == images { // not in the summary's graph
				SetCounted(graph.Const(x.Graph(), which))
			}
			return x
		})
		store, outputs := appliedTo(t, Sequential(tell, BatchNorm), true, values, x, func(store *model.Store, x, y *graph.Node) []*graph.Node {
			g := x.Graph()
			value := func(name string) *graph.Node { return store.GetVariable(Path("batch-norm1/" + name)).NodeValue(x) }
			weight := graph.Const(g, tensors.FromFlatDataAndDimensions(pull[:images*size], images, 4, 4, 2))
			if which != nil {
				weight = graph.Mul(weight, graph.Reshape(graph.Const(g, which), images, 1, 1, 1))
			}
			gradients := graph.Gradient(graph.ReduceAllSum(graph.Mul(y, weight)), x, value("scale"), value("shift"))
			return append([]*graph.Node{y}, gradients...)
		})
		for i, name := range []string{"mean", "variance"} {
			running[i] = tensors.MustCopyFlatData[float32](store.GetVariable(Path("batch-norm1/" + name)).MustValue())
		}
		return outputs, running
	}
	want, wantRunning := run(counted, nil)
	got, gotRunning := run(counted+fillers, []float32{1, 1, 1, 0, 0})
	for i, what := range []string{"outputs", "gradient with respect to the input", "gradient with respect to scale", "gradient with respect to shift"} {
		if !check.Near(got[i][:len(want[i])], want[i], 1e-5) {
			t.Errorf("%s %v, want %v", what, got[i][:len(want[i])], want[i])
		}
	}
	for i := range wantRunning {
		if !check.Near(gotRunning[i], wantRunning[i], 1e-6) {
			t.Errorf("running average %v, want %v", gotRunning[i], wantRunning[i])
		}
	}
	for _, g := range got[1][counted*size:] {
		if g != 0 {
			t.Fatalf("a filler has the gradient %v", g)
		}
	}
}

// shape is a batch of images, of which the last ones may be fillers.
type batchShape struct{ images, fillers, height, width, channels int }

// Over shapes that are divided among processors and vectors in different ways, alone and before a ReLU, values and
// gradients are those of the definition in float64, and so are the running averages.
func TestBatchNormOverShapes(t *testing.T) {
	for _, s := range []batchShape{
		{1, 0, 2, 1, 1}, {2, 1, 3, 5, 1}, {4, 0, 4, 4, 6}, {3, 2, 8, 8, 24}, {2, 0, 7, 7, 37}, {1, 0, 64, 48, 16},
		{2, 1, 5, 5, 48}, {3, 0, 33, 31, 40}, {5, 0, 1, 1, 130}, {2, 0, 60, 60, 12},
	} {
		for _, relu := range []bool{false, true} {
			s.test(t, BatchNorm, relu)
			s.test(t, BatchNorm.NoScale(), relu)
		}
	}
}

func (s batchShape) test(t *testing.T, norm BatchNormLayer, relu bool) {
	t.Helper()
	batch := s.images + s.fillers
	dims := []int{batch, s.height, s.width, s.channels}
	x, pull := check.Random(1, dims...), check.Random(2, dims...)
	scale, shift := check.Values(3, s.channels), check.Values(4, s.channels)
	if norm.noScale {
		scale = slices.Repeat([]float32{1}, s.channels)
	}
	xs, pulls := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](pull)
	for i := range xs {
		xs[i] += float32(i % s.channels % 3) // means that are not 0
	}
	x = tensors.FromFlatDataAndDimensions(xs, dims...)
	counts := append(slices.Repeat([]float32{1}, s.images), slices.Repeat([]float32{0}, s.fillers)...)
	layers := []Layer{Func("tell", func(x *graph.Node) *graph.Node {
		if x.Shape().Dim(0) == batch && s.fillers > 0 { // not in the summary's graph
			SetCounted(graph.Const(x.Graph(), counts))
		}
		return x
	}), norm}
	if relu {
		layers = append(layers, ReLU)
	}
	values := map[string][]float32{"batch-norm1/shift": shift}
	if !norm.noScale {
		values["batch-norm1/scale"] = scale
	}
	store, got := appliedTo(t, Sequential(layers...), true, values, x, func(store *model.Store, x, y *graph.Node) []*graph.Node {
		value := func(name string) *graph.Node { return store.GetVariable(Path("batch-norm1/" + name)).NodeValue(x) }
		weight := graph.Mul(graph.Const(x.Graph(), pull), graph.Reshape(graph.Const(x.Graph(), counts), batch, 1, 1, 1))
		loss := graph.ReduceAllSum(graph.Mul(y, weight))
		if norm.noScale {
			by := graph.Gradient(loss, x, value("shift"))
			return []*graph.Node{y, by[0], graph.ZerosLike(value("shift")), by[1]}
		}
		return append([]*graph.Node{y}, graph.Gradient(loss, x, value("scale"), value("shift"))...)
	})
	want, mean, variance := s.batchNorm(xs, pulls, scale, shift, relu)
	counted := s.images * s.height * s.width * s.channels
	got[0] = got[0][:counted]
	if norm.noScale { // and no gradient with respect to it
		want[2] = make([]float32, s.channels)
	}
	for i, what := range []string{"values", "gradient with respect to the input", "gradient with respect to scale", "gradient with respect to shift"} {
		tolerance := 2e-4
		if i > 1 { // sums over all images
			tolerance *= math.Sqrt(float64(counted / s.channels))
		}
		if !check.Near(got[i], want[i], tolerance) {
			t.Errorf("%+v, %s, ReLU %v: other %s", s, norm.Info(), relu, what)
		}
	}
	for name, want := range map[string][]float32{"mean": mean, "variance": variance} {
		running := tensors.MustCopyFlatData[float32](store.GetVariable(Path("batch-norm1/" + name)).MustValue())
		if !check.Near(running, want, 1e-5) {
			t.Errorf("%+v, %s, ReLU %v: another running %s", s, norm.Info(), relu, name)
		}
	}
}

// batchNorm is the definition: the values of the images that count, the gradients with respect to input, scale and
// shift of the sum of values times pulls, and the running averages after one batch.
func (s batchShape) batchNorm(xs, pulls, scale, shift []float32, relu bool) (results [4][]float32, mean, variance []float32) {
	n := float64(s.images * s.height * s.width)
	results[0], results[1] = make([]float32, int(n)*s.channels), make([]float32, len(xs))
	for c := range s.channels {
		var sum, squares float64
		each := func(f func(i int, x float64)) {
			for i := c; i < len(results[0]); i += s.channels {
				f(i, float64(xs[i]))
			}
		}
		each(func(_ int, x float64) { sum += x })
		each(func(_ int, x float64) { squares += (x - sum/n) * (x - sum/n) })
		deviation := math.Sqrt(squares/n + 1e-5)
		var byShift, byScale float64
		pull := func(i int, x float64) (normal, g float64) {
			normal = (x - sum/n) / deviation
			if y := normal*float64(scale[c]) + float64(shift[c]); !relu || y > 0 {
				results[0][i], g = float32(y), float64(pulls[i])
			}
			return normal, g
		}
		each(func(i int, x float64) {
			normal, g := pull(i, x)
			byShift += g
			byScale += g * normal
		})
		each(func(i int, x float64) {
			normal, g := pull(i, x)
			results[1][i] = float32(float64(scale[c]) / deviation * (g - byShift/n - normal*byScale/n))
		})
		results[2], results[3] = append(results[2], float32(byScale)), append(results[3], float32(byShift))
		mean = append(mean, float32(0.1*sum/n))
		variance = append(variance, float32(0.9+0.1*squares/max(n-1, 1)))
	}
	return results, mean, variance
}
