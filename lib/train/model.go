package train

import (
	"fmt"
	"slices"
	"strings"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train/internal/store"
)

// Model is a trained network apart from its run: what it takes to put pictures into classes.
type Model struct {
	Net     nn.Layer
	Input   dataset.Input          // how a picture reaches the network, and the classes of its outputs
	Weights map[string]array.Array // by the names of the network's variables
}

// Model is the run's network with its weights.
func (r *Run) Model() (Model, error) {
	if err := r.check(); err != nil {
		return Model{}, err
	}
	weights, err := weightsIn(r.plan.place)
	return Model{r.plan.Net, r.plan.Data.Input(), weights}, err
}

// weightsIn are a finished run's variables, by the names that the network's summary gives them.
func weightsIn(place *store.Run) (map[string]array.Array, error) {
	saved, err := place.Tensors(store.Model)
	if err != nil {
		return nil, err
	}
	weights := map[string]array.Array{}
	for path, t := range saved {
		if weights[strings.TrimPrefix(path, nn.Path(""))], err = arrayOf(t); err != nil {
			return nil, place.Damaged("%s, %s: %w", store.Model, path, err)
		}
	}
	return weights, nil
}

// Model is the finished run's network with its weights, built from what is stored, without the code that declared it.
// It is an error if that is impossible, because the network has functions in it or because the run dates from before
// this was stored.
func (s Stored) Model() (Model, error) {
	var about description
	var result Result
	err := s.load(map[string]any{store.Config: &about, store.Result: &result})
	if err != nil {
		return Model{}, err
	}
	m := Model{}
	if m.Net, err = about.Network.Network(about.Name); err != nil {
		return Model{}, fmt.Errorf("the network of the run %s cannot be built without its code: %w", s.ID, err)
	}
	if m.Input, err = inputOf(about, result); err != nil {
		return Model{}, fmt.Errorf("the run %s %w", s.ID, err)
	}
	m.Weights, err = weightsIn(s.place)
	return m, err
}

// published are the data sets whose classes are known by name.
func published() []dataset.Images { return []dataset.Images{dataset.MNIST(), dataset.CIFAR10()} }

// inputOf is how pictures reach a stored network. Runs did not always keep it.
func inputOf(about description, result Result) (dataset.Input, error) {
	if len(result.Input.Classes) > 0 {
		return result.Input, nil
	}
	const remedy = "use it with the task that it was trained from, or train it again with Fresh: true"
	if about.Data.Permutation != "" {
		return dataset.Input{}, fmt.Errorf("does not keep in which order it takes the pixels: %s", remedy)
	}
	known := slices.IndexFunc(published(), func(d dataset.Images) bool { return d.Name == about.Data.Name })
	if known < 0 || len(about.Contents) > 0 {
		return dataset.Input{}, fmt.Errorf("does not keep the names of its classes: %s", remedy)
	}
	input := published()[known].Input()
	input.Mean, input.Std = about.Data.Mean, about.Data.Std
	return input, nil
}
