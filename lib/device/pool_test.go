package device

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// These are the tests of plugin/pool.c: maxima over windows, against loops in Go.

type pooling struct{ batch, height, width, channels, size, stride, padding, beyond int }

// side is the number of windows along a side; beyond lets the last one reach further than the padding.
func (p pooling) side(n int) int { return (n+2*p.padding+p.beyond-p.size)/p.stride + 1 }

// windows calls f for every window and channel, with the places of what it shows in the order of rows.
func (p pooling) windows(f func(y int, xs []int)) {
	y := 0
	for n := range p.batch {
		for row := range p.side(p.height) {
			for column := range p.side(p.width) {
				for channel := range p.channels {
					var xs []int
					for r := row*p.stride - p.padding; r < row*p.stride-p.padding+p.size; r++ {
						for s := column*p.stride - p.padding; s < column*p.stride-p.padding+p.size; s++ {
							if r >= 0 && r < p.height && s >= 0 && s < p.width {
								xs = append(xs, ((n*p.height+r)*p.width+s)*p.channels+channel)
							}
						}
					}
					f(y, xs)
					y++
				}
			}
		}
	}
}

var poolings = []pooling{
	{2, 6, 6, 1, 2, 2, 0, 0},
	{2, 7, 5, 3, 3, 1, 1, 0},  // as in an Inception module
	{3, 8, 8, 16, 3, 2, 0, 0}, // AlexNet
	{1, 7, 9, 20, 3, 2, 1, 0}, // ResNet
	{2, 8, 8, 37, 3, 2, 0, 1}, // GoogLeNet, which rounds up
	{1, 5, 5, 6, 5, 1, 2, 0},
	{5, 4, 9, 64, 2, 3, 1, 0}, // pixels that no window shows
	{1, 3, 3, 4, 3, 3, 0, 0},
}

// Values and gradients are those of the loops, bit for bit: of equal values the first has the gradient, as in PyTorch,
// and what is not a number stays.
func TestPoolings(t *testing.T) {
	backend, err := open(defaultBackend)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range poolings {
		x := make([]float32, p.batch*p.height*p.width*p.channels)
		for i := range x {
			x[i] = float32(rand.IntN(5) - 2) // so there are equal ones
		}
		x[rand.IntN(len(x))] = float32(math.NaN())
		pull := make([]float32, p.batch*p.side(p.height)*p.side(p.width)*p.channels)
		for i := range pull {
			pull[i] = float32(rand.IntN(100))
		}
		around := [2]int{p.padding, p.padding + p.beyond}
		got := graph.MustExecOnceN(backend, func(x, pull *graph.Node) []*graph.Node {
			y := graph.MaxPool(x).Window(p.size).Strides(p.stride).PaddingPerDim([][2]int{around, around}).Done()
			return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, pull)), x)...)
		}, tensors.FromFlatDataAndDimensions(x, p.batch, p.height, p.width, p.channels),
			tensors.FromFlatDataAndDimensions(pull, p.batch, p.side(p.height), p.side(p.width), p.channels))
		y, gradient := make([]float32, len(pull)), make([]float32, len(x))
		p.windows(func(at int, xs []int) {
			most := xs[0]
			for _, i := range xs {
				if x[i] > x[most] || x[i] != x[i] && x[most] == x[most] {
					most = i
				}
			}
			y[at] = x[most]
			if x[most] == x[most] {
				gradient[most] += pull[at]
			}
		})
		for i, want := range [][]float32{y, gradient} {
			values := tensors.MustCopyFlatData[float32](got[i])
			// Who has the gradient of a window that shows what is not a number is left open.
			open := func(at int) bool { return i == 1 && p.near(x, at) }
			for at := range want {
				if math.Float32bits(values[at]) != math.Float32bits(want[at]) && !open(at) &&
					!(values[at] != values[at] && want[at] != want[at]) {
					t.Errorf("%+v: value %d of %s is %v, want %v", p, at, []string{"the maxima", "the gradient"}[i], values[at], want[at])
					break
				}
			}
		}
	}
}

// near reports whether a window shows a value and one that is not a number.
func (p pooling) near(x []float32, at int) (found bool) {
	p.windows(func(_ int, xs []int) {
		found = found || slices.Contains(xs, at) && slices.ContainsFunc(xs, func(i int) bool { return x[i] != x[i] })
	})
	return found
}

// A program that the plugin computes poolings of names the call in what is kept of it.
func TestPoolingsAreCalled(t *testing.T) {
	needOneDNN(t)
	for wish, called := range map[string]bool{"on": true, "off": false} {
		program := programOfChild(t, wish)
		for kind, name := range []string{"maxima", "their gradient"} {
			call := fmt.Appendf(nil, "{plan = array<i64: %d, 2, 3, 3, 8, 2, 2, 2, 8, 2, 2, 1, 1, 0, 0>}", kind)
			if got := bytes.Contains(program, call); got != called {
				t.Errorf("CONVBOOK_ONEDNN=%s: the plugin is called for %s: %v", wish, name, got)
			}
		}
	}
}

// Maxima and their gradient as go-xla writes them, and their plans, worked out by hand: the kind; the sizes of x and y;
// window, stride and padding before.
const (
	maxima = `
  %2 = "stablehlo.reduce_window"(%arg0, %1) ({
    ^reductionFn(%lhs: tensor<f32>, %rhs: tensor<f32>) :
        %0 = "stablehlo.maximum"(%lhs, %rhs) : (tensor<f32>, tensor<f32>) -> tensor<f32>
        "stablehlo.return"(%0) : (tensor<f32>) -> ()
  }) {
    base_dilations = array<i64: 1, 1, 1, 1>,
    padding = dense<[[0, 0], [1, 0], [1, 1], [0, 0]]> : tensor<4x2xi64>,
    window_dilations = array<i64: 1, 1, 1, 1>,
    window_dimensions = array<i64: 1, 3, 2, 1>,
    window_strides = array<i64: 1, 2, 1, 1>
  } : (tensor<2x6x6x3xf32>, tensor<f32>) -> tensor<2x3x7x3xf32>
`
	maximaCall = `"stablehlo.custom_call"(%arg0, %1) {` + "\n" +
		`api_version = 4 : i32, call_target_name = "convbook.pooling", has_side_effect = false, ` +
		`backend_config = {plan = array<i64: 0, 2, 6, 6, 3, 2, 3, 7, 3, 3, 2, 2, 1, 1, 1>}, ` +
		`operand_layouts = [dense<[3, 2, 1, 0]> : tensor<4xindex>, dense<[]> : tensor<0xindex>], ` +
		`result_layouts = [dense<[3, 2, 1, 0]> : tensor<4xindex>]`

	ofMaxima = `
  %21 = "stablehlo.select_and_scatter"(%arg0, %16, %20) ({
    ^selectFn(%lhs: tensor<f32>, %rhs: tensor<f32>) :
        %19 = "stablehlo.compare"(%lhs, %rhs) {
          compare_type = #stablehlo<comparison_type FLOAT>,
          comparison_direction = #stablehlo<comparison_direction GE>
        } : (tensor<f32>, tensor<f32>) -> tensor<i1>
        "stablehlo.return"(%19) : (tensor<i1>) -> ()
  }, {
    ^scatterFn(%lhs: tensor<f32>, %rhs: tensor<f32>) :
        %5 = "stablehlo.add"(%lhs, %rhs) : (tensor<f32>, tensor<f32>) -> tensor<f32>
        "stablehlo.return"(%5) : (tensor<f32>) -> ()
  }) {
    padding = dense<[[0, 0], [1, 0], [1, 1], [0, 0]]> : tensor<4x2xi64>,
    window_dimensions = array<i64: 1, 3, 2, 1>,
    window_strides = array<i64: 1, 2, 1, 1>
  } : (tensor<2x6x6x3xf32>, tensor<2x3x7x3xf32>, tensor<f32>) -> tensor<2x6x6x3xf32>
`
	ofMaximaCall = `"stablehlo.custom_call"(%arg0, %16, %20) {` + "\n" +
		`api_version = 4 : i32, call_target_name = "convbook.pooling", has_side_effect = false, ` +
		`backend_config = {plan = array<i64: 1, 2, 6, 6, 3, 2, 3, 7, 3, 3, 2, 2, 1, 1, 1>}, ` +
		`operand_layouts = [dense<[3, 2, 1, 0]> : tensor<4xindex>, dense<[3, 2, 1, 0]> : tensor<4xindex>, dense<[]> : tensor<0xindex>], ` +
		`result_layouts = [dense<[3, 2, 1, 0]> : tensor<4xindex>]`
)

func TestReadingPoolings(t *testing.T) {
	program := sanitized(t, "plugin/check/rewrite.c")
	for _, c := range []struct{ name, text, call string }{
		{"maxima", maxima, maximaCall}, {"gradient", ofMaxima, ofMaximaCall},
	} {
		for what, text := range map[string]string{
			"as go-xla writes it": c.text,
			"on one line":         oneLine(c.text),
			"comments":            replaced(t, c.text, ",\n", ", // }) {\n"),
			"without a stride":    replaced(t, replaced(t, c.text, "<i64: 1, 2, 1, 1>", "<i64: 1, 1, 1, 1>"), "2x3x7x3", "2x5x7x3"),
		} {
			call := c.call
			if what == "without a stride" {
				call = replaced(t, call, "2, 3, 7, 3, 3, 2, 2, 1", "2, 5, 7, 3, 3, 2, 1, 1")
			}
			if rewritten, status := rewrite(t, program, text); status != 0 || !strings.Contains(rewritten, call) {
				t.Errorf("%s, %s: status %d, %s", c.name, what, status, rewritten)
			}
		}
		for what, text := range map[string]string{
			"double precision":       strings.ReplaceAll(c.text, "f32", "f64"),
			"a size not known":       replaced(t, c.text, "<2x6x6", "<?x6x6"),
			"a window over channels": replaced(t, c.text, "3, 2, 1>", "3, 1, 2>"),
			"sizes that do not fit":  replaced(t, c.text, "<2x3x7x3", "<2x4x7x3"),
			"other channels":         replaced(t, c.text, "<2x3x7x3", "<2x3x7x4"),
			"a huge window":          replaced(t, c.text, "<i64: 1, 3, 2, 1>", "<i64: 1, 99999999999, 2, 1>"),
			"more in a region":       replaced(t, c.text, "\n  }) {", "\n \"book.x\"() : () -> ()\n  }) {"),
			"another result":         strings.Replace(strings.Replace(c.text, "return\"(%0", "return\"(%lhs", 1), "return\"(%19", "return\"(%lhs", 1),
			"a text":                 `%1 = "book.note"() {text = "\"stablehlo.reduce_window\"(%1) {"} : () -> i1`,
		} {
			if rewritten, status := rewrite(t, program, text); status != 0 || rewritten != text {
				t.Errorf("%s, %s: status %d, %s", c.name, what, status, rewritten)
			}
		}
	}
	for what, text := range map[string]string{
		"means":                 replaced(t, maxima, "stablehlo.maximum", "stablehlo.add"),
		"arguments exchanged":   replaced(t, ofMaxima, "compare\"(%lhs, %rhs)", "compare\"(%rhs, %lhs)"),
		"the smallest":          replaced(t, ofMaxima, "direction GE", "direction LE"),
		"the last of equal":     replaced(t, ofMaxima, "direction GE", "direction GT"),
		"scattered otherwise":   replaced(t, ofMaxima, "stablehlo.add", "stablehlo.multiply"),
		"stretched":             replaced(t, maxima, "base_dilations = array<i64: 1, 1, 1, 1>", "base_dilations = array<i64: 1, 2, 1, 1>"),
		"a window with holes":   replaced(t, maxima, "window_dilations = array<i64: 1, 1, 1, 1>", "window_dilations = array<i64: 1, 2, 1, 1>"),
		"several at once":       `%1:2 = "stablehlo.reduce_window"(%2, %3) ({^r(%a: tensor<f32>): "book.x"()}) {} : (tensor<1xf32>, tensor<f32>) -> tensor<1xf32>`,
		"a distribution":        replaced(t, maxima, "{\n    base", "{\n    sdy.sharding = #sdy.x<@mesh, [{}]>,\n    base"),
		"more axes than images": replaced(t, maxima, "tensor<2x6x6x3xf32>", "tensor<2x6x6x3x1xf32>"),
	} {
		if rewritten, status := rewrite(t, program, text); status != 0 || rewritten != text {
			t.Errorf("%s: status %d, %s", what, status, rewritten)
		}
	}
	for what, c := range map[string]struct{ text, want string }{
		"a new attribute":    {replaced(t, maxima, "base_dilations", "bias"), "cannot read the pooling in line 2 of the program (%2): bias"},
		"no window":          {replaced(t, ofMaxima, "window_dimensions = array<i64: 1, 3, 2, 1>,", ""), "gradient of a pooling in line 2 of the program (%21): window_dimensions"},
		"padding of another": {replaced(t, maxima, "dense<[[0, 0], [1, 0], [1, 1], [0, 0]]> : tensor<4x2xi64>", "array<i64: 1>"), "(%2): padding"},
		"another type":       {replaced(t, maxima, "(tensor<2x6x6x3xf32>", "(memref<2x6x6x3xf32>"), "(%2): memref<2x6x6x3xf32>"},
		"the end in it":      {maxima[:200], "cannot read the pooling in line 2"},
	} {
		got, status := rewrite(t, program, c.text)
		if status != 1 || !strings.Contains(got, c.want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: status %d, %q, want %q", what, status, got, c.want)
		}
	}
}

// Poolings, batch norms and updates are the same with every width of vectors.
func TestWidthsOfVectors(t *testing.T) {
	if output, err := exec.Command(sanitized(t, "plugin/check/widths.c")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}
