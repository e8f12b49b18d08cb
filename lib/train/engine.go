package train

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"golang.org/x/sys/unix"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/device"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train/internal/store"
)

// engine is a planned network with its variables, on a device that computes.
type engine struct {
	*plan
	backend compute.Backend
	vars    *model.Store
}

// untrained is the network as it is before the first step, with the optimizer's variables.
func (p *plan) untrained(ctx context.Context) (*engine, error) {
	e, err := p.engine()
	if err != nil {
		return nil, err
	}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	if err := p.checkData(); err != nil {
		return nil, err
	}
	if err := p.checkMemory(); err != nil {
		return nil, err
	}
	return attend(ctx, func() (*engine, error) { // large networks have a hundred million weights
		if err := p.summary.Initialize(e.vars, e.backend, p.Seed); err != nil {
			return nil, oneLine(err)
		}
		if err := e.start(); err != nil {
			return nil, err
		}
		e.freeze()
		addKept(e.vars, p.Optimizer)
		return e, nil
	})
}

// checkMemory finds a network that no memory of this machine holds, before its weights are drawn: what a program needs
// besides, the device says itself.
func (p *plan) checkMemory() error {
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		return err
	}
	const gib = 1 << 30
	there := float64(machine.Totalram+machine.Totalswap) * float64(machine.Unit) / gib
	total, largest, most := 0.0, 0.0, nn.Variable{}
	for _, v := range p.summary.Variables {
		size := 4.0 / gib
		for _, dim := range v.Dims {
			size *= float64(dim)
		}
		total += size
		if size > largest {
			largest, most = size, v
		}
	}
	if need := 2 * total; need > there {
		return fmt.Errorf("the weights of %s and their gradients take %.1f GiB, and this machine has %.1f GiB of memory: "+
			"make the network smaller; most are in %s, %v", p.summary.Network, need, there, most.Name, most.Dims)
	}
	return nil
}

// trained is the network as the finished run left it.
func (p *plan) trained() (*engine, error) {
	e, err := p.engine()
	if err != nil {
		return nil, err
	}
	weights, err := weightsIn(p.place)
	if err != nil {
		return nil, err
	}
	if e.vars, err = p.summary.Store(weights); err != nil {
		return nil, p.place.Damaged("%s is of another network: %w", store.Model, err)
	}
	e.freeze()
	return e, nil
}

// engine opens the device. There are no variables yet.
func (p *plan) engine() (*engine, error) {
	backend, err := device.Open()
	if err != nil {
		return nil, err
	}
	if p.Precision == BFloat16 && !device.BFloat16(backend) {
		return nil, errors.New("the device does not multiply bfloat16: leave Precision out, or compute on a GPU " +
			"or on a processor with AVX512-BF16")
	}
	return &engine{p, backend, model.NewStore()}, nil
}

// deviceSplit is a split of a data set on the device, as bytes.
type deviceSplit struct {
	pixels, labels *tensors.Tensor
}

var errNoSplit = errors.New("there is no split: get one with Train, Validation or Test of the data set")

// upload puts a split on the device.
func (e *engine) upload(split *dataset.Split) (d deviceSplit, err error) {
	if split == nil {
		return d, errNoSplit
	}
	pixels := shapes.Make(dtypes.Uint8, split.Len(), e.Data.Height, e.Data.Width, e.Data.Channels)
	if split.Len() == 0 || len(split.Pixels) != pixels.Size() {
		return d, fmt.Errorf("%d images in %d bytes: %s takes some of %d×%d×%d, which are a byte for each channel",
			split.Len(), len(split.Pixels), e.summary.Network, e.Data.Height, e.Data.Width, e.Data.Channels)
	}
	if image := slices.IndexFunc(split.Labels, func(label byte) bool { return int(label) >= len(e.Data.Classes) }); image >= 0 {
		return d, fmt.Errorf("image %d has the label %d: the %d classes of %s have the labels 0 to %d",
			image, split.Labels[image], len(e.Data.Classes), e.Data.Name, len(e.Data.Classes)-1)
	}
	if d.pixels, err = tensors.FromRaw(e.backend, 0, pixels, split.Pixels); err != nil {
		return d, oneLine(err)
	}
	if d.labels, err = tensors.FromRaw(e.backend, 0, shapes.Make(dtypes.Uint8, split.Len()), split.Labels); err != nil {
		return d, oneLine(err)
	}
	return d, nil
}

// toDevice moves the variables to the device. Go holds on to memory that it has used, so what they took there, which may
// be as much as a training step needs, is returned to the system at once.
func (e *engine) toDevice() error {
	for v := range e.vars.IterVariables() {
		value, err := v.Value()
		if err != nil {
			return oneLine(err)
		}
		if err := value.MaterializeOnDevice(e.backend, false, 0); err != nil {
			return oneLine(err)
		}
		value.FinalizeLocal()
	}
	debug.FreeOSMemory()
	return nil
}

// dtypeNames are safetensors' names for GoMLX's types.
var dtypeNames = map[dtypes.DType]string{
	dtypes.Float32: "F32", dtypes.Float64: "F64", dtypes.Float16: "F16", dtypes.BFloat16: "BF16",
	dtypes.Int8: "I8", dtypes.Int16: "I16", dtypes.Int32: "I32", dtypes.Int64: "I64",
	dtypes.Uint8: "U8", dtypes.Uint16: "U16", dtypes.Uint32: "U32", dtypes.Uint64: "U64", dtypes.Bool: "BOOL",
}

// variables copies the variables for which keep is true, by their paths.
func (e *engine) variables(keep func(v *model.Variable) bool) (map[string]safetensors.Tensor, error) {
	saved := map[string]safetensors.Tensor{}
	for v := range e.vars.IterVariables() {
		if !keep(v) {
			continue
		}
		value, err := v.Value()
		if err != nil {
			return nil, oneLine(err)
		}
		t := safetensors.Tensor{DType: dtypeNames[v.DType()], Dims: v.Shape().Dimensions}
		if err := value.ConstBytes(func(data []byte) { t.Bytes = slices.Clone(data) }); err != nil {
			return nil, oneLine(err)
		}
		if value.IsOnAnyDevice() {
			value.FinalizeLocal() // a second copy
		}
		saved[v.Path()] = t
	}
	return saved, nil
}

// arrays are the variables at the paths that path gives for the network's variables, by the names of the latter. An
// empty path stands for none.
func (e *engine) arrays(path func(v nn.Variable) string) (map[string]array.Array, error) {
	names := map[string]string{}
	for _, v := range e.summary.Variables {
		if at := path(v); at != "" && e.vars.GetVariable(at) != nil {
			names[at] = v.Name
		}
	}
	saved, err := e.variables(func(v *model.Variable) bool { return names[v.Path()] != "" })
	if err != nil {
		return nil, err
	}
	all := map[string]array.Array{}
	for at, t := range saved {
		if all[names[at]], err = arrayOf(t); err != nil {
			return nil, fmt.Errorf("%s: %w", names[at], err)
		}
	}
	return all, nil
}

func arrayOf(t safetensors.Tensor) (array.Array, error) {
	values, err := t.Float32s()
	if err != nil {
		return array.Array{}, err
	}
	return array.New(values, t.Dims...), nil
}

// setVariables gives all variables the saved values. They must be the same variables: of the same names, types and
// dimensions.
func (e *engine) setVariables(saved map[string]safetensors.Tensor) error {
	n := 0
	for v := range e.vars.IterVariables() {
		if err := fits(v, saved); err != nil {
			return err
		}
		n++
	}
	if n != len(saved) {
		return fmt.Errorf("it is of another network: it has %d variables, not %d", len(saved), n)
	}
	for v := range e.vars.IterVariables() {
		if err := setVariable(v, saved); err != nil {
			return err
		}
	}
	return nil
}

// setVariable gives a variable the value that is saved under its path.
func setVariable(v *model.Variable, saved map[string]safetensors.Tensor) error {
	if err := fits(v, saved); err != nil {
		return err
	}
	value, err := tensors.FromRaw(nil, 0, shapes.Make(v.DType(), v.Shape().Dimensions...), saved[v.Path()].Bytes)
	if err == nil {
		err = v.SetValue(value)
	}
	return oneLine(err)
}

func fits(v *model.Variable, saved map[string]safetensors.Tensor) error {
	t, ok := saved[v.Path()]
	if !ok || t.DType != dtypeNames[v.DType()] || !slices.Equal(t.Dims, v.Shape().Dimensions) {
		return fmt.Errorf("it is of another network: there is no %s of type %s and dimensions %v in it",
			v.Path(), dtypeNames[v.DType()], v.Shape().Dimensions)
	}
	return nil
}
