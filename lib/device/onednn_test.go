package device

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/go-xla/pjrt"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"example.org/convbook/lib/internal/text"
)

// These are the tests of plugin/convolve.c and products.c: convolutions that oneDNN computes, against sums over four
// axes in Go.

type convolution struct{ batch, side, channels, filters, kernel, stride, padding, dilation int }

// out is the side of the feature map.
func (c convolution) out() int { return (c.side+2*c.padding-c.dilation*(c.kernel-1)-1)/c.stride + 1 }

// each calls f for every product in the convolution, with the places of its factors and of the sum that it goes into.
func (c convolution) each(f func(x, w, y int)) {
	for n := range c.batch {
		for row := range c.out() {
			for column := range c.out() {
				for i := range c.kernel {
					for j := range c.kernel {
						r, s := row*c.stride+i*c.dilation-c.padding, column*c.stride+j*c.dilation-c.padding
						if r < 0 || r >= c.side || s < 0 || s >= c.side {
							continue
						}
						for channel := range c.channels {
							for filter := range c.filters {
								f(((n*c.side+r)*c.side+s)*c.channels+channel,
									((i*c.kernel+j)*c.channels+channel)*c.filters+filter,
									((n*c.out()+row)*c.out()+column)*c.filters+filter)
							}
						}
					}
				}
			}
		}
	}
}

func random(dims ...int) *tensors.Tensor {
	values := make([]float32, shapes.Make(0, dims...).Size())
	for i := range values {
		values[i] = rand.Float32() - 0.5
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

func TestConvolutionsByOneDNN(t *testing.T) {
	backend, err := open(defaultBackend)
	if err != nil {
		t.Fatal(err)
	}
	needOneDNN(t)
	if !OneDNN(backend) {
		t.Fatal("oneDNN is there and the plugin does not use it")
	}
	for _, c := range []convolution{
		{4, 8, 3, 16, 3, 1, 1, 1},   // as VGG begins
		{2, 8, 32, 32, 3, 1, 1, 1},  // as it goes on
		{4, 2, 64, 48, 3, 1, 1, 1},  // and ends: maps smaller than the window
		{2, 12, 3, 6, 5, 1, 0, 1},   // Net
		{2, 6, 6, 16, 5, 1, 0, 1},   // Net
		{3, 9, 1, 10, 5, 1, 0, 1},   // one channel, a batch that is not divisible by 2
		{1, 7, 5, 7, 3, 1, 1, 1},    // a batch of one, odd numbers of channels
		{2, 11, 8, 16, 3, 2, 1, 1},  // stride
		{2, 10, 8, 16, 3, 2, 1, 1},  // stride with a last column that no window covers
		{2, 8, 16, 8, 1, 2, 0, 1},   // ResNet's shortcut
		{2, 23, 3, 16, 11, 4, 2, 1}, // AlexNet's first
		{2, 9, 8, 8, 3, 1, 2, 2},    // dilation
		{16, 1, 64, 80, 3, 1, 1, 1}, // by products of matrices: one pixel, which one place of the window sees
		{17, 2, 96, 64, 3, 1, 1, 1}, // an odd batch
		{16, 4, 65, 67, 3, 1, 1, 1}, // odd channels
		{16, 4, 64, 64, 3, 2, 2, 1}, // stride
		{16, 6, 64, 64, 3, 1, 3, 3}, // dilation
		{16, 5, 64, 64, 3, 4, 2, 1}, // pixels that no window sees
		{16, 7, 64, 72, 3, 1, 1, 1}, // without AVX-512, the gradient with respect to the weights by products, too
		{16, 19, 65, 64, 3, 2, 1, 1},
		{17, 6, 64, 257, 3, 1, 1, 1}, // many filters
		{16, 6, 80, 64, 1, 2, 0, 1},
	} {
		c.test(t, backend, dtypes.Float32, 0)
		if BFloat16(backend) {
			c.test(t, backend, dtypes.BFloat16, 1./128) // a result is rounded to 8 bits, a sum of two parts twice
		}
	}
}

// What the plugin does on a processor without AVX-512: oneDNN is told that this is one.
func TestConvolutionsWithoutAVX512(t *testing.T) {
	needOneDNN(t)
	run := exec.Command(os.Args[0], "-test.run=^TestConvolutionsByOneDNN$")
	run.Env = append(os.Environ(), "DNNL_MAX_CPU_ISA=AVX2")
	if output, err := run.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// test computes the convolution and its gradients with values of a type, whose results are as exact as it allows.
func (c convolution) test(t *testing.T, backend compute.Backend, precision dtypes.DType, rounding float64) {
	x, w := random(c.batch, c.side, c.side, c.channels), random(c.kernel, c.kernel, c.channels, c.filters)
	pull := random(c.batch, c.out(), c.out(), c.filters)
	got := graph.MustExecOnceN(backend, func(x, w, pull *graph.Node) []*graph.Node {
		around := [2]int{c.padding, c.padding}
		x, w, pull = graph.ConvertDType(x, precision), graph.ConvertDType(w, precision), graph.ConvertDType(pull, precision)
		y := graph.Convolve(x, w).Strides(c.stride).Dilations(c.dilation).PaddingPerDim([][2]int{around, around}).Done()
		found := append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, pull)), x, w)...)
		found = append(found, x, w, pull)
		for i, node := range found {
			found[i] = graph.ConvertDType(node, dtypes.Float32)
		}
		return found
	}, x, w, pull)
	values := func(i int) []float32 { return tensors.MustCopyFlatData[float32](got[i]) }
	xs, ws, pulls := values(3), values(4), values(5) // as they were rounded
	want := [3][]float64{make([]float64, len(pulls)), make([]float64, len(xs)), make([]float64, len(ws))}
	c.each(func(x, w, y int) {
		want[0][y] += float64(xs[x]) * float64(ws[w])
		want[1][x] += float64(pulls[y]) * float64(ws[w])
		want[2][w] += float64(pulls[y]) * float64(xs[x])
	})
	for i, name := range []string{"the convolution", "its gradient with respect to the images", "its gradient with respect to the weights"} {
		for j, v := range values(i) {
			if math.Abs(float64(v)-want[i][j]) > 1e-4+rounding*math.Abs(want[i][j]) {
				t.Errorf("%v %+v: value %d of %s is %g, want %g", precision, c, j, name, v, want[i][j])
				break
			}
		}
	}
}

// programOfChild is what is kept of the child's program, compiled with that value of CONVBOOK_ONEDNN.
func programOfChild(t *testing.T, wish string) []byte {
	t.Helper()
	folder := t.TempDir()
	child(t, folder, "CONVBOOK_ONEDNN="+wish)
	path, _ := kept(t, folder)
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// A program that calls oneDNN names the call and its plan, so it is seen in the program that is kept: a convolution,
// its gradient with respect to the images and to the weights.
func TestOneDNNIsCalled(t *testing.T) {
	needOneDNN(t)
	for wish, called := range map[string]bool{"on": true, "off": false} {
		program := programOfChild(t, wish)
		for kind, name := range []string{"the convolution", "its gradient with respect to the images", "its gradient with respect to the weights"} {
			if got := bytes.Contains(program, fmt.Appendf(nil, "{plan = array<i64: %d, ", kind)); got != called {
				t.Errorf("CONVBOOK_ONEDNN=%s: oneDNN is called for %s: %v", wish, name, got)
			}
		}
	}
}

// A program with a convolution that cannot be read is not compiled, and the error says why.
func TestUnreadableProgramIsNotCompiled(t *testing.T) {
	needOneDNN(t)
	folder := t.TempDir()
	command := exec.Command(os.Args[0], "-test.run=^TestUnreadableChild$")
	command.Env = append(os.Environ(), childEnv+"=1", compiledEnv+"="+folder, "CONVBOOK_ONEDNN=on")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	const want = "cannot read the convolution in line 3 of the program (%129): window_strides: " +
		"set CONVBOOK_ONEDNN=off to compute without oneDNN, which is slower"
	if lines := strings.Split(string(output), "\n"); lines[0] != want || !strings.HasSuffix(lines[1], want) {
		t.Errorf("printed %q, want the line %q, and an error with it", output, want)
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("kept %v", left)
	}
}

// TestUnreadableChild is started by the test before, and prints the error.
func TestUnreadableChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("another test starts it")
	}
	plugin, err := pjrt.GetPlugin("cpu")
	if err != nil {
		t.Fatal(err)
	}
	client, err := plugin.NewClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Destroy()
	changed := strings.Replace(forward, "window_strides = array<i64: 1, 1>", "window_strides = dense<1> : tensor<2xi64>", 1)
	_, err = client.Compile().WithStableHLO([]byte(changed)).Done()
	if err == nil {
		t.Fatal("it was compiled")
	}
	fmt.Println(text.FirstLine(err))
}

// A convolution ends, and is right, whatever XLA's threads are asked for and do not do.
func TestConvolutionWithoutThreads(t *testing.T) {
	run := exec.Command(sanitized(t, "plugin/check/schedule.c"))
	run.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0") // what is made ready lives as long as the process
	if output, err := run.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// A convolution is divided among fewer processors where oneDNN has nothing for as few images as each would get.
func TestConvolutionInFewerParts(t *testing.T) {
	run := exec.Command(sanitized(t, "plugin/check/parts.c"))
	run.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0", "DNNL_MAX_CPU_ISA=AVX")
	output, err := run.CombinedOutput()
	if run.ProcessState.ExitCode() == 3 {
		t.Skip("on this processor oneDNN computes this convolution for a single image, too, or not at all")
	}
	if err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// oneDNN writes nowhere but where it may. Its own code is not compiled with sanitizers, and writes what it then runs.
func TestOneDNNStaysWithinItsMemory(t *testing.T) {
	if output, err := exec.Command(compiled(t, "plugin/check/bounds.c", "-O1")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// Many convolutions at once, more than XLA has threads, end, and give what they give alone.
func TestConvolutionsAtOnce(t *testing.T) {
	backend, err := open(defaultBackend)
	if err != nil {
		t.Fatal(err)
	}
	x, w := random(4, 8, 8, 16), random(3, 3, 16, 16)
	sum := func(x, w *graph.Node) *graph.Node {
		around := [2]int{1, 1}
		return graph.ReduceAllSum(graph.Square(graph.Convolve(x, w).PaddingPerDim([][2]int{around, around}).Done()))
	}
	want := graph.MustExecOnce(backend, sum, x, w).Value().(float32)
	exec := graph.MustNewExec(backend, func(x, w *graph.Node) (all []*graph.Node) {
		for i := range 32 {
			all = append(all, sum(graph.MulScalar(x, float64(i)), w))
		}
		return all
	})
	results := make(chan error)
	for range 8 {
		go func() {
			for range 20 {
				for i, got := range exec.MustCall(x, w) {
					if v, want := got.Value().(float32), want*float32(i*i); math.Abs(float64(v-want)) > 1e-3*float64(want) {
						results <- fmt.Errorf("convolution %d gives %g, want %g", i, v, want)
						return
					}
				}
			}
			results <- nil
		}()
	}
	for range 8 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}
