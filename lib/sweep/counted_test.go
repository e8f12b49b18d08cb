package sweep

import "example.org/convbook/lib/train"

// A training of many is one line, at its end.
func Example_counted() {
	about := train.Training{Epochs: 10}
	c := counted{3, 18, "lr 0.001, batch 32, seed 1"}
	c.Tell(train.Started{Training: about})
	for epoch := 1; epoch <= 10; epoch++ {
		c.Tell(train.Tested{Training: about, Epoch: epoch, EpochHistory: train.EpochHistory{ValidationAccuracy: 61.5}})
	}
	c.Tell(train.Ended{Training: about, Done: 10, Epoch: 10, EpochHistory: train.EpochHistory{ValidationAccuracy: 61.5}})
	c.Tell(train.Ended{Training: about, Done: 8, Epoch: 5, EpochHistory: train.EpochHistory{ValidationAccuracy: 62.5}})
	c.Tell(train.Noted{Text: "another process is training this run: waiting for it"})
	// Output:
	// training 3 of 18, lr 0.001, batch 32, seed 1: 61.50 % of the validation images
	// training 3 of 18, lr 0.001, batch 32, seed 1: 62.50 % of the validation images
	// another process is training this run: waiting for it
}
