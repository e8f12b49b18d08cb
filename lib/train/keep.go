package train

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/safetensors"
	"example.org/convbook/lib/train/internal/store"
)

// Keep says which epoch's weights a run has in the end.
type Keep string

const (
	LastEpoch Keep = "" // those after the last epoch that was done

	// BestEpoch keeps those of the best epoch: the one with the highest accuracy on the validation images; of several
	// with the same accuracy the one with the lowest validation loss, and of those the first. The test images have no
	// part in it.
	BestEpoch Keep = "best epoch"
)

// checkKeep finds settings of Keep and Patience that cannot work.
func (t Task) checkKeep() error {
	switch {
	case t.Keep != LastEpoch && t.Keep != BestEpoch:
		return fmt.Errorf("keep is %q: it must be train.LastEpoch or train.BestEpoch", t.Keep)
	case t.Patience < 0:
		return fmt.Errorf("patience is %d: it must be at least 1, or 0 for a training that does not end early", t.Patience)
	case t.Data.HasValidation():
		return nil
	}
	const remedy = "%s needs validation images to tell which epoch is best, and %s has none: keep some back with Data.Validate(n)"
	switch {
	case t.Keep == BestEpoch:
		return fmt.Errorf(remedy, "Keep: train.BestEpoch", t.Data.Name)
	case t.Patience > 0:
		return fmt.Errorf(remedy, fmt.Sprintf("Patience: %d", t.Patience), t.Data.Name)
	}
	return nil
}

// best is the index of the best epoch.
func best(epochs []EpochHistory) (at int) {
	for i, h := range epochs {
		than := epochs[at]
		if cmp.Or(cmp.Compare(h.ValidationAccuracy, than.ValidationAccuracy), cmp.Compare(than.ValidationLoss, h.ValidationLoss)) > 0 {
			at = i
		}
	}
	return at
}

// kept is the index of the epoch whose weights a run has that ends here.
func (c Config) kept(epochs []EpochHistory) int {
	if c.Keep == BestEpoch {
		return best(epochs)
	}
	return len(epochs) - 1
}

// over reports whether a training ends after these epochs.
func (c Config) over(epochs []EpochHistory) bool {
	n := len(epochs)
	return n >= c.Epochs || c.Patience > 0 && n > 0 && n-1-best(epochs) >= c.Patience
}

// choosesEpoch reports whether a run's last epoch may be another than the last of all that it could have.
func (c Config) choosesEpoch() bool { return c.Keep != LastEpoch || c.Patience > 0 }

// Note says in a line what the number of epochs does not: that the training ended before the last of them, or that the
// weights are those of an earlier one. It is empty otherwise.
func (e Ended) Note() string {
	switch {
	case e.Epoch == 0 || e.Epoch == e.Epochs:
		return ""
	case e.Epoch == e.Done:
		return fmt.Sprintf("ended after epoch %d of %d", e.Done, e.Epochs)
	case e.Done == e.Epochs:
		return fmt.Sprintf("kept: epoch %d of %d", e.Epoch, e.Epochs)
	}
	return fmt.Sprintf("ended after epoch %d of %d, kept: epoch %d", e.Done, e.Epochs, e.Epoch)
}

// outcome is what a run keeps of an epoch: the network's variables, and what it gives for the test images.
type outcome struct{ model, test map[string]safetensors.Tensor }

// outcome copies them from the device.
func (t *training) outcome(p *Predictions) (*outcome, error) {
	variables, err := t.engine.variables(nn.Owns)
	return &outcome{variables, map[string]safetensors.Tensor{
		"outputs": safetensors.Float32(p.Outputs.Values, p.Outputs.Dims...),
		"losses":  safetensors.Float32(p.Losses, len(p.Losses)),
	}}, err
}

// In a checkpoint, what is kept of the best epoch stands under these names beside the variables.
const (
	bestModel = "best/" + store.Model
	bestTest  = "best/" + store.Test + "/"
)

// addTo puts it beside a checkpoint's variables.
func (s *outcome) addTo(variables map[string]safetensors.Tensor) {
	for path, t := range s.model {
		variables[bestModel+path] = t
	}
	for name, t := range s.test {
		variables[bestTest+name] = t
	}
}

// takeOutcome takes it out of a checkpoint again. It is nil if there is none in it.
func takeOutcome(variables map[string]safetensors.Tensor) *outcome {
	s := &outcome{map[string]safetensors.Tensor{}, map[string]safetensors.Tensor{}}
	for path, t := range variables {
		if name, ok := strings.CutPrefix(path, bestModel); ok {
			s.model[name] = t
			delete(variables, path)
		}
		if name, ok := strings.CutPrefix(path, bestTest); ok {
			s.test[name] = t
			delete(variables, path)
		}
	}
	if len(s.model)+len(s.test) == 0 {
		return nil
	}
	return s
}

// checkOutcome makes sure that a checkpoint has what it should of the best of these epochs.
func (t *training) checkOutcome(s *outcome, epochs []EpochHistory) error {
	if wanted := t.engine.Keep == BestEpoch && len(epochs) > 0; wanted != (s != nil) {
		return errors.New("it does not have the weights of the best epoch, or should not")
	}
	if s == nil {
		return nil
	}
	n := 0
	for v := range t.engine.vars.IterVariables() {
		if nn.Owns(v) {
			n++
			if err := fits(v, s.model); err != nil {
				return err
			}
		}
	}
	images := t.about.TestImages
	outputs, losses := s.test["outputs"], s.test["losses"]
	if n != len(s.model) || len(s.test) != 2 || outputs.DType != "F32" || losses.DType != "F32" ||
		!slices.Equal(outputs.Dims, []int{images, len(t.engine.Data.Classes)}) || !slices.Equal(losses.Dims, []int{images}) {
		return errors.New("what it has of the best epoch is of another network or of other test images")
	}
	return nil
}
