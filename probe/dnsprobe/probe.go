// Package dnsprobe checks name servers: it sends one query over UDP, TCP or TLS and judges the answer. Finding addresses of
// other targets is package network's.
package dnsprobe

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/probe/tlsclient"
)

// DNSOptions is the dns section of a module: blackbox_exporter's options by their names. The target is the name server
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

// SetDefaults puts in what a section says when it does not mention an option.
func (o *Options) SetDefaults() { o.IPProtocolFallback, o.RecursionDesired = true, true }

// The ports of name servers, in clear and over TLS (RFC 7858).
const (
	dnsPort    = 53
	dnsTLSPort = 853
)

// dnsProber is a compiled dns section.
type prober struct {
	ip     network.Resolver
	source netip.Addr        // invalid: the system chooses
	stream bool              // over TCP
	tls    *tlsclient.Client // nil: in clear
	port   uint16            // of a target that names none
	query  dnsQuery
	checks dnsChecks

	memories sync.Pool // of *dnsMemory
}

func (o *Options) Compile() (probe.Prober, error) {
	p := &prober{ip: network.Resolver{Prefer: o.IPProtocol, Fallback: o.IPProtocolFallback}, port: dnsPort}
	var (
		errs []error
		err  error
	)
	if p.source, err = p.ip.BindTo(o.SourceIPAddress); err != nil {
		errs = append(errs, err)
	}
	switch o.TransportProtocol {
	case "", "udp":
		if o.DNSOverTLS {
			errs = append(errs, option.Unusablef("dns_over_tls", "needs transport_protocol: tcp"))
		}
	case "tcp":
		p.stream = true
	default:
		errs = append(errs, option.Unusablef("transport_protocol", "%q is unknown; accepted: udp, tcp", o.TransportProtocol))
	}
	if o.DNSOverTLS { // otherwise the files of tls_config may be missing
		p.port = dnsTLSPort
		if p.tls, err = tlsclient.Compile("tls_config", &o.TLSConfig); err != nil {
			errs = append(errs, err)
		}
	}
	if err := p.compileQuery(o); err != nil {
		errs = append(errs, err)
	}
	if p.checks, err = compileDNSChecks(o); err != nil {
		errs = append(errs, err)
	}
	p.checks.serial = o.QueryType == "SOA"
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// compileQuery makes the query, which is the same for each probe but for its id.
func (p *prober) compileQuery(o *Options) error {
	class, qtype := uint16(1), uint16(dnsTypeANY)
	var errs []error
	number := func(path, value string, into *uint16, all []dnsName) {
		if value == "" {
			return
		}
		found, ok := numberOf(all, value)
		if !ok {
			errs = append(errs, option.Errorf(path, "%q is unknown; accepted: %s", value, namesOf(all)))
		}
		*into = found
	}
	number("query_class", o.QueryClass, &class, dnsClasses)
	number("query_type", o.QueryType, &qtype, dnsTypeNames())
	if o.QueryName == "" {
		errs = append(errs, &option.Error{Path: "query_name", Err: option.ErrRequired})
		return errors.Join(errs...)
	}
	var err error
	if p.query, err = newDNSQuery(o.QueryName, qtype, class, o.RecursionDesired); err != nil {
		errs = append(errs, option.Unusablef("query_name", "%q %w", o.QueryName, err))
	}
	return errors.Join(errs...)
}

// Probe asks the name server that is the target, and judges its answer.
func (p *prober) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	var r probe.Result
	host, port, err := parseTarget(req.Target, p.port)
	if err != nil {
		return r, err
	}
	r.DNS = new(probe.DNSFacts)
	resolved, err := p.ip.Resolve(ctx, host)
	r.Resolve, r.Phases.Resolve = &resolved, resolved.Duration
	if err != nil {
		return r.Settle(err)
	}
	e := newExchange(p, req, &r)
	defer e.release()
	return r.Settle(e.run(ctx, host, netip.AddrPortFrom(resolved.Addr, port)))
}

// parseTarget reads host or host:port. Its error is a *probe.TargetError.
func parseTarget(target string, port uint16) (string, uint16, error) {
	return network.Syntax{Prober: "dns", Takes: "a dns module takes host or host:port", DefaultPort: port}.Split(target)
}

func (p *prober) Locate(target string) (probe.Destination, error) {
	host, port, err := parseTarget(target, p.port)
	return probe.Destination{Host: host, Port: port}, err
}
