// Package text shortens what others write for people.
package text

import (
	"fmt"
	"strings"
)

// FirstLine is the first line of an error, or of whatever was thrown: GoMLX's errors print a stack behind it.
func FirstLine(cause any) string {
	line, _, _ := strings.Cut(fmt.Sprint(cause), "\n")
	return line
}
