package train

import (
	"context"
	"time"
)

// patience is how long an interrupt waits for what is being computed. XLA cannot stop what it has begun, so what takes
// longer is left alone: the program is about to end.
var patience = time.Second / 2

// attend runs what may take long and hears nothing, such as a compilation, and returns what it gives, or ErrInterrupted
// if ctx is cancelled and patience is over. Then f may still be running and must not change what anyone reads.
func attend[T any](ctx context.Context, f func() (T, error)) (T, error) {
	if ctx.Err() != nil {
		var none T
		return none, ErrInterrupted
	}
	var value T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		value, err = f()
	}()
	select {
	case <-done:
		return value, err
	case <-ctx.Done():
	}
	select {
	case <-done:
		return value, err
	case <-time.After(patience):
		var none T
		return none, ErrInterrupted
	}
}
