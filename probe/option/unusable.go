package option

import "fmt"

// Unusable is an error about an option that is right in itself and cannot work on this machine now, e.g. the name of a
// file that is missing. It concerns one module: the others work, and so may this one after the next reload. An option
// error without it is a mistake in the file.
type Unusable struct{ Err error }

func (e *Unusable) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *Unusable) Unwrap() error { return e.Err }

// Unusablef is Errorf for an Unusable.
func Unusablef(path, format string, args ...any) error {
	return &Error{Path: path, Err: &Unusable{fmt.Errorf(format, args...)}}
}

// Warning is an error about a value that is accepted all the same.
type Warning struct{ Err error }

func (e *Warning) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *Warning) Unwrap() error { return e.Err }

// Warning says that the value is accepted.
func (e *Warning) Warning() bool { return true }
