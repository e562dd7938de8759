package config

import (
	"errors"
	"time"

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

// ModuleOptions is one entry of `modules:` in the configuration file. The section of the prober that is named
// counts; the others are accepted and ignored, as blackbox_exporter does.
type ModuleOptions struct {
	Prober    string                  `yaml:"prober"`
	Timeout   option.Duration         `yaml:"timeout,omitempty"`
	HTTP      *httpprobe.Options      `yaml:"http,omitempty"`
	TCP       *tcpprobe.Options       `yaml:"tcp,omitempty"`
	ICMP      *icmpprobe.Options      `yaml:"icmp,omitempty"`
	DNS       *dnsprobe.Options       `yaml:"dns,omitempty"`
	Unix      *unixprobe.Options      `yaml:"unix,omitempty"`
	GRPC      *grpcprobe.Options      `yaml:"grpc,omitempty"`
	WebSocket *websocketprobe.Options `yaml:"websocket,omitempty"`

	// Guard narrows the configuration's own guard for this module.
	Guard *guard.Options `yaml:"guard,omitempty"`
}

// Compile makes the module ready to probe, and reads the files it names once to see that they are there. Its
// guard is the module's own within outer; nil: there is none. The errors are joined *option.Errors, one for each fault, with paths relative to the module.
func (o ModuleOptions) Compile(name string, outer *guard.Guard) (*probe.Module, error) {
	m := &probe.Module{Name: name, Kind: o.Prober, Timeout: time.Duration(o.Timeout)}
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
	case o.Prober == "unix":
		m.Prober, err = compileSection("unix", o.Unix)
	case o.Prober == "grpc":
		m.Prober, err = compileSection("grpc", o.GRPC)
	case o.Prober == "websocket":
		m.Prober, err = compileSection("websocket", o.WebSocket)
	case o.Prober == "":
		err = option.Errorf("prober", "is missing; accepted: http, tcp, icmp, dns, unix, grpc, websocket")
	default:
		err = option.Errorf("prober", "%q is unknown; accepted: http, tcp, icmp, dns, unix, grpc, websocket", o.Prober)
	}
	if o.Guard != nil {
		own, guardErr := o.Guard.Compile()
		err = errors.Join(err, option.Under("guard", guardErr))
		outer = own.Within(outer)
	}
	if outer != nil {
		m.Guard = outer
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
	Compile() (probe.Prober, error)
}](name string, options O) (probe.Prober, error) {
	if options == nil {
		options = new(T)
		options.SetDefaults()
	}
	prober, err := options.Compile()
	return prober, option.Under(name, err)
}
