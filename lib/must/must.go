// Package must is what [example.org/convbook/lib/cell] was called.
//
// Deprecated: use package cell. This one goes when no notebook imports it any more.
package must

import "example.org/convbook/lib/cell"

// Get is [cell.Must].
func Get[T any](v T, err error) T { return cell.Must(v, err) }

// Do is [cell.OK].
func Do(err error) { cell.OK(err) }
