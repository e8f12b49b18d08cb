// Package headless keeps what only notebooks import among the module's requirements, where go mod tidy would not see it,
// and has it compiled before the first cell needs it.
package headless

import (
	_ "gonum.org/v1/gonum/mat"
	_ "gonum.org/v1/gonum/stat"
)
