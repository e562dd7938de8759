package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"rollcall/config/strictyaml"
	"rollcall/probe"
	"rollcall/probe/dnsprobe"
	"rollcall/probe/grpcprobe"
	"rollcall/probe/guard"
	"rollcall/probe/httpprobe"
	"rollcall/probe/icmpprobe"
	"rollcall/probe/option"
	"rollcall/probe/tcpprobe"
	"rollcall/probe/unixprobe"
	"rollcall/probe/websocketprobe"
)

// moduleOptions is one entry of `modules:`. The section of the prober that is named counts; the others are read and
// ignored, as by blackbox_exporter.
type moduleOptions struct {
	Prober  string         `yaml:"prober,omitempty"`
	Timeout timeout        `yaml:"timeout,omitempty"`
	Guard   *guard.Options `yaml:"guard,omitempty"` // narrows the configuration's own
	// Resolver is the name server for the names that its probes look up; empty: the system's.
	Resolver nameServer `yaml:"resolver,omitempty"`
	Probers  `yaml:",inline"`
}

// Probers is the table of probers: the name of each in the file, and its options, a pointer to a struct with
// SetDefaults and Compile.
type Probers struct {
	HTTP      *httpprobe.Options      `yaml:"http,omitempty"`
	TCP       *tcpprobe.Options       `yaml:"tcp,omitempty"`
	ICMP      *icmpprobe.Options      `yaml:"icmp,omitempty"`
	DNS       *dnsprobe.Options       `yaml:"dns,omitempty"`
	GRPC      *grpcprobe.Options      `yaml:"grpc,omitempty"`
	Unix      *unixprobe.Options      `yaml:"unix,omitempty"`
	WebSocket *websocketprobe.Options `yaml:"websocket,omitempty"`
}

// proberOptions are the options of a prober.
type proberOptions interface {
	SetDefaults()
	Compile() (probe.Prober, error)
}

// find returns the options of the prober with that name, its defaults when the module has no such section; nil: there is
// no such prober.
func (p *Probers) find(prober string) proberOptions {
	for field, value := range reflect.ValueOf(p).Elem().Fields() {
		if sectionName(field) != prober {
			continue
		}
		if !value.IsNil() {
			return value.Interface().(proberOptions)
		}
		options := reflect.New(value.Type().Elem()).Interface().(proberOptions)
		options.SetDefaults()
		return options
	}
	return nil
}

func sectionName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	return name
}

// builtIn names the probers, for an error.
func builtIn() string {
	var names []string
	for field := range reflect.TypeFor[Probers]().Fields() {
		names = append(names, sectionName(field))
	}
	return strings.Join(names, ", ")
}

// compile makes the module ready to probe; it reads the files that the module names. The module is of use only without
// errors. Its guard is its own within outer; nil: it has none.
func (o *moduleOptions) compile(section strictyaml.Section, outer *guard.Guard) (*probe.Module, strictyaml.Errors) {
	m := &probe.Module{Name: section.Name, Kind: o.Prober, Timeout: time.Duration(o.Timeout), NameServer: string(o.Resolver)}
	var errs strictyaml.Errors
	switch options := o.find(o.Prober); {
	case options != nil:
		var err error
		m.Prober, err = options.Compile()
		errs = section.Locate(o.Prober, err)
		if !section.Has(o.Prober) {
			for _, e := range errs { // blackbox_exporter checks no section that is not there
				e.Err = &option.Unusable{Err: e.Err}
			}
		}
	case section.Empty(): // a name with nothing after it, which blackbox_exporter accepts
		errs = section.Locate("prober", &option.Unusable{Err: fmt.Errorf("is missing; accepted: %s", builtIn())})
	case o.Prober == "":
		errs = section.Locate("prober", fmt.Errorf("is missing; accepted: %s", builtIn()))
	default:
		errs = section.Locate("prober", fmt.Errorf("%q is unknown; accepted: %s", o.Prober, builtIn()))
	}
	if o.Guard != nil {
		own, err := o.Guard.Compile()
		errs = append(errs, section.Locate("guard", err)...)
		outer = own.Within(outer)
	}
	if outer != nil {
		m.Guard = outer
	}
	return m, errs
}

// timeout is the limit of a module; 0: none of its own. As in blackbox_exporter it needs a unit, and a limit that is not
// above 0 is none.
type timeout time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *timeout) UnmarshalText(text []byte) error {
	if span, err := time.ParseDuration(string(text)); err == nil && span <= 0 && string(text) != "0" {
		*t = 0
		if span < 0 {
			return &option.Warning{Err: fmt.Errorf("%q is negative, which is no limit", text)}
		}
		return nil
	}
	return (*option.Duration)(t).UnmarshalText(text)
}

// MarshalText implements encoding.TextMarshaler.
func (t timeout) MarshalText() ([]byte, error) { return option.Duration(t).MarshalText() }

// nameServer is the address of a name server with its port, 53 unless the text says another.
type nameServer string

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *nameServer) UnmarshalText(text []byte) error {
	at, err := netip.ParseAddrPort(string(text))
	if err != nil {
		var addr netip.Addr
		addr, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(string(text), "["), "]"))
		at = netip.AddrPortFrom(addr, 53)
	}
	if err != nil || at.Port() == 0 || at.Addr().IsUnspecified() || at.Addr().IsMulticast() {
		return fmt.Errorf("%q is not the address of a name server; accepted: an IP address with or without a port, e.g. 192.0.2.53 or [2001:db8::53]:5353", text)
	}
	*n = nameServer(at.String())
	return nil
}
