package probe

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
)

// Explain says for each address that the target's host has now what the module's guard would say if a probe connected to
// it, or had a proxy do so. Where the proxy looks the name up, the name alone is judged. The error is a *TargetError, a
// *Failure or an *ExporterError.
func (m *Module) Explain(ctx context.Context, target string) ([]GuardVerdict, error) {
	prober, ok := m.Prober.(destined)
	if !ok {
		return nil, fmt.Errorf("the prober %q dials no address", m.Kind)
	}
	d, err := prober.subject(target)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{{}}
	if addr, err := netip.ParseAddr(d.host); err == nil {
		addrs[0] = addr
	} else if !d.unresolved {
		if addrs, err = (ipPolicy{fallback: true}).lookup(ctx, "ip", d.host); err != nil {
			return nil, err
		}
	}
	var verdicts []GuardVerdict
	for _, addr := range addrs {
		at := netip.AddrPortFrom(addr.Unmap(), d.port)
		via, err := d.via(at)
		if err != nil {
			return nil, err
		}
		v := GuardVerdict{Host: d.host, Addr: at, Allowed: true}
		if m.Guard != nil {
			v = m.Guard.judge(d.host, at)
		}
		if via != nil {
			v.Proxy = via.Scheme + "://" + via.Host
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

// Check says what keeps every probe of target from being made, whatever its name leads to: a *TargetError when the prober
// cannot ask it, a *DeniedError when it is an address that the guard refuses. It looks nothing up.
func (m *Module) Check(target string) error {
	prober, ok := m.Prober.(destined)
	if !ok {
		return nil
	}
	d, err := prober.subject(target)
	if err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(d.host); err == nil {
		return m.Guard.allow(d.host, netip.AddrPortFrom(addr.Unmap(), d.port))
	}
	return nil
}

// destined is a prober that can say where a probe of a target would connect, as it reads targets itself.
type destined interface {
	subject(target string) (guardSubject, error)
}

// guardSubject is what a guard judges of a target.
type guardSubject struct {
	host       string
	port       uint16
	unresolved bool                                   // a proxy looks host up
	via        func(netip.AddrPort) (*url.URL, error) // the proxy on the way to an address of host; nil: none
}

// direct is the way to every address without a proxy.
func direct(netip.AddrPort) (*url.URL, error) { return nil, nil }

func (p *tcpProber) subject(target string) (guardSubject, error) {
	host, port, err := parseTCPTarget(target)
	return guardSubject{host: host, port: port, via: direct}, err
}

func (p *dnsProber) subject(target string) (guardSubject, error) {
	host, port, err := parseDNSTarget(target, p.port)
	return guardSubject{host: host, port: port, via: direct}, err
}

func (p *httpProber) subject(target string) (guardSubject, error) {
	u, err := parseHTTPTarget(target)
	if err != nil {
		return guardSubject{}, err
	}
	via, err := p.proxy.choose(u)
	return guardSubject{
		host: u.Hostname(), port: urlPort(u), unresolved: via != nil && p.skipResolve,
		via: func(at netip.AddrPort) (*url.URL, error) {
			if via == nil || !at.Addr().IsValid() {
				return via, nil
			}
			return p.proxy.chooseFor(u.Scheme, at)
		},
	}, err
}
