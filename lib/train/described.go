package train

import "example.org/convbook/lib/nn"

// describeNetwork is what the network computes and how it starts.
func describeNetwork(s *nn.Trace) any {
	return struct {
		Name        string `json:"name"`
		Fingerprint string `json:"fingerprint"`
	}{s.Network, s.Fingerprint()}
}
