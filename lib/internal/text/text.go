// Package text writes for people: it shortens what others say, and makes long numbers readable.
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

// Thousands puts commas into a number's whole digits: 1234567.8901 becomes 1,234,567.8901.
func Thousands(number string) string {
	first := len(number) - len(strings.TrimLeft(number, "-+"))
	last := first
	for last < len(number) && '0' <= number[last] && number[last] <= '9' {
		last++
	}
	for i := last - 3; i > first; i -= 3 {
		number = number[:i] + "," + number[i:]
	}
	return number
}
