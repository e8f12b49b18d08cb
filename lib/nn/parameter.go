package nn

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/initializer"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Variable is an array of numbers that a network keeps.
type Variable struct {
	Name      string // such as conv1/weights
	Dims      []int
	Trainable bool // a parameter, which training changes by its gradient

	drawn   bool // whether initial holds
	initial initial
}

// Size is the number of values.
func (v Variable) Size() int { return size(v.Dims) }

func size(dims []int) int {
	n := 1
	for _, dim := range dims {
		n *= dim
	}
	return n
}

// root is the scope in which a network keeps its variables.
const root = "net"

// Path is the path in a store of the variable with this name.
func Path(name string) string { return "/" + root + "/" + name }

// Owns reports whether a store's variable is one of the network's.
func Owns(v *model.Variable) bool { return strings.HasPrefix(v.Path(), Path("")) }

// initial is an initial distribution: every value from low to high is equally likely.
type initial struct{ low, high float64 }

// uniform is every value in ±bound.
func uniform(bound float64) initial { return initial{-bound, bound} }

// constant is one value.
func constant(value float64) initial { return initial{value, value} }

// parameter is the trainable variable called name of the layer at scope, as it stands in x's graph.
//
// While a network is summarized the variable gets no values; [Summary.Initialize] draws them on the host, which
// compiles nothing and gives the same weights on every device. A graph that is built without a tracer lets GoMLX draw
// them.
func parameter(scope *model.Scope, x *graph.Node, name string, initial initial, dims ...int) *graph.Node {
	return variable(scope, x, name, initial, dims...).NodeValue(x)
}

// statistic is a variable that the layer itself changes while it trains.
func statistic(scope *model.Scope, x *graph.Node, name string, initial initial, dims ...int) *model.Variable {
	return variable(scope, x, name, initial, dims...).SetTrainable(false)
}

func variable(scope *model.Scope, x *graph.Node, name string, initial initial, dims ...int) *model.Variable {
	scope = scope.WithInitializer(initializer.RandomUniformFn(scope, initial.low, initial.high))
	v := scope.VariableWithShape(name, shapes.Make(dtypes.Float32, dims...))
	if t := tracerOf(x.Graph()); t != nil {
		t.initial[v.Path()] = initial
	}
	return v
}

// Initialize creates the network's variables in the store, with initial values drawn from the seed. Each
// parameter has a generator of its own, so a layer added to a network leaves the others' values as they were.
//
// Variables of layers made with [ModelFunc] get the values that their own GoMLX initialisers give them.
func (s *Summary) Initialize(store *model.Store, backend compute.Backend, seed int) error {
	if err := store.SetRNGStateFromSeed(int64(seed)); err != nil {
		return err
	}
	complete := true
	for _, v := range s.Variables {
		if !v.drawn {
			complete = false
			continue
		}
		hash := fnv.New64a()
		hash.Write([]byte(v.Name))
		random := rand.New(rand.NewPCG(uint64(seed), hash.Sum64()))
		values := make([]float32, v.Size())
		for i := range values {
			values[i] = float32(v.initial.low + random.Float64()*(v.initial.high-v.initial.low))
		}
		value := tensors.FromFlatDataAndDimensions(values, v.Dims...)
		store.VariableWithValue(Path(v.Name), value).SetTrainable(v.Trainable)
	}
	if complete {
		return nil
	}
	return exceptions.TryCatch[error](func() {
		g := graph.NewGraph(backend, s.Network)
		defer g.Finalize()
		model.SetStore(g, store)
		images := graph.Parameter(g, "images", shapes.Make(dtypes.Float32, append([]int{1}, s.Input...)...))
		Apply(store.RootScope(), s.net, images) // creates the variables that are not there yet
		if err := store.InitializeVariables(backend, nil); err != nil {
			panic(err)
		}
	})
}
