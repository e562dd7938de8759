package option

import (
	"errors"
	"fmt"
	"strconv"
)

// Index is the path of one item of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// ErrRequired is the error of an option that is empty and must not be.
var ErrRequired = errors.New("is required")

// Error is one error in a module's options.
type Error struct {
	Path string // from the module downwards, e.g. "http.fail_if_header_matches[2].header"
	Err  error  // what is wrong and what is accepted
}

func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Option returns the path and what is wrong there.
func (e *Error) Option() (path string, err error) { return e.Path, e.Err }

// Errorf returns an *Error for the option at path.
func Errorf(path, format string, args ...any) error {
	return &Error{Path: path, Err: fmt.Errorf(format, args...)}
}

// Under puts a section's name before the path of each Error in err.
func Under(section string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, Under(section, e))
		}
		return errors.Join(all...)
	}
	if below, ok := errors.AsType[*Error](err); ok {
		return &Error{Path: section + "." + below.Path, Err: below.Err}
	}
	return &Error{Path: section, Err: err}
}

// Collector gathers what is wrong with a module's options, so that one load tells everything.
type Collector struct{ errs []error }

// Addf adds an Error.
func (f *Collector) Addf(path, format string, args ...any) {
	f.errs = append(f.errs, Errorf(path, format, args...))
}

// Join takes in the errors of another part; it may be nil.
func (f *Collector) Join(err error) {
	if err != nil {
		f.errs = append(f.errs, err)
	}
}

// Add reports err, unless nil, as the error of one option.
func (f *Collector) Add(path string, err error) {
	if err != nil {
		f.errs = append(f.errs, &Error{Path: path, Err: err})
	}
}

// Err is all errors joined; nil: there is none.
func (f *Collector) Err() error { return errors.Join(f.errs...) }

// Unusablef adds an Unusable.
func (f *Collector) Unusablef(path, format string, args ...any) {
	f.errs = append(f.errs, Unusablef(path, format, args...))
}
