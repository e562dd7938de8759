// Package tcpprobe checks targets by TCP: it connects, makes a TLS handshake if asked to, and holds the conversation of
// query_response, which other stream protocols use as well.
package tcpprobe

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/option"
)

// Options is the tcp section of a module: blackbox_exporter's options by their names.
type Options struct {
	IPProtocol         option.IPProtocol `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool              `yaml:"ip_protocol_fallback"`
	SourceIPAddress    string            `yaml:"source_ip_address,omitempty"`

	SessionOptions `yaml:",inline"`
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *Options) SetDefaults() { o.IPProtocolFallback = true }

// QueryResponse is one turn of a conversation: what is expected, what is then sent, whether TLS starts after it. The parts
// that are set happen in the order of the fields.
type QueryResponse struct {
	Expect      option.Regexp `yaml:"expect,omitempty"`
	ExpectBytes string        `yaml:"expect_bytes,omitempty"`
	Labels      []ExpectLabel `yaml:"labels,omitempty"`     // nil: none; empty: an entry without labels
	Send        string        `yaml:"send,omitempty"`       // a line: a newline is added
	SendBytes   string        `yaml:"send_bytes,omitempty"` // as they are
	StartTLS    bool          `yaml:"starttls,omitempty"`
}

// Validate refuses two ways to send, and warns of labels that no match fills.
func (q *QueryResponse) Validate() error {
	var errs option.Collector
	if q.Send != "" && q.SendBytes != "" {
		errs.Addf("send_bytes", "stands beside send; accepted: one of them")
	}
	if q.Labels != nil && q.Expect.Regexp == nil {
		errs.Add("labels", &option.Warning{Err: errors.New("has no effect without an expect in the same entry, whose match it reports")})
	}
	return errs.Err()
}

// ExpectLabel is a label of probe_expect_info; its value may hold captures of expect as ${1}.
type ExpectLabel struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// targets is how targets of tcp modules are written.
var targets = network.Syntax{Prober: "tcp", Takes: "a tcp module takes host:port or tcp://host:port", Scheme: true}

// prober is a compiled tcp section.
type prober struct {
	network.Syntax
	ip      network.Resolver
	source  netip.Addr // invalid: the system chooses
	session *Session
}

// Compile makes the prober. Its errors are joined *option.Errors.
func (o *Options) Compile() (probe.Prober, error) {
	p := &prober{Syntax: targets, ip: network.Resolver{Prefer: o.IPProtocol, Fallback: o.IPProtocolFallback}}
	var sourceErr, sessionErr error
	p.source, sourceErr = p.ip.BindTo(o.SourceIPAddress)
	p.session, sessionErr = o.SessionOptions.Compile()
	if err := errors.Join(sourceErr, sessionErr); err != nil {
		return nil, err
	}
	return p, nil
}

// Probe connects, makes the connection secure if the module says so, and holds the conversation.
func (p *prober) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	var r probe.Result
	host, port, err := p.Split(req.Target)
	if err != nil {
		return r, err
	}
	resolved, err := p.ip.Resolve(ctx, host)
	r.Resolve, r.Phases.Resolve = &resolved, resolved.Duration
	if err != nil {
		return r.Settle(err)
	}
	addr := netip.AddrPortFrom(resolved.Addr, port)
	if req.Trace != nil {
		req.Trace.Step("connecting to %s", addr)
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		return network.Dial(ctx, req.Guard, "tcp", host, addr, p.source)
	}
	return r.Settle(p.session.Run(ctx, req, host, dial, &r))
}
