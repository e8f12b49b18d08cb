package train

import (
	"context"
	"math"
	"strings"
	"testing"

	"example.org/convbook/lib/device"
	"example.org/convbook/lib/zoo"
)

// Rounded factors change the losses, but little, and make another run.
func TestBFloat16(t *testing.T) {
	isolate(t)
	exact := quick().of(zoo.CNN(2))
	brief := exact
	brief.Precision = BFloat16
	backend, err := device.Open()
	if err != nil {
		t.Fatal(err)
	}
	if !device.BFloat16(backend) {
		_, err := brief.FitContext(context.Background())
		checkError(t, err, "the device does not multiply bfloat16: leave Precision out")
		return
	}
	long, short := mustFit(t, exact), mustFit(t, brief)
	if long.Dir() == short.Dir() {
		t.Errorf("both runs are in %s", long.Dir())
	}
	if got, want := short.Differs(long), "precision float32 → bfloat16, the rest the same"; got != want {
		t.Errorf("the difference is %q, want %q", got, want)
	}
	if recipe := short.Result.Recipe.String(); !strings.HasSuffix(recipe, ", bfloat16, seed 1") {
		t.Errorf("the recipe is %q", recipe)
	}
	same := true
	for i, loss := range short.History.Losses {
		same = same && loss == long.History.Losses[i]
		if off := math.Abs(float64(loss - long.History.Losses[i])); off > 0.05 {
			t.Errorf("step %d: the loss is %g, in float32 %g", i+1, loss, long.History.Losses[i])
		}
	}
	if same {
		t.Error("the losses are those of float32")
	}
}
