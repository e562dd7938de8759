package probe

import (
	"errors"
	"fmt"
	"time"
)

// DefaultTimeout limits a probe for which neither the module nor the asker names a limit.
const DefaultTimeout = 120 * time.Second

// Module is a named way to check targets, compiled from its options and never changed afterwards.
type Module struct {
	Name    string
	Kind    string        // the prober's name: "http", "tcp", "icmp", "dns"
	Timeout time.Duration // 0: only the asker limits
	Prober  Prober
	Guard   *Guard // the module's own; whoever has an outer one puts m.Guard.Within(outer) here. nil: all is allowed
}

// ErrUnsupportedProber is wrapped by Compile's error for a module whose prober is not built in.
var ErrUnsupportedProber = errors.New("this prober is not built in")

// ErrUnknownModule is wrapped by the error of a lookup for a module that the configuration does not have.
var ErrUnknownModule = errors.New("no such module")

// OptionError is one fault in a module's options.
type OptionError struct {
	Path string // from the module downwards, as "http.fail_if_header_matches[2].header"
	Err  error  // what is wrong and what is accepted
}

func (e *OptionError) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *OptionError) Unwrap() error { return e.Err }

// Option returns the path and what is wrong there.
func (e *OptionError) Option() (path string, err error) { return e.Path, e.Err }

func optionErrorf(path, format string, args ...any) error {
	return &OptionError{Path: path, Err: fmt.Errorf(format, args...)}
}

// under puts a section's name before the path of each OptionError in err.
func under(section string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, under(section, e))
		}
		return errors.Join(all...)
	}
	var option *OptionError
	if errors.As(err, &option) {
		return &OptionError{Path: section + "." + option.Path, Err: option.Err}
	}
	return &OptionError{Path: section, Err: err}
}
