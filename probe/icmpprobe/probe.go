// Package icmpprobe checks hosts by ICMP echo, on Linux: by an unprivileged ping socket, or a raw one. The ICMP errors
// of routers that quote the request are its failure reasons. It sends one request per probe and measures no loss.
package icmpprobe

import (
	"context"
	"net/netip"
	"sync"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/option"
)

// Options is the icmp section of a module: blackbox_exporter's options by their names.
type Options struct {
	IPProtocol         option.IPProtocol `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool              `yaml:"ip_protocol_fallback"`
	SourceIPAddress    string            `yaml:"source_ip_address,omitempty"`
	PayloadSize        int               `yaml:"payload_size,omitempty"` // bytes after the ICMP header; 0: defaultPayload
	DontFragment       bool              `yaml:"dont_fragment,omitempty"`
	TTL                int               `yaml:"ttl,omitempty"` // 0: the system's
}

// SetDefaults sets the options that are not zero where a section does not mention them.
func (o *Options) SetDefaults() { o.IPProtocolFallback = true }

// prober is a compiled icmp section.
type prober struct {
	ip           network.Resolver
	source       netip.Addr // invalid: the system chooses
	payload      int        // bytes
	dontFragment bool
	ttl          int // 0: the system's

	buffers sync.Pool // of *pingBuffer
}

// Compile checks the options. Its errors are option.Errors, joined; on a system other than Linux it is
// probe.ErrUnsupportedProber.
func (o *Options) Compile() (probe.Prober, error) {
	if !canPing {
		return nil, &option.Unusable{Err: probe.ErrUnsupportedProber}
	}
	p := &prober{
		ip: network.Resolver{Prefer: o.IPProtocol, Fallback: o.IPProtocolFallback}, payload: o.PayloadSize,
		dontFragment: o.DontFragment, ttl: o.TTL,
	}
	var (
		errs option.Collector
		err  error
	)
	p.source, err = p.ip.BindTo(o.SourceIPAddress)
	errs.Join(err)
	switch {
	case o.PayloadSize < 0 || o.PayloadSize > maxPayload:
		errs.Unusablef("payload_size", "%d is out of range; accepted: 1 to %d bytes, and 0 for the default of %d", o.PayloadSize, maxPayload, defaultPayload)
	case o.PayloadSize == 0:
		p.payload = defaultPayload
	}
	if o.TTL < 0 || o.TTL > 255 {
		errs.Addf("ttl", "%d is out of range; accepted: 1 to 255, and 0 for the system's default", o.TTL)
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// Probe sends one echo request and waits for the reply to it.
func (p *prober) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	host, err := parseTarget(req.Target)
	if err != nil {
		return probe.Result{}, err
	}
	r := probe.Result{ICMP: &probe.ICMPFacts{HopLimit: -1}}
	resolved, err := p.ip.Resolve(ctx, host)
	r.Resolve, r.Phases.Resolve = &resolved, resolved.Duration
	if err != nil {
		return r.Settle(err)
	}
	addr := resolved.Addr
	if err := probe.Allow(req.Guard, host, netip.AddrPortFrom(addr, 0)); err != nil {
		return r.Settle(err)
	}
	if why := notOneHost(addr); why != "" { // the address of a name
		return r.Settle(probe.BadTarget(why))
	}
	return r.Settle(p.ping(ctx, addr, req.Trace, &r))
}

// targets are hosts without a port. Brackets around an IPv6 address are accepted, as blackbox_exporter does.
var targets = network.Syntax{Prober: "icmp", Takes: "an icmp module takes the name or the address of a host, e.g. example.com, 192.0.2.1, 2001:db8::1"}

// parseTarget reads the name or the address of a host. Its error is a *probe.TargetError.
func parseTarget(target string) (host string, err error) {
	if host, err = targets.SplitHost(target); err != nil {
		return "", err
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if why := notOneHost(addr.Unmap()); why != "" {
			return "", probe.BadTarget(why)
		}
	}
	return host, nil
}

const isBroadcast = "is a broadcast address, from which no reply can come"

// notOneHost says why no single host can reply from addr; empty: one can. The system would take the unspecified address for
// its own, and the probe would be up whatever the target's state is.
func notOneHost(addr netip.Addr) string {
	switch {
	case addr.IsUnspecified():
		return "is the unspecified address, which is no host's"
	case addr.IsMulticast():
		return "is a multicast address, from which no reply can come"
	case addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return isBroadcast
	default:
		return ""
	}
}

// Locate implements probe.Locator. It gives no port: guard entries with a port are not about pings.
func (p *prober) Locate(target string) (probe.Destination, error) {
	host, err := parseTarget(target)
	return probe.Destination{Host: host}, err
}
