package probe

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"sync"
)

// ICMPOptions is the icmp section of a module: blackbox_exporter's options by their names.
type ICMPOptions struct {
	IPProtocol         IPProtocol `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool       `yaml:"ip_protocol_fallback"`
	SourceIPAddress    string     `yaml:"source_ip_address,omitempty"`
	PayloadSize        int        `yaml:"payload_size,omitempty"` // 0: defaultPayload
	DontFragment       bool       `yaml:"dont_fragment,omitempty"`
	TTL                int        `yaml:"ttl,omitempty"` // 0: the system's
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *ICMPOptions) SetDefaults() { o.IPProtocolFallback = true }

// icmpProber is a compiled icmp section.
type icmpProber struct {
	ip           ipPolicy
	source       netip.Addr // invalid: the system chooses
	payload      int
	dontFragment bool
	ttl          int // 0: the system's

	buffers sync.Pool // of *pingBuffer
}

// Compile makes the section ready to probe. Its errors are joined *OptionErrors; it wraps ErrUnsupportedProber on a system
// that offers no ping.
func (o *ICMPOptions) Compile() (Prober, error) {
	if !canPing {
		return nil, &Unusable{ErrUnsupportedProber}
	}
	p := &icmpProber{
		ip: ipPolicy{prefer: o.IPProtocol, fallback: o.IPProtocolFallback}, payload: o.PayloadSize,
		dontFragment: o.DontFragment, ttl: o.TTL,
	}
	var (
		errs []error
		err  error
	)
	if p.source, err = p.ip.from(o.SourceIPAddress); err != nil {
		errs = append(errs, err)
	}
	switch {
	case o.PayloadSize < 0 || o.PayloadSize > maxPayload:
		errs = append(errs, unusablef("payload_size", "%d is out of range; accepted: 1 to %d bytes, and 0 for the %d of the default", o.PayloadSize, maxPayload, defaultPayload))
	case o.PayloadSize == 0:
		p.payload = defaultPayload
	}
	if o.TTL < 0 || o.TTL > 255 {
		errs = append(errs, optionErrorf("ttl", "%d is out of range; accepted: 1 to 255, and 0 for the system's", o.TTL))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// Probe sends one echo request and waits for the reply to it.
func (p *icmpProber) Probe(ctx context.Context, req Request) (Result, error) {
	host, err := parseICMPTarget(req.Target)
	if err != nil {
		return Result{}, err
	}
	r := Result{ICMP: &ICMPFacts{HopLimit: -1}}
	resolved, err := p.ip.resolve(ctx, host)
	r.Resolve, r.Phases.Resolve = &resolved, resolved.Duration
	if err != nil {
		return r.settle(err)
	}
	if err := req.guard.allow(host, netip.AddrPortFrom(resolved.Addr, 0)); err != nil {
		return r.settle(err)
	}
	addr := resolved.Addr
	if addr.IsUnspecified() {
		addr = destination(addr) // that is where the reply comes from
	}
	if err := oneHost(addr); err != nil {
		return r.settle(err)
	}
	return r.settle(p.ping(ctx, addr, req.Trace, &r))
}

// oneHost refuses an address that many hosts share: none of them may answer from it. Its error is a *TargetError.
func oneHost(addr netip.Addr) error {
	switch {
	case addr.IsMulticast():
		return targetError("is a multicast address, from which no reply can come")
	case addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return targetError(isBroadcast)
	}
	return nil
}

const isBroadcast = "is a broadcast address, from which no reply can come"

// parseICMPTarget reads the name or the address of a host. Its error is a *TargetError; it does not quote the target,
// which may hold a password by mistake.
func parseICMPTarget(target string) (host string, err error) {
	if addr, err := netip.ParseAddr(target); err == nil {
		return target, oneHost(addr)
	}
	const accepted = "; an icmp module takes the name or the address of a host, as example.com, 192.0.2.1, 2001:db8::1"
	_, bracketed := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(target, "["), "]"))
	switch {
	case target == "":
		return "", targetError("names no host" + accepted)
	case strings.Contains(target, "://"):
		return "", targetError("is a URL" + accepted)
	case strings.ContainsAny(target, "/?#@"):
		return "", targetError("has a path or a user name" + accepted)
	case bracketed == nil:
		return "", targetError("has brackets" + accepted)
	case strings.ContainsAny(target, ":[]"):
		return "", targetError("has a port, or is a broken IPv6 address" + accepted)
	case strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '%' }):
		return "", targetError("has a blank or another character that no name has" + accepted)
	}
	return target, nil
}

// subject has no port: an entry of a guard that names one is not about icmp.
func (p *icmpProber) subject(target string) (guardSubject, error) {
	host, err := parseICMPTarget(target)
	return guardSubject{host: host, via: func(netip.AddrPort) (*url.URL, error) { return nil, nil }}, err
}
