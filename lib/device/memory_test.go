package device

import (
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// convolutions is a program that needs memory for two stacks of maps on the way, and images for it.
func convolutions(t *testing.T, images int) (*graph.Exec, *tensors.Tensor) {
	backend, err := open(defaultBackend)
	if err != nil {
		t.Fatal(err)
	}
	const side, channels = 64, 64
	exec := graph.MustNewExec(backend, func(x *graph.Node) *graph.Node {
		around := [2]int{1, 1}
		for range 2 {
			w := graph.BroadcastToDims(graph.Scalar(x.Graph(), x.DType(), 0.1), 1, 1, channels, channels)
			x = graph.MaxPool(graph.Convolve(x, w).Done()).Window(3).Strides(1).PaddingPerDim([][2]int{around, around}).Done()
		}
		return graph.ReduceAllSum(x)
	})
	return exec, tensors.FromFlatDataAndDimensions(make([]float32, images*side*side*channels), images, side, side, channels)
}

// faults is how many pages this process has got from the system until now. A page has 4096 bytes.
func faults(t *testing.T) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return usage.Minflt
}

// The heap for large blocks keeps its order, whoever takes and gives back what.
func TestHeap(t *testing.T) {
	program := filepath.Join(t.TempDir(), "heap")
	args := []string{"-g", "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-Wno-use-after-free",
		"-fno-builtin", "-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-pthread", "-o", program, "plugin/check/heap.c"}
	if output, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if output, err := exec.Command(program).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// What a call needs on the way, here twice 64 MB, is there for the next call: it is not got from the system again, page
// by page.
func TestMemoryStaysForTheNextCall(t *testing.T) {
	exec, x := convolutions(t, 64)
	least := int64(math.MaxInt64) // the first calls get memory, and one that begins before the last has freed its own
	for range 8 {
		before := faults(t)
		exec.MustCall(x)
		least = min(least, faults(t)-before)
	}
	if least > 2<<20/4096 {
		t.Errorf("each call gets %d pages from the system", least)
	}
}

// A call that takes much, here twice 128 MB, begins when the last one has given back what it took. Otherwise some begin
// before that, and after a few calls there are several such blocks. One more is for a call that waited in vain, which a
// busy machine may cause.
func TestCallsTakeTurnsWithTheirMemory(t *testing.T) {
	exec, x := convolutions(t, 128)
	exec.MustCall(x)
	exec.MustCall(x)
	before := faults(t)
	for range 30 {
		exec.MustCall(x)
	}
	if more := faults(t) - before; more > 300<<20/4096 {
		t.Errorf("30 calls got %d MB more than the first two", more*4096>>20)
	}
}

// A program that is named for it computes new values where the old ones are, or elsewhere if they are not given to it.
// It changes one variable here, and uses its old values for something else, too.
func TestVariablesChangeInPlace(t *testing.T) {
	needOneDNN(t)
	backend, err := open(defaultBackend)
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	g := graph.NewGraph(backend, "convbook in place 1 square")
	x := graph.Parameter(g, "x", shapes.Make(dtypes.Float32, size))
	if err := g.Compile(graph.Mul(x, x), graph.ReduceAllSum(x)); err != nil {
		t.Fatal(err)
	}
	values := func(b compute.Buffer) []float32 {
		flat, err := b.Data()
		if err != nil {
			t.Fatal(err)
		}
		return flat.([]float32)
	}
	for _, given := range []bool{true, false} {
		threes := tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{3}, size), size)
		if err := threes.MaterializeOnDevice(backend, false, 0); err != nil {
			t.Fatal(err)
		}
		buffer, err := threes.Buffer(backend, 0)
		if err != nil {
			t.Fatal(err)
		}
		before := &values(buffer)[0]
		if given {
			if buffer, err = threes.DonateBuffer(backend, 0); err != nil {
				t.Fatal(err)
			}
		}
		outputs := g.RunWithBuffers([]compute.Buffer{buffer}, []bool{given}, 0)
		result, err := outputs[0].Buffer(backend, 0)
		if err != nil {
			t.Fatal(err)
		}
		after := values(result)
		if same := &after[0] == before; same != given {
			t.Errorf("memory given: %v, results in it: %v", given, same)
		}
		if after[0] != 9 || after[size-1] != 9 || outputs[1].Value().(float32) != 3*size {
			t.Errorf("results %g … %g and %v", after[0], after[size-1], outputs[1].Value())
		}
		if !given && *before != 3 {
			t.Errorf("the variable has become %g", *before)
		}
	}
}

// A program that needs more memory than any machine has is an error that says how much, before it is called.
func TestProgramThatIsTooLarge(t *testing.T) {
	backend, err := open(defaultBackend)
	if err != nil {
		t.Fatal(err)
	}
	_, err = graph.CallOnce(backend, func(x *graph.Node) *graph.Node {
		const side = 1 << 24 // so the matrix has 2^50 bytes
		return graph.Sin(graph.Add(graph.IotaFull(x.Graph(), shapes.Make(dtypes.Float32, side, side)), x))
	}, float32(1))
	if err == nil || !regexp.MustCompile(`this needs [0-9]{7}\.[0-9] GiB of memory at a time, and [0-9]+\.[0-9] GiB are free`).MatchString(err.Error()) {
		t.Errorf("the error is %v", err)
	}
}
