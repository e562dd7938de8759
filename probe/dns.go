package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/common/config"
)

// DNSOptions is the dns section of a module: blackbox_exporter's options by their names. The target is the name server
// that is asked.
type DNSOptions struct {
	IPProtocol         IPProtocol       `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool             `yaml:"ip_protocol_fallback"`
	SourceIPAddress    string           `yaml:"source_ip_address,omitempty"`
	TransportProtocol  string           `yaml:"transport_protocol,omitempty"` // "udp" (also when empty), "tcp"
	DNSOverTLS         bool             `yaml:"dns_over_tls,omitempty"`
	TLSConfig          config.TLSConfig `yaml:"tls_config,omitempty"`
	QueryName          string           `yaml:"query_name,omitempty"`
	QueryClass         string           `yaml:"query_class,omitempty"` // empty: IN
	QueryType          string           `yaml:"query_type,omitempty"`  // empty: ANY
	RecursionDesired   bool             `yaml:"recursion_desired"`
	ValidRcodes        []string         `yaml:"valid_rcodes,omitempty"` // nil: NOERROR
	ValidateAnswer     RecordOptions    `yaml:"validate_answer_rrs,omitempty"`
	ValidateAuthority  RecordOptions    `yaml:"validate_authority_rrs,omitempty"`
	ValidateAdditional RecordOptions    `yaml:"validate_additional_rrs,omitempty"`
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *DNSOptions) SetDefaults() { o.IPProtocolFallback, o.RecursionDesired = true, true }

// The ports of name servers, in clear and over TLS (RFC 7858).
const (
	dnsPort    = 53
	dnsTLSPort = 853
)

// dnsProber is a compiled dns section.
type dnsProber struct {
	ip     ipPolicy
	source netip.Addr // invalid: the system chooses
	stream bool       // over TCP
	tls    *tlsClient // nil: in clear
	port   uint16     // of a target that names none
	query  dnsQuery
	checks dnsChecks

	memories sync.Pool // of *dnsMemory
}

// Compile makes the section ready to probe. Its errors are joined *OptionErrors.
func (o *DNSOptions) Compile() (Prober, error) {
	p := &dnsProber{ip: ipPolicy{prefer: o.IPProtocol, fallback: o.IPProtocolFallback}, port: dnsPort}
	var (
		errs []error
		err  error
	)
	if p.source, err = p.ip.from(o.SourceIPAddress); err != nil {
		errs = append(errs, err)
	}
	switch o.TransportProtocol {
	case "", "udp":
		if o.DNSOverTLS {
			errs = append(errs, unusablef("dns_over_tls", "needs transport_protocol: tcp"))
		}
	case "tcp":
		p.stream = true
	default:
		errs = append(errs, unusablef("transport_protocol", "%q is unknown; accepted: udp, tcp", o.TransportProtocol))
	}
	if o.DNSOverTLS { // otherwise the files of tls_config may be missing
		p.port = dnsTLSPort
		if p.tls, err = compileTLS("tls_config", &o.TLSConfig); err != nil {
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
func (p *dnsProber) compileQuery(o *DNSOptions) error {
	class, qtype := uint16(1), uint16(dnsTypeANY)
	var errs []error
	number := func(option, value string, into *uint16, all []dnsName) {
		if value == "" {
			return
		}
		found, ok := numberOf(all, value)
		if !ok {
			errs = append(errs, optionErrorf(option, "%q is unknown; accepted: %s", value, namesOf(all)))
		}
		*into = found
	}
	number("query_class", o.QueryClass, &class, dnsClasses)
	number("query_type", o.QueryType, &qtype, dnsTypeNames())
	if o.QueryName == "" {
		errs = append(errs, &OptionError{Path: "query_name", Err: errRequired})
		return errors.Join(errs...)
	}
	var err error
	if p.query, err = newDNSQuery(o.QueryName, qtype, class, o.RecursionDesired); err != nil {
		errs = append(errs, unusablef("query_name", "%q %w", o.QueryName, err))
	}
	return errors.Join(errs...)
}

// Probe asks the name server that is the target, and judges its answer.
func (p *dnsProber) Probe(ctx context.Context, req Request) (Result, error) {
	var r Result
	host, port, err := parseDNSTarget(req.Target, p.port)
	if err != nil {
		return r, err
	}
	r.DNS = new(DNSFacts)
	resolved, err := p.ip.resolve(ctx, host)
	r.Resolve, r.Phases.Resolve = &resolved, resolved.Duration
	if err != nil {
		return r.settle(err)
	}
	e := newExchange(p, req, &r)
	defer e.release()
	return r.settle(e.run(ctx, host, netip.AddrPortFrom(resolved.Addr, port)))
}

// parseDNSTarget reads host, host:port, or an IPv6 address with or without brackets. Its error is a *TargetError.
func parseDNSTarget(target string, port uint16) (string, uint16, error) {
	if _, err := netip.ParseAddr(target); err == nil {
		return target, port, nil
	}
	if strings.Contains(target, "://") {
		return "", 0, targetError("has a scheme; a dns module takes host or host:port")
	}
	if strings.ContainsAny(target, "/?#@") {
		return "", 0, targetError("has a path or a user name; a dns module takes host or host:port")
	}
	if !strings.Contains(target, ":") || strings.HasPrefix(target, "[") && strings.HasSuffix(target, "]") {
		target += ":" + strconv.Itoa(int(port))
	}
	host, text, err := net.SplitHostPort(target)
	if err != nil {
		return "", 0, targetError("has several colons; a dns module takes host or host:port, and an IPv6 address in brackets, as [2001:db8::1]:53")
	}
	if host == "" {
		return "", 0, targetError("names no host; a dns module takes host or host:port")
	}
	if err := checkHost(host, strings.HasPrefix(target, "[")); err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, targetError("has a port that is not between 1 and 65535; a dns module takes host or host:port")
	}
	return host, uint16(n), nil
}
