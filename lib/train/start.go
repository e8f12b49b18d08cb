package train

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/ml/model"

	"example.org/convbook/lib/internal/text"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train/internal/store"
)

// planStart makes sure that the task's Start has something to begin with, and that Freeze and StartRate are about it. It
// returns what identifies the run.
func (p *plan) planStart() (sum string, err error) {
	begins := p.Start != nil || p.StartWeights != nil
	switch {
	case !begins && len(p.Freeze) > 0:
		return "", errors.New("the task has Freeze but no Start: only layers that begin with another run's weights can be frozen")
	case !begins && p.StartRate != 1:
		return "", errors.New("the task has StartRate but no Start: it is about the weights of another run")
	case !begins && p.StartLast:
		return "", errors.New("the task has StartLast but no Start: it is about the weights of another run")
	case !begins:
		return "", nil
	case p.Start != nil && p.StartWeights != nil:
		return "", errors.New("the task has Start and StartWeights: leave one of the two out")
	case p.Start != nil && p.Start.check() != nil:
		return "", errors.New("the task's Start is not a finished run: get one with Fit or Load")
	case !(p.StartRate > 0) || infinite(p.StartRate):
		return "", fmt.Errorf("the task's StartRate is %v: it must be above 0 and finite; Freeze keeps weights as they are",
			p.StartRate)
	case float32(p.StartRate*p.Optimizer.rate) == 0:
		return "", fmt.Errorf("the task's StartRate is %v of the learning rate %v: their product is 0 as a float32, as "+
			"networks are computed; Freeze keeps weights as they are", p.StartRate, p.Optimizer.rate)
	}
	from, whose, sum, err := p.startVariables()
	if err != nil {
		return "", err
	}
	p.taken = taken(p.summary, from, p.StartLast)
	switch all := p.summary.Variables; {
	case p.StartLast && (len(p.taken) == 0 || p.taken[len(p.taken)-1].Name != all[len(all)-1].Name):
		return "", fmt.Errorf("%s cannot start from %s with StartLast: its last layer has variables of other names or "+
			"dimensions there", p.summary.Network, whose)
	case len(p.taken) == 0:
		return "", fmt.Errorf("%s cannot start from %s: the last layer is new without StartLast, and no other has "+
			"variables of the same names and dimensions in both", p.summary.Network, whose)
	}
	if p.frozen, err = frozen(p.Freeze, p.taken); err != nil {
		return "", err
	}
	if len(p.frozen) == len(p.summary.Variables) {
		return "", errors.New("the task's Freeze names all layers, with StartLast the last one, too: nothing is left to learn")
	}
	if p.StartRate != 1 && len(p.frozen) == len(p.taken) {
		return "", errors.New("the task has StartRate, but Freeze names all layers that it is for: leave one of the two out")
	}
	return sum, nil
}

// startVariables are the variables that there are to begin with, whose they are, and what identifies their values.
func (p *plan) startVariables() (variables []nn.Variable, whose, sum string, err error) {
	if p.Start != nil {
		from := p.Start.plan.summary
		return from.Variables, "the run of " + from.Network, p.Start.plan.place.ModelSum(), nil
	}
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(p.StartWeights)) {
		w := p.StartWeights[name]
		v := nn.Variable{Name: name, Dims: w.Dims}
		if len(w.Values) != v.Size() {
			return nil, "", "", fmt.Errorf("the task's StartWeights have %d values for %s, which has the dimensions %v",
				len(w.Values), name, w.Dims)
		}
		for _, value := range w.Values {
			if math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
				return nil, "", "", fmt.Errorf("the task's StartWeights have the value %v in %s: "+
					"nothing can be learned from there", value, name)
			}
			if path.Base(name) == "variance" && value < 0 {
				return nil, "", "", fmt.Errorf("the task's StartWeights have the value %v in %s: a variance is at least 0",
					value, name)
			}
		}
		variables = append(variables, v)
		fmt.Fprintln(hash, name, w.Dims)
		hash.Write(safetensors.Float32(w.Values).Bytes)
	}
	return variables, "its StartWeights", fmt.Sprintf("%x", hash.Sum(nil)), nil
}

// startNote says in a line how much of another network's weights a training begins with. It is empty if it begins with
// none.
func (p *plan) startNote() string {
	if len(p.taken) == 0 {
		return ""
	}
	layers := func(variables []nn.Variable) (paths []string) {
		for _, v := range variables {
			paths = append(paths, path.Dir(v.Name))
		}
		return slices.Compact(paths)
	}
	all, old := layers(p.summary.Variables), layers(p.taken)
	fresh := slices.DeleteFunc(slices.Clone(all), func(layer string) bool { return slices.Contains(old, layer) })
	note := fmt.Sprintf("starts with the weights of %d of the %d layers that have any", len(old), len(all))
	if n := len(layers(p.frozen)); n > 0 {
		note += fmt.Sprintf(", %d of them frozen", n)
	}
	if len(fresh) > 0 {
		note += "; new: " + text.Some(fresh, 4)
	}
	return note
}

// taken lists the variables of a network that begin with the values of another one's: those of layers that fit as a
// whole, but for the last layer that has any, and that of each auxiliary classifier, unless they are kept.
func taken(to *nn.Summary, from []nn.Variable, keepLast bool) (variables []nn.Variable) {
	given := map[string][]int{}
	for _, v := range from {
		given[v.Name] = v.Dims
	}
	auxiliary := map[string]string{} // by layer, the classifier that it belongs to
	for _, l := range to.Layers {
		if l.Lane == "auxiliary" {
			auxiliary[l.Path] = l.Block
		}
	}
	different := map[string]bool{} // by layer
	last := map[string]string{}    // by classifier, the network's own being ""
	for _, v := range to.Variables {
		layer := path.Dir(v.Name)
		last[auxiliary[layer]] = layer
		if dims, ok := given[v.Name]; !ok || !slices.Equal(dims, v.Dims) {
			different[layer] = true
		}
	}
	for _, v := range to.Variables {
		layer := path.Dir(v.Name)
		if (layer != last[auxiliary[layer]] || keepLast) && !different[layer] {
			variables = append(variables, v)
		}
	}
	return variables
}

// frozen are those of the variables that were taken over whose layers one of the patterns names. Each has to name one.
func frozen(patterns []string, taken []nn.Variable) (variables []nn.Variable, err error) {
	used := map[string]bool{}
	var layers []string
	for _, v := range taken {
		layer := path.Dir(v.Name)
		layers = append(layers, layer)
		keeps := false
		for _, pattern := range patterns {
			named, err := names(pattern, layer)
			if err != nil {
				return nil, err
			}
			used[pattern] = used[pattern] || named
			keeps = keeps || named
		}
		if keeps {
			variables = append(variables, v)
		}
	}
	for _, pattern := range patterns {
		if !used[pattern] {
			return nil, fmt.Errorf("the task's Freeze names %q: the layers that begin with the run's weights are %s",
				pattern, strings.Join(slices.Compact(layers), ", "))
		}
	}
	return variables, nil
}

// names reports whether a pattern names a layer, or a block around it.
func names(pattern, layer string) (bool, error) {
	for ; layer != "."; layer = path.Dir(layer) {
		if named, err := path.Match(pattern, layer); named || err != nil {
			if err != nil {
				err = fmt.Errorf("the task's Freeze has %q, which is no pattern: write one such as conv* or conv[1-4]", pattern)
			}
			return named, err
		}
	}
	return false, nil
}

// start gives the variables that fit the values of the run to start from, or of other weights.
func (e *engine) start() error {
	whose, saved := "the task's StartWeights", map[string]safetensors.Tensor{}
	for name, w := range e.StartWeights {
		saved[nn.Path(name)] = safetensors.Float32(w.Values, w.Dims...)
	}
	if e.Start != nil {
		whose = "the run to start from, in " + e.Start.Dir()
		var err error
		if saved, err = e.Start.plan.place.Tensors(store.Model); err != nil {
			return err
		}
	}
	for _, v := range e.taken {
		if err := setVariable(e.vars.GetVariable(nn.Path(v.Name)), saved); err != nil {
			return fmt.Errorf("%s: %w", whose, err)
		}
	}
	return nil
}

// freeze marks what is frozen as not to be trained. No gradient with respect to it is computed, nor to what only it is
// made of, and the optimizer keeps nothing for it.
func (e *engine) freeze() {
	for _, v := range e.frozen {
		e.vars.GetVariable(nn.Path(v.Name)).SetTrainable(false)
	}
}

// rates are the shares of the learning rate that parameters may have, and rateOf is which of them one has.
func (p *plan) rates() []float64 {
	if p.StartRate == 1 {
		return []float64{1}
	}
	return []float64{1, p.StartRate}
}

func (p *plan) rateOf(v *model.Variable) int {
	isTaken := func(taken nn.Variable) bool { return nn.Path(taken.Name) == v.Path() }
	if p.StartRate != 1 && slices.ContainsFunc(p.taken, isTaken) {
		return 1
	}
	return 0
}
