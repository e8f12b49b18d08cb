package train

import (
	"context"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
)

// tester is the program that applies the network to every image of a split.
type tester struct {
	*program
	split   deviceSplit
	labels  []byte
	classes []string
	rounds  int
	batch   int
}

// look is a way to test.
type look struct {
	batch    int  // images at a time
	flips    bool // the outputs are the means of those for the image and for its mirror image
	training bool // layers behave as they do in training
}

// tester compiles the program that gets the outputs and the loss of each image of a split.
func (e *engine) tester(of *dataset.Split, how look) (*tester, error) {
	if of == nil {
		return nil, errNoSplit
	}
	of, err := of.For(e.Data.Classes)
	if err != nil {
		return nil, err
	}
	split, err := e.upload(of)
	if err != nil {
		return nil, err
	}
	how.batch = min(how.batch, of.Len())
	t := &tester{split: split, labels: of.Labels, classes: e.Data.Classes,
		rounds: (of.Len() + how.batch - 1) / how.batch, batch: how.batch}
	inputs := []shapes.Shape{
		shapes.Make(dtypes.Int32), // batches to do
		shapes.Make(dtypes.Float32, t.rounds*t.batch, len(t.classes)),
		shapes.Make(dtypes.Float32, t.rounds*t.batch),
		split.pixels.Shape(), split.labels.Shape(),
	}
	t.program, err = e.program("test", mode{training: how.training}, inputs,
		func(g *graph.Graph, vars []*model.Variable, in []*graph.Node) []*graph.Node {
			rounds, results, images := in[0], in[1:3], in[3:]
			body := func(i *graph.Node, changing, fixed []*graph.Node) []*graph.Node {
				first, zero := graph.MulScalar(i, t.batch), graph.ScalarZero(g, dtypes.Int32)
				outputs, losses := e.applyTo(how, first, fixed[0], fixed[1])
				return []*graph.Node{
					graph.DynamicUpdateSlice(changing[0], outputs, []*graph.Node{first, zero}),
					graph.DynamicUpdateSlice(changing[1], losses, []*graph.Node{first}),
				}
			}
			l := loop{changing: results, fixed: images, body: body}
			if t.rounds == 1 {
				return l.once(g)
			}
			return l.repeat(rounds, vars)
		})
	return t, err
}

// applyTo gives the outputs and the losses of a batch of images, from the first one on.
func (e *engine) applyTo(how look, first, pixels, labels *graph.Node) (outputs, losses *graph.Node) {
	g := first.Graph()
	indices := graph.Add(first, graph.Iota(g, shapes.Make(dtypes.Int32, how.batch), 0))
	indices = graph.MinScalar(indices, pixels.Shape().Dim(0)-1) // a short last batch repeats the last image
	x, wanted := take(pixels, labels, indices)
	if how.flips {
		x = graph.Concatenate([]*graph.Node{x, graph.Reverse(x, 2)}, 0)
	}
	if how.training { // dropout's numbers, others for each batch
		from := graph.Reshape(graph.ConvertDType(first, dtypes.Uint64), 1)
		nn.SetRandom(graph.Concatenate([]*graph.Node{from, graph.Const(g, []uint64{uint64(how.batch), 0})}, 0))
	}
	y := nn.Apply(e.vars.RootScope(), e.Net, e.Data.Preprocess(x))
	if !how.flips {
		return y, e.Loss.each(y, wanted)
	}
	y = graph.ReduceMean(graph.Reshape(y, 2, how.batch, len(e.Data.Classes)), 0)
	if e.Loss.takesLogarithms() { // the mean of two logarithms of probabilities is none
		return y, CrossEntropy.each(y, wanted)
	}
	return y, e.Loss.each(y, wanted)
}

// test applies the network to all images.
func (t *tester) test(ctx context.Context) (*Predictions, error) {
	rows, images, classes := t.rounds*t.batch, len(t.labels), len(t.classes)
	results, err := t.run(ctx, keeps, int32(t.rounds), tensors.FromShape(shapes.Make(dtypes.Float32, rows, classes)),
		make([]float32, rows), t.split.pixels, t.split.labels)
	if err != nil {
		return nil, err
	}
	outputs, err := tensors.CopyFlatData[float32](results[0])
	if err != nil {
		return nil, oneLine(err)
	}
	losses, err := tensors.CopyFlatData[float32](results[1])
	if err != nil {
		return nil, oneLine(err)
	}
	return &Predictions{array.New(outputs[:images*classes], images, classes), losses[:images], t.labels, t.classes}, nil
}
