package device

import (
	"math"
	"regexp"
	"syscall"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// What a call needs on the way, here twice 64 MB, is there for the next call: it is not got from the system again, page
// by page.
func TestMemoryStaysForTheNextCall(t *testing.T) {
	backend, err := open(defaultBackend)
	if err != nil {
		t.Fatal(err)
	}
	const images, channels = 64, 64
	exec := graph.MustNewExec(backend, func(x *graph.Node) *graph.Node {
		around := [2]int{1, 1}
		for range 2 {
			w := graph.BroadcastToDims(graph.Scalar(x.Graph(), x.DType(), 0.1), 1, 1, channels, channels)
			x = graph.MaxPool(graph.Convolve(x, w).Done()).Window(3).Strides(1).PaddingPerDim([][2]int{around, around}).Done()
		}
		return graph.ReduceAllSum(x)
	})
	x := tensors.FromFlatDataAndDimensions(make([]float32, images*64*64*channels), images, 64, 64, channels)
	faults := func() int64 {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			t.Fatal(err)
		}
		return usage.Minflt
	}
	least := int64(math.MaxInt64) // the first calls get memory, and one that begins before the last has freed its own
	for range 8 {
		before := faults()
		exec.MustCall(x)
		least = min(least, faults()-before)
	}
	if least > 2<<20/4096 { // a page has 4096 bytes
		t.Errorf("each call gets %d pages from the system", least)
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
