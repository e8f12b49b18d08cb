package train

import (
	"encoding/json"
	"fmt"
	"os"
)

// resultsEnv names a file to which a line is added for each run that Fit or Load returns, as JSON: the run's folder,
// what it is of and how it came out. It tells whoever runs a notebook which runs the notebook is about.
const resultsEnv = "CONVBOOK_RESULTS"

// line is what stands in the file.
type line struct {
	Dir    string          `json:"dir"`
	About  json.RawMessage `json:"about"` // the run's config.json
	Result Result          `json:"result"`
	Data   string          `json:"data"`   // the data set for people
	Recipe string          `json:"recipe"` // the recipe for people
}

// report adds the run's line to that file.
func (r *Run) report() error {
	path := os.Getenv(resultsEnv)
	if path == "" {
		return nil
	}
	about := line{r.Dir(), r.plan.place.About(), r.Result, r.plan.Data.String(), r.plan.recipe().String()}
	if err := addLine(path, about); err != nil {
		return fmt.Errorf("cannot note the run in the file that %s names: %w: make it writable or unset %[1]s",
			resultsEnv, err)
	}
	return nil
}
