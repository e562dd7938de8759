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

// ModuleOptions is one entry of `modules:` in the configuration file. The section of the prober that is named
// counts; the others are accepted and ignored, as blackbox_exporter does.
type ModuleOptions struct {
	Prober  string       `yaml:"prober"`
	Timeout Duration     `yaml:"timeout,omitempty"`
	HTTP    *HTTPOptions `yaml:"http,omitempty"`
	TCP     *TCPOptions  `yaml:"tcp,omitempty"`
	ICMP    *ICMPOptions `yaml:"icmp,omitempty"`
	DNS     *DNSOptions  `yaml:"dns,omitempty"`

	// Guard narrows the configuration's own guard for this module.
	Guard *GuardOptions `yaml:"guard,omitempty"`

	// The sections of probers that exist only in blackbox_exporter, kept as they stand.
	GRPC any `yaml:"grpc,omitempty"`
	Unix any `yaml:"unix,omitempty"`
}

// unsupportedProbers are the probers that a blackbox.yml may name and that are not built in: the file loads, a
// probe of such a module is refused.
var unsupportedProbers = map[string]bool{"grpc": true, "unix": true}

// ErrUnsupportedProber is wrapped by Compile's error for a module whose prober is not built in.
var ErrUnsupportedProber = errors.New("this prober is not built in")

// ErrUnknownModule is wrapped by the error of a lookup for a module that the configuration does not have.
var ErrUnknownModule = errors.New("no such module")

// Compile makes the module ready to probe, and reads the files it names once to see that they are there. Its
// errors are joined *OptionErrors, one for each fault, with paths relative to the module.
func (o ModuleOptions) Compile(name string) (*Module, error) {
	m := &Module{Name: name, Kind: o.Prober, Timeout: time.Duration(o.Timeout)}
	var err error
	switch {
	case o.Prober == "http":
		m.Prober, err = compileSection("http", o.HTTP)
	case o.Prober == "tcp":
		m.Prober, err = compileSection("tcp", o.TCP)
	case o.Prober == "icmp":
		m.Prober, err = compileSection("icmp", o.ICMP)
	case o.Prober == "dns":
		m.Prober, err = compileSection("dns", o.DNS)
	case unsupportedProbers[o.Prober]:
		err = ErrUnsupportedProber
	case o.Prober == "":
		err = optionErrorf("prober", "is missing; accepted: http, tcp, icmp, dns")
	default:
		err = optionErrorf("prober", "%q is unknown; accepted: http, tcp, icmp, dns", o.Prober)
	}
	if o.Guard != nil {
		var guardErr error
		m.Guard, guardErr = o.Guard.Compile()
		err = errors.Join(err, under("guard", guardErr))
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// compileSection makes a prober of its section, or of the defaults when the module has none.
func compileSection[T any, O interface {
	*T
	SetDefaults()
	compile() (Prober, error)
}](name string, options O) (Prober, error) {
	if options == nil {
		options = new(T)
		options.SetDefaults()
	}
	prober, err := options.compile()
	return prober, under(name, err)
}

// OptionError is one fault in a module's options.
type OptionError struct {
	Path string // from the module downwards, as "http.fail_if_header_matches[2].header"
	Err  error  // what is wrong and what is accepted
}

func (e *OptionError) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *OptionError) Unwrap() error { return e.Err }

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
