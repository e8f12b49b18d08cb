package origin

import "time"

// NPMTemp is what a test of leftovers has to know.
const NPMTemp = npmTemp

// SetPatience lets a host stay silent for that long, until restore is called.
func SetPatience(limit time.Duration) (restore func()) {
	before := patience
	patience = limit
	return func() { patience = before }
}
