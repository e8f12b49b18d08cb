package main

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"syscall"
	"time"

	"example.org/convbook/lib/dataset"
	"example.org/convbook/lib/dataset/sample"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/train"
)

// tasks are the trainings that the trials put into trouble. Each has something else that a resumption must bring back:
// running averages, the random numbers of dropout and augmentation, an optimizer's arrays, a short last batch.
var tasks = map[string]train.Task{
	"adam": {
		Net: nn.Named("Adam", nn.Conv(6, 5), nn.BatchNorm, nn.ReLU, nn.MaxPool(2), nn.Flatten,
			nn.Dropout(0.3), nn.Dense(64), nn.ReLU, nn.Dense(10)),
		Data:   sample.MNIST().Normalize(0.1307, 0.3081).Augment(dataset.RandomCrop(28, 2), dataset.RandomFlip),
		Config: train.Config{Epochs: 20, Batch: 60, Optimizer: train.Adam(0.002), Schedule: train.OneCycle(0.3)},
	},
	"muon": {
		Net: nn.Named("Muon", nn.Flatten, nn.Dense(256), nn.ReLU, nn.Dropout(0.2),
			nn.Dense(128), nn.ReLU, nn.Dense(10)),
		Data:   sample.MNIST().Normalize(0.1307, 0.3081).Augment(dataset.AlternateFlip),
		Config: train.Config{Epochs: 30, Batch: 100, Optimizer: train.Muon(0.01, 0.01), Schedule: train.Cosine()},
	},
	"sgd": {
		Net:    nn.Named("SGD", nn.Flatten, nn.Dense(32), nn.ReLU, nn.Dense(10), nn.LogSoftmax),
		Data:   sample.MNIST().Normalize(0.1307, 0.3081),
		Config: train.Config{Epochs: 60, Batch: 60, Loss: train.NLL, Optimizer: train.SGD(0.05, 0.5)},
	},
	"mnist": {
		Net:    nn.Named("MNIST", nn.Flatten, nn.Dense(16), nn.ReLU, nn.Dense(10), nn.LogSoftmax),
		Data:   dataset.MNIST().First(500).FirstTest(300).Normalize(0.1307, 0.3081),
		Config: train.Config{Epochs: 2, Batch: 64, Loss: train.NLL, Optimizer: train.SGD(0.05, 0.5)},
	},
	"tiny": { // its files are of a page or two, so a disk can be full at each of them
		Net:    nn.Named("Tiny", nn.MaxPool(7), nn.Flatten, nn.Dense(10)),
		Data:   sample.MNIST().First(150).FirstTest(60),
		Config: train.Config{Epochs: 3, Batch: 64, Optimizer: train.SGD(0.05, 0.5)},
	},
	"cifar": {
		Net:    nn.Named("CIFAR", nn.Flatten, nn.Dense(16), nn.ReLU, nn.Dense(10)),
		Data:   dataset.CIFAR10().First(500).FirstTest(300).Normalize(0.5, 0.25),
		Config: train.Config{Epochs: 2, Batch: 64, Optimizer: train.SGD(0.01, 0.5)},
	},
}

// child is the other half of this program: one training or one look at a finished run, as a cell of the book does it.
// It prints the progress, and at the end a line with the sum of all that the run gives its user.
func child(args []string) error {
	flags := flag.NewFlagSet("child", flag.ExitOnError)
	name := flags.String("task", "adam", "")
	seed := flags.Int("seed", 1, "")
	fresh := flags.Bool("fresh", false, "")
	load := flags.Bool("load", false, "look at the finished run")
	loop := flags.Bool("loop", false, "look at it again and again until the standard input ends")
	fileSize := flags.Uint64("file-size", 0, "bytes that a file may have; 0: any number")
	write := flags.String("write", "", "only write this file")
	files := flags.Uint64("files", 0, "files that may be open; 0: as many as usual")
	flags.Parse(args)
	if err := limit(*fileSize, *files); err != nil {
		return err
	}
	if *write != "" {
		return os.WriteFile(*write, nil, 0o644)
	}
	t := tasks[*name]
	t.Seed, t.Fresh, t.Progress, t.SaveEvery = *seed, *fresh, train.Lines(1), 20*time.Millisecond
	get := t.Fit
	if *load || *loop {
		get = t.Load
	}
	once := func() (string, error) {
		run, err := get()
		if err != nil {
			return "", err
		}
		sum, err := sumOf(run)
		return resultLine + sum, err
	}
	if !*loop {
		line, err := once()
		if err == nil {
			fmt.Println(line)
		}
		return err
	}
	again(once)
	return nil
}

// limit sets how large a file may be and how many may be open, where it is not 0.
func limit(fileSize, files uint64) error {
	limits := map[int]uint64{
		syscall.RLIMIT_FSIZE:  fileSize,
		syscall.RLIMIT_NOFILE: files,
		syscall.RLIMIT_DATA:   8 << 30, // a child that takes memory without end must not take all of the machine's
	}
	for limit, n := range limits {
		if n > 0 {
			if err := syscall.Setrlimit(limit, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
				return err
			}
		}
	}
	return nil
}

// again does it again and again until the standard input ends, and prints what is said each time that it is another
// line.
func again(once func() (string, error)) {
	ended := make(chan bool)
	go func() { io.Copy(io.Discard, os.Stdin); close(ended) }()
	said := ""
	for {
		line, err := once()
		if err != nil {
			line = "error: " + err.Error()
		}
		if line != said {
			fmt.Println(line)
			said = line
		}
		select {
		case <-ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// resultLine begins the line with a child's result.
const resultLine = "result "

// sumOf is the SHA-256 of all that a run says and does not take from a clock, to the last bit.
func sumOf(run *train.Run) (string, error) {
	all := sha256.New()
	data := run.Task.Data
	summary, err := nn.Summarize(run.Task.Net, data.Height, data.Width, data.Channels)
	if err != nil {
		return "", err
	}
	for _, v := range summary.Variables {
		weights, err := run.Weights(v.Name)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(all, v.Name, weights.Dims)
		addFloats(all, weights.Values)
	}
	predictions, err := run.Test()
	if err != nil {
		return "", err
	}
	addFloats(all, predictions.Outputs.Values)
	addFloats(all, predictions.Losses)
	all.Write(predictions.Labels)
	addFloats(all, run.History.Losses)
	for _, e := range run.History.Epochs {
		e.TrainSeconds = 0
		json.NewEncoder(all).Encode(e)
	}
	r := run.Result
	fmt.Fprintln(all, r.Network, r.Parameters, r.Data, r.Recipe)
	fmt.Fprintln(all, math.Float64bits(r.TestLoss), math.Float64bits(r.TestAccuracy))
	return fmt.Sprintf("%x", all.Sum(nil)), nil
}

func addFloats(all hash.Hash, values []float32) {
	fmt.Fprintln(all, len(values))
	for _, v := range values {
		fmt.Fprintf(all, "%08x", math.Float32bits(v))
	}
}
