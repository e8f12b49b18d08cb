package touch_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"example.org/convbook/lib/cell"
	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/internal/notebook"
	"example.org/convbook/lib/internal/notebook/standin"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/touch"
	"example.org/convbook/lib/train"
	"example.org/convbook/lib/zoo"
)

func task(net nn.Layer, data dataset.Images) train.Task {
	return train.Task{Net: net, Data: data, Config: train.Config{
		Epochs: 1, Batch: 64, Seed: 1, Loss: train.NLL, Optimizer: train.SGD(0.01, 0.5), Progress: train.Quiet,
	}}
}

// pad is a cell.
func pad() {
	cell.OK(touch.Pad(cell.Must(task(zoo.CNN(2), sample.MNIST()).Fit())))
}

var share = regexp.MustCompile(`<span>(\d+) %</span>`)

// A drawing is answered with a probability for each class, what the network sees, and its maps.
func TestPad(t *testing.T) {
	runs := train.RunsEnv + "=" + t.TempDir()
	p := standin.Run(t, command("pad", watched, runs),
		`{"state":[]}`, `{"state":[[60,40,200,40,130,240]]}`, `{"done":true}`)
	if len(p.Displays) != 2 || p.Displays[1].Data[protocol.MIMEImagePNG] == nil {
		t.Fatalf("left %.500v, printed %q", p.Displays, p.Printed)
	}
	said := fmt.Sprint(p.Displays[0].Data[protocol.MIMETextPlain])
	if !regexp.MustCompile(`^Your drawing: \d, \d+ % sure$`).MatchString(said) {
		t.Errorf("said %q", said)
	}
	titles := []string{"", "The first test image", "Your drawing"}
	for i, update := range p.Updates[:3] {
		answer := fmt.Sprint(update.Data[protocol.MIMETextHTML])
		sum := 0
		shares := share.FindAllStringSubmatch(answer, -1)
		for _, found := range shares {
			n, _ := strconv.Atoi(found[1])
			sum += n
		}
		if len(shares) != 10 || sum < 95 || sum > 105 || !strings.Contains(answer, titles[i]) {
			t.Errorf("answer %d: %d shares make %d %%: %.300s", i, len(shares), sum, answer)
		}
		// The picture, and two maps of each of two convolutions and two poolings.
		if n := strings.Count(answer, "<img "); n != 1+4*2 || !strings.Contains(answer, "max-pool2, 4 × 4") {
			t.Errorf("answer %d has %d pictures", i, n)
		}
	}
	left(t, standin.Run(t, command("pad", watched, runs, notebook.HeadlessEnv+"=1")), "",
		"1 picture: The first test image; beside it: Bar chart: What the network says, probability, %", "")
}

// Only a network for pictures of MNIST's form can be drawn for.
func TestPadOfOtherPictures(t *testing.T) {
	t.Setenv(train.RunsEnv, t.TempDir())
	small := dataset.New("small", []string{"a", "b"}, 2, 2, 1, func() (*dataset.Split, *dataset.Split, error) {
		split := dataset.Split{Pixels: make([]byte, 64*4), Labels: make([]byte, 64)}
		return &split, &split, nil
	})
	net := nn.Named("small", nn.Flatten, nn.Dense(2), nn.LogSoftmax)
	run, err := task(net, small).Fit()
	if err != nil {
		t.Fatal(err)
	}
	want := "the pad makes pictures of 28 × 28 × 1, and small has 2 × 2 × 1: take a network for MNIST"
	if err := touch.Pad(run); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
