package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/device"
)

func ExampleSummary() {
	net := Named("LeNet",
		Conv(6, 5).Padding(2), ReLU, AvgPool(2),
		Conv(16, 5), ReLU, AvgPool(2),
		Flatten, Dense(120), ReLU, Dense(84), ReLU, Dense(10))
	summary, err := Summary(net, 28, 28, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(summary.Parameters(), "parameters,", summary.Output, "outputs")
	// Output: 61706 parameters, [10] outputs
}

func backend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs a graph function on values and returns its results as flat slices with their dimensions.
func run(t testing.TB, f func(inputs []*graph.Node) []*graph.Node, inputs ...any) (values [][]float32, dims [][]int) {
	t.Helper()
	outputs, err := graph.ExecOnceN(backend(t), f, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	for _, output := range outputs {
		values = append(values, tensors.MustCopyFlatData[float32](output))
		dims = append(dims, output.Shape().Dimensions)
	}
	return values, dims
}

func random(seed uint64, dims ...int) *tensors.Tensor {
	r := rand.New(rand.NewPCG(seed, 0))
	values := make([]float32, size(dims))
	for i := range values {
		values[i] = float32(r.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

func close(a, b []float32, tolerance float64) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Abs(float64(x-y)) <= tolerance*(1+math.Abs(float64(y)))
	})
}

var lowerings = map[string]lowering{
	"convolution": asConvolution, "patches": asPatches, "dense": asDense, "Winograd": asConvolutionWinogradWeights,
	"batch last": func(x, weights *graph.Node, stride, padding int) *graph.Node {
		return turned(convolveBatchLast(materialize(turned(x)), weights, stride, padding))
	},
}

// A case small enough for paper: the filter 1 0 / 0 −1 takes from each pixel the one to its lower right.
func TestConvolutionByHand(t *testing.T) {
	image := tensors.FromFlatDataAndDimensions([]float32{
		1, 2, 3,
		4, 5, 7,
		9, 8, 6}, 1, 3, 3, 1)
	weights := tensors.FromFlatDataAndDimensions([]float32{1, 0, 0, -1}, 2, 2, 1, 1)
	for name, lower := range lowerings {
		if name == "Winograd" {
			continue // takes windows of 3×3
		}
		for _, c := range []struct {
			stride, padding int
			want            []float32
			dims            []int
		}{
			{1, 0, []float32{1 - 5, 2 - 7, 4 - 8, 5 - 6}, []int{1, 2, 2, 1}},
			{2, 0, []float32{1 - 5}, []int{1, 1, 1, 1}},
			{1, 1, []float32{
				-1, -2, -3, 0,
				-4, 1 - 5, 2 - 7, 3,
				-9, 4 - 8, 5 - 6, 7,
				0, 9, 8, 6}, []int{1, 4, 4, 1}},
			{2, 1, []float32{-1, -3, -9, 5 - 6}, []int{1, 2, 2, 1}},
		} {
			got, dims := run(t, func(in []*graph.Node) []*graph.Node {
				return []*graph.Node{lower(in[0], in[1], c.stride, c.padding)}
			}, image, weights)
			if !slices.Equal(got[0], c.want) || !slices.Equal(dims[0], c.dims) {
				t.Errorf("%s, stride %d, padding %d: %v %v, want %v %v", name, c.stride, c.padding, got[0], dims[0], c.want, c.dims)
			}
		}
	}
}

// convolve is the sum that defines a convolution, written out.
func convolve(x, w []float32, batch, height, width, channels, kernel, filters, stride, padding int) []float32 {
	rows, columns := (height+2*padding-kernel)/stride+1, (width+2*padding-kernel)/stride+1
	var y []float32
	for b := range batch {
		for r := range rows {
			for c := range columns {
				for f := range filters {
					sum := 0.0
					for i := range kernel {
						for j := range kernel {
							yy, xx := r*stride+i-padding, c*stride+j-padding
							if yy < 0 || yy >= height || xx < 0 || xx >= width {
								continue
							}
							for ch := range channels {
								sum += float64(x[((b*height+yy)*width+xx)*channels+ch]) * float64(w[((i*kernel+j)*channels+ch)*filters+f])
							}
						}
					}
					y = append(y, float32(sum))
				}
			}
		}
	}
	return y
}

// Over a grid of sizes, every lowering equals the written-out sum, its size is the formula's, and its gradients equal
// those of finite differences.
func TestLoweringsAgree(t *testing.T) {
	for _, height := range []int{7, 8} {
		testLoweringsAgree(t, height)
	}
}

func testLoweringsAgree(t *testing.T, height int) {
	const batch, width, channels, filters = 2, 6, 3, 2
	x := random(1, batch, height, width, channels)
	for _, kernel := range []int{1, 2, 3, 5} {
		for _, stride := range []int{1, 2, 3} {
			for _, padding := range []int{0, 1, 2} {
				w := random(2, kernel, kernel, channels, filters)
				xs, ws := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](w)
				want := convolve(xs, ws, batch, height, width, channels, kernel, filters, stride, padding)
				wantDims := []int{batch, (height+2*padding-kernel)/stride + 1, (width+2*padding-kernel)/stride + 1, filters}
				pull := random(3, wantDims...) // the loss is the sum of the outputs, each times a number of its own
				pulls := tensors.MustCopyFlatData[float32](pull)
				loss := func(xs, ws []float32) float64 {
					sum := 0.0
					for i, y := range convolve(xs, ws, batch, height, width, channels, kernel, filters, stride, padding) {
						sum += float64(y) * float64(pulls[i])
					}
					return sum
				}
				for name, lower := range lowerings {
					winograd := height%2 == 0 && kernel == 3 && stride == 1 && padding == 1 // and width, which is even
					if name == "Winograd" && !winograd || name != "Winograd" && height == 8 {
						continue
					}
					got, dims := run(t, func(in []*graph.Node) []*graph.Node {
						y := lower(in[0], in[1], stride, padding)
						gradients := graph.Gradient(graph.ReduceAllSum(graph.Mul(y, in[2])), in[0], in[1])
						return append([]*graph.Node{y}, gradients...)
					}, x, w, pull)
					where := fmt.Sprintf("%s, kernel %d, stride %d, padding %d", name, kernel, stride, padding)
					if !slices.Equal(dims[0], wantDims) {
						t.Fatalf("%s: %v, the formula says %v", where, dims[0], wantDims)
					}
					if !close(got[0], want, 1e-4) {
						t.Errorf("%s: the values differ from the sum", where)
					}
					checkGradient(t, where+", by the image", got[1], xs, func(xs []float32) float64 { return loss(xs, ws) })
					checkGradient(t, where+", by the weights", got[2], ws, func(ws []float32) float64 { return loss(xs, ws) })
				}
			}
		}
	}
}

// checkGradient compares some of a gradient's values with finite differences of the function.
func checkGradient(t *testing.T, where string, gradient, at []float32, f func([]float32) float64) {
	t.Helper()
	const h = 0.05
	for i := 0; i < len(at); i += 1 + len(at)/7 {
		moved := slices.Clone(at)
		moved[i] = at[i] + h
		up := f(moved)
		moved[i] = at[i] - h
		down := f(moved)
		want := (up - down) / (2 * h)
		if math.Abs(float64(gradient[i])-want) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("%s: gradient %d is %v, finite differences give %v", where, i, gradient[i], want)
		}
	}
}

func TestPoolingByHand(t *testing.T) {
	image := tensors.FromFlatDataAndDimensions([]float32{
		1, 2, 5, 6,
		3, 9, 7, 8,
		0, 0, 4, 1,
		0, 0, 2, 3}, 1, 4, 4, 1)
	for _, c := range []struct {
		layer Layer
		want  []float32
	}{
		{MaxPool(2), []float32{9, 8, 0, 4}},
		{AvgPool(2), []float32{15. / 4, 26. / 4, 0, 10. / 4}},
		{MaxPool(2).Stride(1), []float32{9, 9, 8, 9, 9, 8, 0, 4, 4}},
		{MaxPool(3), []float32{9}},
	} {
		got, _ := run(t, func(in []*graph.Node) []*graph.Node {
			return []*graph.Node{c.layer.Apply(nil, in[0])}
		}, image)
		if !slices.Equal(got[0], c.want) {
			t.Errorf("%v: %v, want %v", c.layer, got[0], c.want)
		}
	}
}

// The gradient of a maximum goes to one of the values that have it, also where several do, so that its sum stays.
func TestMaxPoolGradient(t *testing.T) {
	image := tensors.FromFlatDataAndDimensions([]float32{
		1, 2, 5, 5,
		3, 9, 5, 5}, 1, 2, 4, 1)
	got, _ := run(t, func(in []*graph.Node) []*graph.Node {
		y := MaxPool(2).Apply(nil, in[0])
		return graph.Gradient(graph.ReduceAllSum(graph.MulScalar(y, 3)), in[0])
	}, image)
	g := got[0]
	if !slices.Equal([]float32{g[0], g[1], g[4], g[5]}, []float32{0, 0, 0, 3}) {
		t.Errorf("first window: %v", g)
	}
	if ties := g[2] + g[3] + g[6] + g[7]; ties != 3 {
		t.Errorf("the gradients of four equal values sum to %v, want 3: %v", ties, g)
	}
}

// Poolings of tiles give what XLA's own pooling gives, with the batch first or last, and so do their gradients. Of equal
// values, the first one gets a maximum's: PyTorch's nn.MaxPool2d gives 5 5 / 5 5 the gradient 1 0 / 0 0.
func TestPoolingOfTiles(t *testing.T) {
	for _, layer := range []PoolLayer{MaxPool(2), AvgPool(2), MaxPool(3)} {
		got, _ := run(t, func(in []*graph.Node) []*graph.Node {
			var values, gradients []*graph.Node
			for _, y := range []*graph.Node{
				layer.pool(in[0]).Window(layer.size).NoPadding().Done(),
				layer.poolTiles(in[0]),
				turned(layer.poolTiles(turned(in[0]))),
			} {
				values = append(values, y)
				gradients = append(gradients, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, in[1])), in[0])[0])
			}
			return append(values, gradients...)
		}, random(1, 3, 6, 12, 2), random(2, 3, 6/layer.size, 12/layer.size, 2))
		for i, where := range []string{"batch first", "batch last"} {
			if !close(got[1+i], got[0], 1e-6) {
				t.Errorf("%v, %s: other values than XLA's", layer, where)
			}
			if !close(got[4+i], got[3], 1e-6) {
				t.Errorf("%v, %s: another gradient than XLA's", layer, where)
			}
		}
	}
	ties := tensors.FromFlatDataAndDimensions([]float32{5, 5, 5, 5}, 1, 2, 2, 1)
	got, _ := run(t, func(in []*graph.Node) []*graph.Node {
		return graph.Gradient(graph.ReduceAllSum(MaxPool(2).poolTiles(in[0])), in[0])
	}, ties)
	if !slices.Equal(got[0], []float32{1, 0, 0, 0}) {
		t.Errorf("the gradient of four equal values is %v", got[0])
	}
}

// Poolings of windows that overlap give what XLA's own pooling gives, and so do their gradients. Of equal values, the first
// one gets the gradient, as in PyTorch: 5 3 / 3 5 in one window gives 1 0 / 0 0.
func TestPoolingOfOverlaps(t *testing.T) {
	for _, layer := range []PoolLayer{
		MaxPool(2).Stride(1), MaxPool(3).Stride(1).Padding(1), MaxPool(3).Stride(2), MaxPool(3).Stride(2).Padding(1), MaxPool(3).Stride(2).Ceil(),
	} {
		rows, columns := layer.beyond(6), layer.beyond(9)
		got, _ := run(t, func(in []*graph.Node) []*graph.Node {
			var values, gradients []*graph.Node
			own := layer.pool(in[0]).Window(layer.size).Strides(layer.stride).
				PaddingPerDim([][2]int{{layer.padding, layer.padding + rows}, {layer.padding, layer.padding + columns}})
			for _, y := range []*graph.Node{own.Done(), layer.poolShifted(in[0])} {
				values = append(values, y)
				weights := graph.IotaFull(y.Graph(), y.Shape())
				gradients = append(gradients, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, weights)), in[0])[0])
			}
			return append(values, gradients...)
		}, random(1, 3, 6, 9, 2))
		if !close(got[1], got[0], 0) {
			t.Errorf("%v: other values than XLA's", layer)
		}
		if !close(got[3], got[2], 1e-3) {
			t.Errorf("%v: another gradient than XLA's", layer)
		}
	}
	for _, c := range []struct{ image, want []float32 }{
		{[]float32{5, 3, 3, 5}, []float32{1, 0, 0, 0}},
		{[]float32{3, 5, 5, 3}, []float32{0, 1, 0, 0}},
		{[]float32{5, 5, 5, 5}, []float32{1, 0, 0, 0}},
	} {
		got, _ := run(t, func(in []*graph.Node) []*graph.Node {
			return graph.Gradient(graph.ReduceAllSum(MaxPool(2).poolShifted(in[0])), in[0])
		}, tensors.FromFlatDataAndDimensions(c.image, 1, 2, 2, 1))
		if !slices.Equal(got[0], c.want) {
			t.Errorf("%v has the gradient %v, want %v", c.image, got[0], c.want)
		}
	}
}

// A sequence turns its images for a convolution of few weights, not for one of many, and not while it is traced.
func TestSequenceTurnsImages(t *testing.T) {
	if backend, err := device.Open(); err != nil || device.OneDNN(backend) {
		t.Skip("oneDNN needs no turning: `make test-go` runs this without it")
	}
	for _, c := range []struct {
		layer  ConvLayer
		wanted bool
	}{{Conv(4, 5), true}, {Conv(4, 3).Stride(2).Padding(1), true}, {Conv(4, 1), false}, {Conv(4, 7), false}, {Conv(4, 5).Groups(2), false}} {
		run(t, func(in []*graph.Node) []*graph.Node {
			if c.layer.prefersBatchLast(in[0]) != c.wanted {
				t.Errorf("%v on %v: batch last should be %v", c.layer, in[0].Shape(), c.wanted)
			}
			newTracer(in[0])
			if c.layer.prefersBatchLast(in[0]) {
				t.Errorf("%v is turned in a trace", c.layer)
			}
			return in
		}, random(1, 2, 9, 9, 6))
	}
}

func TestActivations(t *testing.T) {
	x := []float32{-2, -0.5, 0, 1, 3}
	got, _ := run(t, func(in []*graph.Node) []*graph.Node {
		return []*graph.Node{ReLU.Apply(nil, in[0]), Sigmoid.Apply(nil, in[0]), LogSoftmax.Apply(nil, in[0])}
	}, [][]float32{x})
	if !slices.Equal(got[0], []float32{0, 0, 0, 1, 3}) {
		t.Errorf("relu: %v", got[0])
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v))
	}
	for i, v := range x {
		if want := 1 / (1 + math.Exp(-float64(v))); math.Abs(float64(got[1][i])-want) > 1e-6 {
			t.Errorf("sigmoid of %v: %v, want %v", v, got[1][i], want)
		}
		if want := float64(v) - math.Log(sum); math.Abs(float64(got[2][i])-want) > 1e-5 {
			t.Errorf("log-softmax of %v: %v, want %v", v, got[2][i], want)
		}
	}
}

// A small network as a whole against the same sums written out.
func TestNetworkAgainstWrittenOutSums(t *testing.T) {
	net := Sequential(Conv(2, 3).Padding(1), ReLU, Flatten, Dense(4))
	summary, err := Summary(net, 5, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	store := model.NewStore()
	if err := summary.Initialize(store, backend(t), 1); err != nil {
		t.Fatal(err)
	}
	x := random(4, 2, 5, 4, 3)
	output, err := model.CallOnce(backend(t), store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		return Apply(scope, net, x)
	}, x)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) []float32 {
		return tensors.MustCopyFlatData[float32](store.GetVariable(Path(name)).MustValue())
	}
	maps := convolve(tensors.MustCopyFlatData[float32](x), value("conv1/weights"), 2, 5, 4, 3, 3, 2, 1, 1)
	bias, weights, last := value("conv1/bias"), value("dense1/weights"), value("dense1/bias")
	var want []float32
	for image := range 2 {
		for unit := range 4 {
			sum := float64(last[unit])
			for i := range 5 * 4 * 2 {
				sum += max(0, float64(maps[image*40+i]+bias[i%2])) * float64(weights[i*4+unit])
			}
			want = append(want, float32(sum))
		}
	}
	if got := tensors.MustCopyFlatData[float32](output); !close(got, want, 1e-5) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSummary(t *testing.T) {
	net := Named("Net",
		Conv(6, 5), ReLU, MaxPool(2),
		Named("block", Conv(16, 5), ReLU), Named("block", Conv(16, 3).Padding(1)), MaxPool(2),
		Flatten, Dense(10))
	summary, err := Summary(net, 32, 32, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []LayerInfo{
		{"conv1", "conv 5×5, 6 filters", []int{28, 28, 6}, 5*5*3*6 + 6, 28 * 28 * 6 * 5 * 5 * 3, 5},
		{"relu1", "relu", []int{28, 28, 6}, 0, 0, 5},
		{"max-pool1", "max-pool 2×2", []int{14, 14, 6}, 0, 0, 6},
		{"block1/conv1", "conv 5×5, 16 filters", []int{10, 10, 16}, 5*5*6*16 + 16, 10 * 10 * 16 * 5 * 5 * 6, 14},
		{"block1/relu1", "relu", []int{10, 10, 16}, 0, 0, 14},
		{"block2/conv1", "conv 3×3, 16 filters, padding 1", []int{10, 10, 16}, 3*3*16*16 + 16, 10 * 10 * 16 * 3 * 3 * 16, 18},
		{"max-pool2", "max-pool 2×2", []int{5, 5, 16}, 0, 0, 20},
		{"flatten1", "flatten", []int{400}, 0, 0, 20},
		{"dense1", "dense 10 units", []int{10}, 4010, 4000, 32},
	}
	if !reflect.DeepEqual(summary.Layers, want) {
		t.Errorf("layers:\n%+v\nwant\n%+v", summary.Layers, want)
	}
	if !slices.Equal(summary.Output, []int{10}) || summary.Network != "Net" {
		t.Errorf("%s gives %v", summary.Network, summary.Output)
	}
	var names []string
	for _, v := range summary.Variables {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, " "); got != "conv1/weights conv1/bias block1/conv1/weights block1/conv1/bias block2/conv1/weights block2/conv1/bias dense1/weights dense1/bias" {
		t.Errorf("variables: %s", got)
	}
	table := summary.String()
	for _, want := range []string{"32×32×3", "block1/conv1", "3×3, 16 filters, padding 1", "10×10×16", "352,800", "20×20"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

func TestSummaryNamesTheLayerThatDoesNotFit(t *testing.T) {
	for want, c := range map[string]struct {
		net   Layer
		image []int
	}{
		"A, layer conv2, on images of 6×6×1: slides a window of 5×5 over a 2×2 feature map": {Named("A", Conv(1, 5), Conv(1, 5)), []int{6, 6, 1}},
		"B, layer dense1, on images of 6×6×1: takes [batch, inputs]":                        {Named("B", ReLU, Dense(3)), []int{6, 6, 1}},
		"layer block1/max-pool1": {Named("C", Named("block", MaxPool(7))), []int{6, 6, 1}},
		"D, layer conv1, on images of 9: takes [batch, height, width, channels]": {Named("D", Conv(1, 1)), []int{9}},
		"has size 3, stride 0 and padding 0":                                     {Conv(1, 3).Stride(0), []int{6, 6, 1}},
		"has size 0, stride 1":                                                   {Conv(1, 0), []int{6, 6, 1}},
		"padding -1":                                                             {Conv(1, 3).Padding(-1), []int{6, 6, 1}},
		"has 0 filters":                                                          {Conv(0, 3), []int{6, 6, 1}},
		"layer residual1, on images of 6×6×1: cannot add [6 6 2] to [6 6 1]":         {Sequential(Residual(Conv(2, 1))), []int{6, 6, 1}},
		"layer branches1, on images of 6×6×1: cannot put [4 4 1] of branch 2 beside": {Sequential(Branches(Conv(1, 1), Conv(1, 3))), []int{6, 6, 1}},
		"has no branch": {Branches(), []int{6, 6, 1}},
		"has 2 groups for 3 channels and 4 filters":          {Conv(4, 1).Groups(2), []int{6, 6, 3}},
		"has size 3 and padding 2":                           {MaxPool(3).Padding(2), []int{6, 6, 1}},
		"only a max-pool can":                                {AvgPool(3).Ceil(), []int{6, 6, 1}},
		"drops 1 of its values":                              {Dropout(1), []int{6}},
		"has 0 units":                                        {Sequential(Flatten, Dense(0)), []int{6, 6, 1}},
		"cannot be traced on an image of dimensions []":      {ReLU, nil},
		"cannot be traced on an image of dimensions [0 6 1]": {ReLU, []int{0, 6, 1}},
		"layer mine1, on images of 6×6×1: of my own":         {Func("mine", func(*graph.Node) *graph.Node { panic("of my own\nand more") }), []int{6, 6, 1}},
	} {
		_, err := Summary(c.net, c.image...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

func TestFingerprintTellsNetworksApart(t *testing.T) {
	of := func(net Layer) string {
		summary, err := Summary(net, 8, 8, 1)
		if err != nil {
			t.Fatal(err)
		}
		return summary.Fingerprint()
	}
	halve := func(by float64) Layer {
		return Func("mine", func(x *graph.Node) *graph.Node { return graph.MulScalar(x, by) })
	}
	inTests := func(by float64) Layer {
		return ModelFunc("mine", func(scope *model.Scope, x *graph.Node) *graph.Node {
			if scope.IsTraining(x.Graph()) {
				return x
			}
			return graph.MulScalar(x, by)
		})
	}
	same := of(Named("a", Conv(2, 3), ReLU))
	if same != of(Named("b", Conv(2, 3), ReLU)) {
		t.Error("a name changes the fingerprint")
	}
	seen := map[string]string{same: "conv, relu"}
	for what, net := range map[string]Layer{
		"sigmoid": Named("a", Conv(2, 3), Sigmoid), "filters": Named("a", Conv(3, 3), ReLU), "kernel": Named("a", Conv(2, 2), ReLU),
		"stride": Named("a", Conv(2, 3).Stride(2), ReLU), "padding": Named("a", Conv(2, 3).Padding(1), ReLU), "shorter": Named("a", Conv(2, 3)),
		"max": Named("a", MaxPool(2)), "avg": Named("a", AvgPool(2)),
		// The same name, another function: a cell whose code was edited.
		"half": halve(0.5), "third": halve(1. / 3),
		// What shows in a test alone, and what shows in the loss alone.
		"doubled in tests": inTests(2), "tripled in tests": inTests(3),
		"light guess": Named("a", Flatten, Auxiliary(0.3, Dense(2)), Dense(2)), "heavy guess": Named("a", Flatten, Auxiliary(0.6, Dense(2)), Dense(2)),
	} {
		if other, ok := seen[of(net)]; ok {
			t.Errorf("%q has the fingerprint of %q", what, other)
		}
		seen[of(net)] = what
	}
}

// Initial values fill ±1/√fan-in evenly, as PyTorch's do, and depend on the seed and the name alone.
func TestInitialize(t *testing.T) {
	values := func(net Layer, seed int, name string) []float32 {
		summary, err := Summary(net, 12, 12, 4)
		if err != nil {
			t.Fatal(err)
		}
		store := model.NewStore()
		if err := summary.Initialize(store, backend(t), seed); err != nil {
			t.Fatal(err)
		}
		return tensors.MustCopyFlatData[float32](store.GetVariable(Path(name)).MustValue())
	}
	net := Sequential(Conv(32, 5), Flatten, Dense(100))
	for name, fanIn := range map[string]float64{"conv1/weights": 5 * 5 * 4, "conv1/bias": 5 * 5 * 4, "dense1/weights": 8 * 8 * 32, "dense1/bias": 8 * 8 * 32} {
		vs := values(net, 1, name)
		bound := 1 / math.Sqrt(fanIn)
		var sum, squares, most float64
		for _, v := range vs {
			sum += float64(v)
			squares += float64(v) * float64(v)
			most = max(most, math.Abs(float64(v)))
		}
		n := float64(len(vs))
		// A uniform distribution in ±b has mean 0 and variance b²/3; allow four standard errors.
		if most > bound || most < bound*(1-8/n) || math.Abs(sum/n) > 4*bound/math.Sqrt(3*n) || math.Abs(squares/n-bound*bound/3) > 4*bound*bound*math.Sqrt(4./45/n) {
			t.Errorf("%s: %v values, largest %v, mean %v, mean square %v; want uniform in ±%v", name, n, most, sum/n, squares/n, bound)
		}
	}
	first := values(net, 1, "conv1/weights")
	if !slices.Equal(first, values(net, 1, "conv1/weights")) {
		t.Error("the same seed gives other weights")
	}
	if slices.Equal(first, values(net, 2, "conv1/weights")) {
		t.Error("another seed gives the same weights")
	}
	if !slices.Equal(first, values(Sequential(Conv(32, 5), Conv(7, 3), Flatten, Dense(3)), 1, "conv1/weights")) {
		t.Error("a layer added later changes the first one's weights")
	}
}

// Plain GoMLX functions stand in as layers, with variables of their own, initialised by GoMLX.
func TestModelFunc(t *testing.T) {
	perUnit := ModelFunc("per-unit", func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope = scope.WithInitializer(graph.Ones)
		return graph.Mul(x, scope.VariableWithShape("by", shapes.Make(x.DType(), 1, x.Shape().Dim(1))).NodeValue(x))
	})
	summary, err := Summary(Sequential(Flatten, Dense(6), Func("swish", activation.Swish), perUnit), 4, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := summary.Layers[3]; got.Path != "per-unit1" || got.Parameters != 6 {
		t.Errorf("the function's line: %+v", got)
	}
	store := model.NewStore()
	if err := summary.Initialize(store, backend(t), 1); err != nil {
		t.Fatal(err)
	}
	v := store.GetVariable(Path("per-unit1/by"))
	if v == nil || !slices.Equal(tensors.MustCopyFlatData[float32](v.MustValue()), []float32{1, 1, 1, 1, 1, 1}) {
		t.Errorf("the function's variable: %v", v)
	}
	if store.GetVariable(Path("dense1/weights")).MustValue() == nil {
		t.Error("the dense layer has no weights")
	}
}

func TestActivationsOfLayers(t *testing.T) {
	net := Sequential(Conv(2, 3), ReLU, Flatten)
	summary, err := Summary(net, 4, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	store := model.NewStore()
	if err := summary.Initialize(store, backend(t), 3); err != nil {
		t.Fatal(err)
	}
	var layers []LayerInfo
	outputs, err := model.CallOnceN(backend(t), store, func(scope *model.Scope, x *graph.Node) (outputs []*graph.Node) {
		layers, outputs = Activations(scope, net, x)
		return outputs
	}, random(1, 1, 4, 4, 1))
	if err != nil {
		t.Fatal(err)
	}
	conv, relu := tensors.MustCopyFlatData[float32](outputs[0]), tensors.MustCopyFlatData[float32](outputs[1])
	for i := range conv {
		if relu[i] != max(0, conv[i]) {
			t.Fatalf("relu of %v is %v", conv[i], relu[i])
		}
	}
	if len(layers) != 3 || layers[0].Path != "conv1" || layers[2].Path != "flatten1" {
		t.Errorf("layers: %+v", layers)
	}
}
