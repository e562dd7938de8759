package probe

import "fmt"

// Unusable is an error about an option that is right in itself and cannot work on this machine now, e.g. the name of a
// file that is missing. It concerns one module: the others work, and so may this one after the next reload. An option
// error without it is a mistake in the file.
type Unusable struct{ Err error }

func (e *Unusable) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *Unusable) Unwrap() error { return e.Err }

// Warning is an error about a value that is accepted all the same.
type Warning struct{ Err error }

func (e *Warning) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *Warning) Unwrap() error { return e.Err }

// Warning says that the value is accepted.
func (e *Warning) Warning() bool { return true }

// UnusableModule is the error of a lookup for a module that is configured and cannot be used. It wraps
// ErrUnsupportedProber when its prober is not built in.
type UnusableModule struct {
	Name string
	Err  error // the reasons, each on its line with file, line and path
}

func (e *UnusableModule) Error() string {
	return fmt.Sprintf("module %q cannot be used: %s", e.Name, e.Err)
}

// Unwrap returns the reasons.
func (e *UnusableModule) Unwrap() error { return e.Err }

// unusablef is optionErrorf for an Unusable.
func unusablef(path, format string, args ...any) error {
	return &OptionError{Path: path, Err: &Unusable{fmt.Errorf(format, args...)}}
}
