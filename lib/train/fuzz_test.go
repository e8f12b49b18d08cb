package train

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"example.org/convbook/lib/train/internal/store"
)

// Whatever the files of a run hold, and whatever their sums say, reading it gives an error or a run whose progress can
// be printed.
func FuzzStoredRun(f *testing.F) {
	f.Setenv(RunsEnv, f.TempDir())
	c := quick()
	c.Progress = LinesTo(io.Discard, 1)
	run, err := c.FitContext(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	read := func(name string) []byte {
		content, err := os.ReadFile(inRun(run, name))
		if err != nil {
			f.Fatal(err)
		}
		return content
	}
	history, result, sums := read(store.History), read(store.Result), read("SHA256SUMS")
	f.Add(history, result, sums, true)
	f.Add(history, result, sums, false)
	f.Add([]byte("null"), []byte("null"), []byte(""), true)
	f.Add([]byte(`{"losses":[1e39],"epochs":[{},{}]}`), []byte(`{"epochs":-1}`), []byte("0  config.json\n"), true)
	f.Add([]byte(`{"losses":[1,2,3],"epochs":[{},{}]}`), []byte(`[]`), []byte("x"), true)
	f.Fuzz(func(t *testing.T, history, result, sums []byte, fitting bool) {
		files := map[string][]byte{store.History: history, store.Result: result}
		if fitting { // as they would be if whoever changed the files had thought of their sums
			var lines strings.Builder
			for _, name := range finishedFiles[1:] {
				content, ok := files[name]
				if !ok {
					content = read(name)
				}
				fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(content), name)
			}
			sums = []byte(lines.String())
		}
		files["SHA256SUMS"] = sums
		for name, content := range files {
			if err := os.WriteFile(inRun(run, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if stored, err := run.plan.stored(); err == nil {
			stored.shown()
		}
	})
}

// Whatever a checkpoint says of where it stands, it is where a training can stand or is refused.
func FuzzPosition(f *testing.F) {
	f.Add([]byte(`{"step":3,"history":{"losses":[1,2,3],"epochs":[]}}`), 8, 2)
	f.Add([]byte(`{"step":-9223372036854775808}`), 1, 1)
	f.Add([]byte(`{"step":8,"history":{"losses":[1,2,3,4,5,6,7,8],"epochs":[{},{},{}]}}`), 8, 2)
	f.Fuzz(func(t *testing.T, text []byte, batches, epochs int) {
		if batches < 1 || epochs < 1 || batches > 1e6 || epochs > 1e6 {
			t.Skip()
		}
		var at position
		if json.Unmarshal(text, &at) != nil || !at.possible(batches, epochs) {
			return
		}
		epoch := len(at.History.Epochs) // the one that it goes on with
		if batch := at.Step - epoch*batches; batch < 0 || batch > batches || epoch >= epochs || len(at.History.Losses) < epoch*batches {
			t.Errorf("epochs of %d batches: goes on in epoch %d of %d at batch %d with %d losses", batches, epoch, epochs, batch, len(at.History.Losses))
		}
	})
}
