// Package pytorch reads and writes weights as PyTorch has them: a network's state dict in a safetensors file.
//
// In Python, such a file is written and read by
//
//	from safetensors.torch import load_file, save_file
//	save_file(net.state_dict(), "net.safetensors")
//	net.load_state_dict(load_file("net.safetensors"))
//
// The networks of package zoo have the names that torchvision and the notes' PyTorch code give their layers, so the
// files fit as they are. Another network without blocks is an nn.Sequential of the same layers, nn.Flatten and
// nn.Dropout among them: 0.weight, 0.bias, 3.weight. What PyTorch calls differently can be read by its order, which a
// file does not keep by itself:
//
//	save_file(state, "net.safetensors", {"order": "\n".join(state)})
//
// PyTorch keeps images as channels × height × width and filters first; this package puts both into the order of package
// nn, and back.
package pytorch

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/internal/text"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
)

// Read returns the weights in the file for the network, for images of these dimensions: height, width, channels. They
// are what [nn.Compute] and [nn.Summary.Store] take, and what a training begins with as train.Task's StartWeights.
//
// The numbers may be of 16, 32 or 64 bits. What nn.DataParallel and torch.compile put before names is left out, and so
// are batch norm's counters and the auxiliary classifiers that only training uses. Whatever else does not fit is an
// error of one line: names that are missing or unknown, other dimensions, numbers that are not finite.
func Read(file string, net nn.Layer, image ...int) (map[string]array.Array, error) {
	summary, err := nn.Summarize(net, image...)
	if err != nil {
		return nil, err
	}
	tensors, metadata, err := safetensors.Read(file)
	if err != nil && isPickle(file) {
		return nil, fmt.Errorf("%s is a pickle, which can run any program when it is read: in Python, "+
			`import torch, safetensors.torch; state = torch.load(%[1]q, map_location="cpu", weights_only=True); `+
			`safetensors.torch.save_file(state, %q)`, file, strings.TrimSuffix(file, path.Ext(file))+".safetensors")
	}
	if err != nil {
		return nil, err
	}
	weights, err := convert(tensors, metadata["order"], summary)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return weights, nil
}

// Write puts weights of the network, such as those of a run, into a file that PyTorch reads. The file is written as a
// whole or not at all.
func Write(file string, weights map[string]array.Array, net nn.Layer, image ...int) error {
	summary, err := nn.Summarize(net, image...)
	if err != nil {
		return err
	}
	flattened, err := flattenedInto(summary)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	tensors := map[string]safetensors.Tensor{}
	full, ones := withScales(summary)
	for i, name := range namesOf(full) {
		v := full.Variables[i]
		w, ok := weights[v.Name]
		if one, isScale := ones[v.Name]; isScale {
			w, ok = one, true
		}
		if !ok || len(w.Values) != v.Size() {
			return fmt.Errorf("cannot write %s: %s needs %d values for %s, and there are %d",
				file, summary.Network, v.Size(), v.Name, len(w.Values))
		}
		if !slices.Equal(longer(w.Dims), longer(v.Dims)) {
			return fmt.Errorf("cannot write %s: %s needs %v for %s, and it has the dimensions %v",
				file, summary.Network, v.Dims, v.Name, w.Dims)
		}
		l := layout(v, flattened[path.Dir(v.Name)])
		tensors[name] = safetensors.Float32(transposed(w.Values, permuted(l.dims, l.axes), inverse(l.axes)), l.shape...)
	}
	return safetensors.Write(file, tensors, map[string]string{"format": "pt"}) // what Python libraries look for
}

// longer are the dimensions of more than 1: the others do not move a value.
func longer(dims []int) []int {
	return slices.DeleteFunc(slices.Clone(dims), func(dim int) bool { return dim == 1 })
}

// isPickle tells a file of torch.save, which is a zip archive with a pickle in it or was once a pickle alone.
func isPickle(file string) bool {
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return false
	}
	in, err := os.Open(file)
	if err != nil {
		return false
	}
	defer in.Close()
	start := make([]byte, 4)
	_, err = io.ReadFull(in, start)
	return err == nil && (string(start) == "PK\x03\x04" || string(start) == "\x80\x02\x8a\n")
}

// convert gives each of the network's variables its tensor: by its name, or if names differ, by the order.
func convert(tensors map[string]safetensors.Tensor, order string, net *nn.Summary) (map[string]array.Array, error) {
	net, ones := withScales(net)
	state, err := stateDict(tensors, net)
	if err != nil {
		return nil, err
	}
	flattened, err := flattenedInto(net)
	if err != nil {
		return nil, err
	}
	names := namesOf(net)
	lacks := func(name string) bool { _, ok := state[name]; return !ok }
	if order != "" && slices.ContainsFunc(names, lacks) {
		names, err = ordered(order, state, net, flattened)
	} else {
		err = compare(state, names, net, flattened)
	}
	if err != nil {
		return nil, err
	}
	weights := map[string]array.Array{}
	for i, v := range net.Variables {
		values, err := state[names[i]].Float32s()
		if err == nil {
			err = checkFinite(values)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", names[i], err)
		}
		if one, isScale := ones[v.Name]; isScale {
			if !slices.Equal(values, one.Values) {
				return nil, fmt.Errorf("%s is not 1, but that batch norm of %s has no scale", names[i], net.Network)
			}
			continue
		}
		l := layout(v, flattened[path.Dir(v.Name)])
		weights[v.Name] = array.New(transposed(values, l.dims, l.axes), v.Dims...)
	}
	return weights, nil
}

// withScales is the network with the scales that PyTorch's batch norms have where its own do without, and their values,
// which are 1 each.
func withScales(net *nn.Summary) (*nn.Summary, map[string]array.Array) {
	full, ones := *net, map[string]array.Array{}
	full.Variables = nil
	without := map[string]bool{}
	for _, layer := range net.Layers {
		without[layer.Path] = layer.NoScale
	}
	for _, v := range net.Variables {
		layer, what := path.Split(v.Name)
		if what == "shift" && without[path.Clean(layer)] {
			scale := nn.Variable{Name: layer + "scale", Dims: v.Dims}
			full.Variables = append(full.Variables, scale)
			ones[scale.Name] = array.New(slices.Repeat([]float32{1}, v.Size()), v.Dims...)
		}
		full.Variables = append(full.Variables, v)
	}
	return &full, ones
}

// stateDict is the tensors under the names that the network itself gives them, without those that it does not need.
func stateDict(tensors map[string]safetensors.Tensor, net *nn.Summary) (map[string]safetensors.Tensor, error) {
	auxiliary := slices.ContainsFunc(net.Layers, func(l nn.LayerInfo) bool { return l.Lane == "auxiliary" })
	state := map[string]safetensors.Tensor{}
	for _, full := range slices.Sorted(maps.Keys(tensors)) {
		name := plainName(full)
		if path.Ext(name) == ".num_batches_tracked" { // a counter of PyTorch's batch norm
			continue
		}
		if first, _, _ := strings.Cut(name, "."); (first == "aux1" || first == "aux2") && !auxiliary { // GoogLeNet's
			continue
		}
		if _, ok := state[name]; ok {
			return nil, fmt.Errorf("it has two tensors for %s: write the state dict of one network", name)
		}
		state[name] = tensors[full]
	}
	return state, nil
}

// plainName is a name without the modules that nn.DataParallel and torch.compile wrap others in.
func plainName(name string) string {
	parts := slices.DeleteFunc(strings.Split(name, "."), func(part string) bool {
		return part == "module" || part == "_orig_mod"
	})
	return strings.Join(parts, ".")
}

// ordered are the state dict's names in the order that the file gives them.
func ordered(order string, state map[string]safetensors.Tensor, net *nn.Summary, flattened map[string][]int) (
	names []string, err error) {
	for full := range strings.SplitSeq(order, "\n") {
		if name := plainName(full); path.Ext(name) != ".num_batches_tracked" {
			names = append(names, name)
		}
	}
	if len(names) != len(net.Variables) {
		return nil, fmt.Errorf("%d weights for a network that has %d, %s", len(names), len(net.Variables), net.Network)
	}
	for i, v := range net.Variables {
		if slices.Contains(names[:i], names[i]) {
			return nil, fmt.Errorf("its order names %s twice", names[i])
		}
		t, ok := state[names[i]]
		if !ok {
			return nil, fmt.Errorf("there is no %s in it", names[i])
		}
		if l := layout(v, flattened[path.Dir(v.Name)]); !slices.Equal(t.Dims, l.shape) {
			return nil, fmt.Errorf("%s is %v, but %s of %s needs %v there", names[i], t.Dims, v.Name, net.Network, l.shape)
		}
	}
	return names, nil
}

// few is how many of many names an error has.
const few = 3

// compare finds what a state dict lacks, has besides, or has of other dimensions than the network.
func compare(state map[string]safetensors.Tensor, names []string, net *nn.Summary, flattened map[string][]int) error {
	var missing, others, shapes []string
	for i, v := range net.Variables {
		t, ok := state[names[i]]
		l := layout(v, flattened[path.Dir(v.Name)])
		switch {
		case !ok:
			missing = append(missing, names[i])
		case !slices.Equal(t.Dims, l.shape):
			shapes = append(shapes, fmt.Sprintf("%s is %v instead of %v", names[i], t.Dims, l.shape))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(state)) {
		if !slices.Contains(names, name) {
			others = append(others, name)
		}
	}
	var wrong []string
	if len(missing) > 0 {
		wrong = append(wrong, "it lacks "+text.Some(missing, few))
	}
	if len(others) > 0 {
		wrong = append(wrong, "it has "+text.Some(others, few)+" besides")
	}
	if len(shapes) > 0 {
		wrong = append(wrong, text.Some(shapes, few))
	}
	if len(wrong) == 0 {
		return nil
	}
	remedy := ""
	if len(missing) == len(names) {
		remedy = ". If only the names are others, write it with their order: " +
			`save_file(state, path, {"order": "\n".join(state)})`
	}
	return fmt.Errorf("these are not the weights of %s: %s%s", net.Network, strings.Join(wrong, "; "), remedy)
}

// checkFinite finds what training that diverged leaves.
func checkFinite(values []float32) error {
	var first float32
	n := 0
	for _, value := range values {
		if value-value != 0 { // NaN, +Inf or -Inf
			first = cmp.Or(first, value)
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of its %d values are not finite, such as %v: the training diverged, or the file is damaged",
		n, len(values), first)
}

// flattenedInto finds the dense layers that get a flattened image's numbers, with its height, width and channels. PyTorch
// has them in the order of channels, height, width.
func flattenedInto(net *nn.Summary) (map[string][]int, error) {
	images := map[string][]int{}
	for _, layer := range net.Layers {
		if layer.Kind != "dense" {
			continue
		}
		image, err := layer.Flattened()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: PyTorch has them in another order, and no other order of weights makes up for that",
				net.Network, err)
		}
		images[layer.Path] = image
	}
	return images, nil
}

// tensorLayout is how PyTorch lays a variable out.
type tensorLayout struct {
	shape []int // of the tensor
	dims  []int // that are in it: a flattened image has three
	axes  []int // of dims, in the variable's own order
}

// layout is that of a variable, and of one whose layer gets a flattened image, with the image's height, width and
// channels.
func layout(v nn.Variable, image []int) tensorLayout {
	switch {
	case path.Base(v.Name) != "weights": // one value for each channel or unit
		size := []int{v.Size()}
		return tensorLayout{size, size, []int{0}}
	case len(v.Dims) == 4: // [filters, channels, kernel, kernel]
		dims := []int{v.Dims[3], v.Dims[2], v.Dims[0], v.Dims[1]}
		return tensorLayout{dims, dims, []int{2, 3, 1, 0}}
	case len(v.Dims) == 2 && len(image) == 3: // [units, inputs], the inputs being channels × height × width
		shape := []int{v.Dims[1], v.Dims[0]}
		return tensorLayout{shape, []int{v.Dims[1], image[2], image[0], image[1]}, []int{2, 3, 1, 0}}
	case len(v.Dims) == 2: // [units, inputs]
		dims := []int{v.Dims[1], v.Dims[0]}
		return tensorLayout{dims, dims, []int{1, 0}}
	}
	axes := make([]int, len(v.Dims)) // what a function of a reader's own keeps, as it is
	for i := range axes {
		axes[i] = i
	}
	return tensorLayout{v.Dims, v.Dims, axes}
}

// permuted are the dimensions of an array of dimensions dims whose axes were reordered.
func permuted(dims, axes []int) []int {
	out := make([]int, len(dims))
	for i, axis := range axes {
		out[i] = dims[axis]
	}
	return out
}

// inverse are the axes that undo the reordering.
func inverse(axes []int) []int {
	out := make([]int, len(axes))
	for i, axis := range axes {
		out[axis] = i
	}
	return out
}

// transposed reorders an array: its axes[i] becomes the i-th.
func transposed(values []float32, dims, axes []int) []float32 {
	steps := make([]int, len(dims)) // between neighbours along each axis
	for step, i := 1, len(dims)-1; i >= 0; i-- {
		steps[i] = step
		step *= dims[i]
	}
	out := make([]float32, 0, len(values))
	var walk func(axis, at int)
	walk = func(axis, at int) {
		n, step := dims[axes[axis]], steps[axes[axis]]
		if axis == len(axes)-1 {
			for i := range n {
				out = append(out, values[at+i*step])
			}
			return
		}
		for i := range n {
			walk(axis+1, at+i*step)
		}
	}
	walk(0, 0)
	return out
}
