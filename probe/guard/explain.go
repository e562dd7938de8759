package guard

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"

	"rollcall/probe"
	"rollcall/probe/network"
)

// Explain says for each address that the target's host has now what the module's guard would say if a probe connected to
// it, or had a proxy do so. Where the proxy looks the name up, the name alone is judged. The error is a *TargetError, a
// *Failure or an *ExporterError.
func Explain(ctx context.Context, m *probe.Module, target string) ([]Verdict, error) {
	prober, ok := m.Prober.(probe.Locator)
	if !ok {
		return nil, fmt.Errorf("the prober %q dials no address", m.Kind)
	}
	d, err := prober.Locate(target)
	if err != nil {
		return nil, err
	}
	own, _ := m.Guard.(*Guard) // nil without one
	if d.Path != "" {
		return []Verdict{own.judgePath(d.Path)}, nil
	}
	addrs := []netip.Addr{{}}
	if addr, err := netip.ParseAddr(d.Host); err == nil {
		addrs[0] = addr
	} else if !d.Unresolved {
		if addrs, err = (network.Resolver{Fallback: true, Server: m.NameServer}).Lookup(ctx, "ip", d.Host); err != nil {
			return nil, err
		}
	}
	var verdicts []Verdict
	for _, addr := range addrs {
		at := netip.AddrPortFrom(addr.Unmap(), d.Port)
		var via *url.URL
		if d.Via != nil {
			if via, err = d.Via(at); err != nil {
				return nil, err
			}
		}
		v := own.judge(d.Host, at)
		if via != nil {
			v.Proxy = via.Scheme + "://" + via.Host
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

// Check says what keeps every probe of target from being made, whatever its name leads to: a *TargetError when the prober
// cannot ask it, a *DeniedError when it is an address that the guard refuses. It looks nothing up.
func Check(m *probe.Module, target string) error {
	prober, ok := m.Prober.(probe.Locator)
	if !ok {
		return nil
	}
	d, err := prober.Locate(target)
	if err != nil {
		return err
	}
	if d.Path != "" {
		return probe.AllowPath(m.Guard, d.Path)
	}
	if addr, err := netip.ParseAddr(d.Host); err == nil {
		return probe.Allow(m.Guard, d.Host, netip.AddrPortFrom(addr.Unmap(), d.Port))
	}
	return nil
}
