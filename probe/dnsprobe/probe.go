// Package dnsprobe checks name servers: it sends one query over UDP, TCP or TLS and judges the answer. Finding addresses of
// other targets is package network's.
package dnsprobe

import (
	"context"
	"net/netip"
	"sync"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/probe/tlsclient"
)

// Options is the dns section of a module: blackbox_exporter's options by their names. The target is the name server
// that is asked.
type Options struct {
	IPProtocol         option.IPProtocol `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool              `yaml:"ip_protocol_fallback"`
	SourceIPAddress    string            `yaml:"source_ip_address,omitempty"`
	TransportProtocol  string            `yaml:"transport_protocol,omitempty"` // "udp" (also when empty), "tcp"
	DNSOverTLS         bool              `yaml:"dns_over_tls,omitempty"`
	TLSConfig          config.TLSConfig  `yaml:"tls_config,omitempty"`
	QueryName          string            `yaml:"query_name,omitempty"`
	QueryClass         string            `yaml:"query_class,omitempty"` // empty: IN
	QueryType          string            `yaml:"query_type,omitempty"`  // empty: ANY
	RecursionDesired   bool              `yaml:"recursion_desired"`
	ValidRcodes        []string          `yaml:"valid_rcodes,omitempty"` // nil: NOERROR
	ValidateAnswer     RecordOptions     `yaml:"validate_answer_rrs,omitempty"`
	ValidateAuthority  RecordOptions     `yaml:"validate_authority_rrs,omitempty"`
	ValidateAdditional RecordOptions     `yaml:"validate_additional_rrs,omitempty"`
}

// SetDefaults sets the options that are not zero where a section does not mention them.
func (o *Options) SetDefaults() { o.IPProtocolFallback, o.RecursionDesired = true, true }

// The ports of name servers, in clear and over TLS (RFC 7858).
const (
	defaultPort    = 53
	defaultTLSPort = 853
)

// prober is a compiled dns section.
type prober struct {
	network.Syntax
	ip     network.Resolver
	source netip.Addr        // invalid: the system chooses
	stream bool              // over TCP
	tls    *tlsclient.Client // nil: in clear
	query  query
	checks checks

	buffers sync.Pool // of *[bufferSize]byte
}

// Compile checks the options and makes the query. Its errors are option.Errors, joined.
func (o *Options) Compile() (probe.Prober, error) {
	p := &prober{
		Syntax: network.Syntax{Prober: "dns", Takes: "a dns module takes host or host:port of a name server", DefaultPort: defaultPort},
		ip:     network.Resolver{Prefer: o.IPProtocol, Fallback: o.IPProtocolFallback},
	}
	p.buffers.New = func() any { return new([bufferSize]byte) }
	var (
		errs option.Collector
		err  error
	)
	p.source, err = p.ip.BindTo(o.SourceIPAddress)
	errs.Join(err)
	switch o.TransportProtocol {
	case "", "udp":
		if o.DNSOverTLS {
			errs.Unusablef("dns_over_tls", "needs transport_protocol: tcp")
		}
	case "tcp":
		p.stream = true
	default:
		errs.Unusablef("transport_protocol", "%q is unknown; accepted: udp, tcp", o.TransportProtocol)
	}
	if o.DNSOverTLS { // otherwise the files of tls_config may be missing
		p.DefaultPort = defaultTLSPort
		p.tls, err = tlsclient.Compile("tls_config", &o.TLSConfig)
		errs.Join(err)
	}
	p.query, err = compileQuery(o)
	errs.Join(err)
	p.checks, err = compileChecks(o)
	errs.Join(err)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// Probe asks the name server that is the target, and judges its answer.
func (p *prober) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	var r probe.Result
	host, port, err := p.Split(req.Target)
	if err != nil {
		return r, err
	}
	r.DNS = new(probe.DNSFacts)
	resolved, err := p.ip.Resolve(ctx, host)
	r.Resolve, r.Phases.Resolve = &resolved, resolved.Duration
	if err != nil {
		return r.Settle(err)
	}
	buffer := p.buffers.Get().(*[bufferSize]byte)
	defer p.buffers.Put(buffer)
	e := exchange{p: p, req: req, r: &r, buf: buffer[:]}
	return r.Settle(e.run(ctx, host, netip.AddrPortFrom(resolved.Addr, port)))
}
