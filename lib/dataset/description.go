package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// Description is what decides how a data set's pictures reach a network, as fields that marshal to JSON. Equal
// descriptions of a published data set mean equal pictures; any other also needs the sums of its splits.
type Description struct {
	Name          string             `json:"name"`
	Classes       []string           `json:"classes,omitempty"`   // those in use, where not all are
	PerClass      int                `json:"per_class,omitempty"` // training images of each class; 0: all
	PerClassSeed  int                `json:"per_class_seed,omitempty"`
	First         int                `json:"first,omitempty"`                    // training images in use; 0: all
	FirstTest     int                `json:"first_test,omitempty"`               // test images in use; 0: all
	Validation    int                `json:"validation,omitempty"`               // training images kept back
	OfEachClass   bool               `json:"validation_of_each_class,omitempty"` // that many in all, each class having its share
	OwnValidation bool               `json:"own_validation,omitempty"`           // whether it has validation images of its own
	Mean          []float64          `json:"mean,omitempty"`                     // of all channels, or of each
	Std           []float64          `json:"std,omitempty"`
	Permutation   string             `json:"permutation,omitempty"` // SHA-256 of the pixels' order
	Augmentations []AugmentationInfo `json:"augmentations,omitempty"`
}

// Description is how the pictures reach the network, in fields.
func (d Images) Description() Description {
	about := Description{
		Name: d.Name, First: d.first, FirstTest: d.firstTest, Validation: d.validation, OwnValidation: d.own != nil,
		Mean: d.mean, Std: d.std, Permutation: sumOf(d.permutation),
	}
	if d.stored != nil {
		about.Classes = d.Classes
	}
	about.PerClass, about.PerClassSeed, about.OfEachClass = d.perClass, d.perClassSeed, d.validatesOfEach()
	for _, a := range d.augmentations {
		about.Augmentations = append(about.Augmentations, a.described(d))
	}
	return about
}

// sumOf identifies a permutation; it is empty if there is none.
func sumOf(permutation []int) string {
	if len(permutation) == 0 {
		return ""
	}
	hash := sha256.New()
	for _, p := range permutation {
		hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(p)))
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// String says in one line how the pictures reach the network.
func (d Images) String() string {
	about := d.Description()
	s := about.Name
	if len(about.Classes) > 0 {
		s += ", only " + strings.Join(about.Classes, ", ")
	}
	if about.PerClass > 0 {
		s += fmt.Sprintf(", %d of each class by seed %d", about.PerClass, about.PerClassSeed)
	}
	if about.First > 0 {
		s += fmt.Sprintf(", first %d", about.First)
	}
	if about.Validation > 0 {
		s += fmt.Sprintf(", the last %d for validation", about.Validation)
	}
	if about.OfEachClass {
		s += ", shared among the classes"
	}
	if about.OwnValidation {
		s += ", validation images of its own"
	}
	if d.testedOn != "" {
		s += ", tested on its folder " + d.testedOn
	}
	if about.FirstTest > 0 {
		s += fmt.Sprintf(", tested on the first %d", about.FirstTest)
	}
	if len(about.Mean) > 0 {
		s += fmt.Sprintf(", normalised by mean %v and std %v", about.Mean, about.Std)
	}
	if about.Permutation != "" {
		s += fmt.Sprintf(", pixels permuted by %.8s", about.Permutation)
	}
	if len(about.Augmentations) > 0 {
		var names []string
		for _, a := range about.Augmentations {
			names = append(names, a.String())
		}
		s += ", training pictures changed by " + strings.Join(names, ", ")
	}
	return s
}
