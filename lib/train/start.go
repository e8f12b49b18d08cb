package train

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train/internal/store"
)

// checkStart makes sure that the task's Start has something to begin with, and returns what identifies it.
func (t Task) checkStart(summary *nn.Summary) (sum string, err error) {
	if t.Start.plan == nil {
		return "", errors.New("the task's Start is not a finished run: get one with Fit or Load")
	}
	from := t.Start.plan.summary
	if len(taken(summary, from)) == 0 {
		return "", fmt.Errorf("%s cannot start from the run of %s: the last layer is always new, and no other has "+
			"variables of the same names and dimensions in both", summary.Network, from.Network)
	}
	return t.Start.plan.place.ModelSum(), nil
}

// taken lists the variables of a network that begin with the values of another one's: those of layers that fit as a
// whole, but for the last layer that has any.
func taken(to, from *nn.Summary) (variables []nn.Variable) {
	given := map[string][]int{}
	for _, v := range from.Variables {
		given[v.Name] = v.Dims
	}
	different := map[string]bool{} // by layer
	last := ""
	for _, v := range to.Variables {
		last = path.Dir(v.Name)
		if dims, ok := given[v.Name]; !ok || !slices.Equal(dims, v.Dims) {
			different[last] = true
		}
	}
	for _, v := range to.Variables {
		if layer := path.Dir(v.Name); layer != last && !different[layer] {
			variables = append(variables, v)
		}
	}
	return variables
}

// start gives the variables that fit the values of the run to start from.
func (e *engine) start() error {
	if e.Start == nil {
		return nil
	}
	saved, err := e.Start.plan.place.Tensors(store.Model)
	if err != nil {
		return err
	}
	for _, v := range taken(e.summary, e.Start.plan.summary) {
		if err := setVariable(e.vars.GetVariable(nn.Path(v.Name)), saved); err != nil {
			return fmt.Errorf("the run to start from, in %s: %w", e.Start.Dir(), err)
		}
	}
	return nil
}
