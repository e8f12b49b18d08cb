// Package signals says which signals ask a program to stop.
package signals

import (
	"os"
	"os/signal"
	"syscall"
)

// ToStop are those: an interrupt, the end that is asked for, and a closed terminal, unless that is ignored, as it is
// under nohup.
func ToStop() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}
