package train

import (
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/nn"
)

// What other packages say of themselves, as it is stored with a run.

// describeNetwork is what the network computes and how it starts.
func describeNetwork(s *nn.Trace) any {
	return struct {
		Name        string `json:"name"`
		Fingerprint string `json:"fingerprint"`
	}{s.Network, s.Fingerprint()}
}

// describeData is how the pictures reach the network.
func describeData(data dataset.Images) any {
	return struct {
		Text string `json:"text"`
	}{data.String()}
}

// openSplits reads the data set.
func openSplits(data dataset.Images) (s splits, err error) {
	s.train, s.test, err = data.Open()
	return s, err
}
