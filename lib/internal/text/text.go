// Package text shortens what others write for people.
package text

import (
	"fmt"
	"strings"
)

// Some names a few of many.
func Some(all []string, few int) string {
	if len(all) <= few {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:few], ", "), len(all)-few)
}

// FirstLine is the first line of an error, or of whatever was thrown: GoMLX's errors print a stack behind it.
func FirstLine(cause any) string {
	line, _, _ := strings.Cut(fmt.Sprint(cause), "\n")
	return line
}
