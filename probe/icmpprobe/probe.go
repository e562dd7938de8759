// Package icmpprobe checks hosts by ICMP echo, on Linux: by an unprivileged ping socket, or a raw one. Errors that routers
// report about the ping decide its reason.
package icmpprobe

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"rollcall/probe"
	"rollcall/probe/guard"
	"rollcall/probe/network"
	"rollcall/probe/option"
)

// ICMPOptions is the icmp section of a module: blackbox_exporter's options by their names.
type Options struct {
	IPProtocol         option.IPProtocol `yaml:"preferred_ip_protocol,omitempty"`
	IPProtocolFallback bool              `yaml:"ip_protocol_fallback"`
	SourceIPAddress    string            `yaml:"source_ip_address,omitempty"`
	PayloadSize        int               `yaml:"payload_size,omitempty"` // 0: defaultPayload
	DontFragment       bool              `yaml:"dont_fragment,omitempty"`
	TTL                int               `yaml:"ttl,omitempty"` // 0: the system's
}

// SetDefaults puts in what a section says when it does not mention an option.
func (o *Options) SetDefaults() { o.IPProtocolFallback = true }

// icmpProber is a compiled icmp section.
type prober struct {
	ip           network.Resolver
	source       netip.Addr // invalid: the system chooses
	payload      int
	dontFragment bool
	ttl          int // 0: the system's

	buffers sync.Pool // of *pingBuffer
}

// compile wraps ErrUnsupportedProber on a system that offers no ping.
func (o *Options) Compile() (probe.Prober, error) {
	if !canPing {
		return nil, &option.Unusable{Err: probe.ErrUnsupportedProber}
	}
	p := &prober{
		ip: network.Resolver{Prefer: o.IPProtocol, Fallback: o.IPProtocolFallback}, payload: o.PayloadSize,
		dontFragment: o.DontFragment, ttl: o.TTL,
	}
	var (
		errs []error
		err  error
	)
	if p.source, err = p.ip.BindTo(o.SourceIPAddress); err != nil {
		errs = append(errs, err)
	}
	switch {
	case o.PayloadSize < 0 || o.PayloadSize > maxPayload:
		errs = append(errs, option.Unusablef("payload_size", "%d is out of range; accepted: 1 to %d bytes, and 0 for the %d of the default", o.PayloadSize, maxPayload, defaultPayload))
	case o.PayloadSize == 0:
		p.payload = defaultPayload
	}
	if o.TTL < 0 || o.TTL > 255 {
		errs = append(errs, option.Errorf("ttl", "%d is out of range; accepted: 1 to 255, and 0 for the system's", o.TTL))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
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
	if err := probe.Allow(req.Guard, host, netip.AddrPortFrom(resolved.Addr, 0)); err != nil {
		return r.Settle(err)
	}
	addr := resolved.Addr
	if addr.IsUnspecified() {
		addr = guard.Reached(addr) // that is where the reply comes from
	}
	if err := oneHost(addr); err != nil {
		return r.Settle(err)
	}
	return r.Settle(p.ping(ctx, addr, req.Trace, &r))
}

// oneHost refuses an address that many hosts share: none of them may answer from it. Its error is a *TargetError.
func oneHost(addr netip.Addr) error {
	switch {
	case addr.IsMulticast():
		return probe.BadTarget("is a multicast address, from which no reply can come")
	case addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return probe.BadTarget(isBroadcast)
	}
	return nil
}

const isBroadcast = "is a broadcast address, from which no reply can come"

// parseTarget reads the name or the address of a host. Its error is a *probe.TargetError.
func parseTarget(target string) (string, error) {
	host, err := network.Syntax{Prober: "icmp", Takes: "an icmp module takes the name or the address of a host"}.SplitHost(target)
	if err != nil {
		return "", err
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return host, oneHost(addr)
	}
	return host, nil
}

// Locate gives no port: an entry of a guard that names one is not about icmp.
func (p *prober) Locate(target string) (probe.Destination, error) {
	host, err := parseTarget(target)
	return probe.Destination{Host: host}, err
}
