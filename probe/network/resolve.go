package network

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"rollcall/probe"
	"rollcall/probe/option"
)

// Resolver chooses the one address of a target that is dialled.
type Resolver struct {
	Prefer   option.IPProtocol // empty: ip6
	Fallback bool              // the other family will do when there is no address of the preferred one
	Server   string            // host:port of the name server to ask; empty: the module's, or the system's
}

// BindTo reads the option source_ip_address: the address that packets come from. Empty, and so the zero Addr, lets the
// system choose. An address reaches its own family alone, so targets are then resolved in that one. The error is an
// *option.Error.
func (p *Resolver) BindTo(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	source, err := netip.ParseAddr(text)
	if err != nil {
		return source, option.Unusablef("source_ip_address", "%q is not an IP address", text)
	}
	source = source.Unmap()
	family := option.IPProtocol("ip6")
	if source.Is4() {
		family = "ip4"
	}
	if p.Prefer != "" && p.Prefer != family && !p.Fallback {
		return source, option.Unusablef("source_ip_address", "%s reaches no %s address, and preferred_ip_protocol without ip_protocol_fallback allows no other", source, p.Prefer)
	}
	p.Prefer, p.Fallback = family, false
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)))
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return source, option.Unusablef("source_ip_address", "%s is no address of this machine", source)
	}
	if err == nil {
		socket.Close()
	}
	return source, nil // another error is not about the address
}

// Resolve turns host, as Host returns it, into one address: itself when it is one, otherwise the first of the preferred
// family that its name has. The unspecified address, with which name servers block names, is none. Duration is set also
// with an error, which is a *probe.Failure at StageResolve, an *probe.ExporterError or context.Canceled.
func (p Resolver) Resolve(ctx context.Context, host string) (probe.Resolve, error) {
	start := time.Now()
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap() // ::ffff:192.0.2.1 is dialled, and judged, as 192.0.2.1
		if family, _ := p.families(); !p.Fallback && addr.Is4() != (family == "ip4") {
			return probe.Resolve{Duration: time.Since(start)}, probe.Failf(probe.StageResolve, probe.ReasonNoIPProtocol, "resolving %q: it is not an %s address, and the module allows no other", host, family)
		}
		return probe.Resolve{Duration: time.Since(start), Addr: addr}, nil
	}
	addrs, err := p.choose(ctx, host)
	found := probe.Resolve{Duration: time.Since(start)}
	if err != nil {
		return found, err
	}
	found.Addr = addrs[0].Unmap()
	if len(addrs) > 1 {
		found.All = slices.Clone(addrs[:min(len(addrs), maxFound)])
	}
	return found, nil
}

// maxFound is how many addresses of a name are kept.
const maxFound = 16

// choose returns the addresses of the family to dial, at least one.
func (p Resolver) choose(ctx context.Context, host string) ([]netip.Addr, error) {
	if p.Fallback {
		return p.eitherFamily(ctx, host)
	}
	family, other := p.families()
	addrs, err := p.Lookup(ctx, family, host)
	if !probe.HasReason(err, probe.ReasonNoAddress) {
		return addrs, err
	}
	if _, otherErr := p.Lookup(ctx, other, host); otherErr != nil { // it has none at all
		return nil, err
	}
	return nil, probe.Failf(probe.StageResolve, probe.ReasonNoIPProtocol, "resolving %q: it has %s addresses only, and the module demands %s", host, other, family)
}

// otherFamilyAfter is how long the preferred family's answer may take before the other family is asked as well: some name
// servers answer for one family and drop queries for the other.
const otherFamilyAfter = 300 * time.Millisecond

// eitherFamily returns the addresses of the preferred family if the name has any, otherwise those of the other. It waits for
// the preferred one for half of the time that ctx has left.
func (p Resolver) eitherFamily(ctx context.Context, host string) ([]netip.Addr, error) {
	wait := time.NewTimer(otherFamilyAfter)
	defer wait.Stop()
	family, otherFamily := p.families()
	preferred := p.startLookup(ctx, family, host)
	select {
	case found := <-preferred:
		if !probe.HasReason(found.err, probe.ReasonNoAddress, probe.ReasonNoIPProtocol) {
			return found.addrs, found.err
		}
		return p.Lookup(ctx, "ip", host)
	case <-wait.C:
	}
	other := p.startLookup(ctx, otherFamily, host)
	wait.Reset(timeLeft(ctx) / 2)
	select {
	case found := <-preferred:
		if found.err == nil {
			return found.addrs, nil
		}
		if found := <-other; found.err == nil {
			return found.addrs, nil
		}
		return nil, found.err
	case <-wait.C:
		return firstAddresses(preferred, other)
	}
}

// lookedUp are the addresses of a name in one family.
type lookedUp struct {
	addrs []netip.Addr
	err   error
}

// startLookup looks host up in the background. The channel takes the result also when it is no longer awaited.
func (p Resolver) startLookup(ctx context.Context, network, host string) <-chan lookedUp {
	found := make(chan lookedUp, 1)
	go func() {
		addrs, err := p.Lookup(ctx, network, host)
		found <- lookedUp{addrs, err}
	}()
	return found
}

// firstAddresses are those that arrive first on a or b, or the error of the later one.
func firstAddresses(a, b <-chan lookedUp) ([]netip.Addr, error) {
	var found lookedUp
	for range 2 {
		select {
		case found = <-a:
		case found = <-b:
		}
		if found.err == nil {
			break
		}
	}
	return found.addrs, found.err
}

// timeLeft is how long ctx lasts; without a deadline, as long as the longest probe.
func timeLeft(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return probe.DefaultTimeout
}

// families are the preferred and the other one, in net's words.
func (p Resolver) families() (preferred, other string) {
	if p.Prefer == "ip4" {
		return "ip4", "ip6"
	}
	return "ip6", "ip4"
}

// Lookup asks for the addresses of a name; network is "ip", "ip4" or "ip6". Without an error there is at least one, and none
// is unspecified: a server that answers 0.0.0.0 blocks the name, and dialling that would reach this machine.
func (p Resolver) Lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	var notes dnsNotes
	own := cmp.Or(p.Server, probe.NameServerOf(ctx))
	// A Resolver of its own, because net's shared one would answer several probes with one lookup, and because it
	// does not tell a name that does not exist from one without addresses: the notes do.
	resolver := net.Resolver{PreferGo: true, Dial: func(dialing context.Context, network, server string) (net.Conn, error) {
		if own != "" {
			server = own
		} else if chosen, err := systemServers.choose(server); err != nil {
			notes.unconfigured.Store(&err)
		} else {
			server = chosen
		}
		return notes.dial(ctx, dialing, network, server)
	}}
	addrs, err := resolver.LookupNetIP(ctx, network, host)
	if err == nil {
		addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return a.Unmap().IsUnspecified() })
		if len(addrs) > 0 {
			return addrs, nil
		}
		return nil, probe.Failf(probe.StageResolve, probe.ReasonNoAddress, "resolving %q: the name has no address, or only the unspecified one that blocks it", host)
	}
	return nil, notes.classify(ctx, host, err)
}

// dnsNotes is what one lookup's connections saw that net.Resolver does not report. Its queries run at the same time.
type dnsNotes struct {
	heard  atomic.Bool                         // a server answered something
	exists atomic.Bool                         // a server answered NOERROR: the name exists
	fault  atomic.Pointer[probe.ExporterError] // a query could not be sent, and this machine is why

	unconfigured atomic.Pointer[error] // no name server is configured
}

func (n *dnsNotes) classify(ctx context.Context, host string, err error) error {
	if fault := n.fault.Load(); fault != nil && !n.heard.Load() && !errors.Is(ctx.Err(), context.Canceled) {
		return probe.Faultf(fault.Fault, "resolving %q: %w", host, fault.Err)
	}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	notFound := isDNS && dns.IsNotFound // which a name server said
	if unconfigured := n.unconfigured.Load(); unconfigured != nil && !n.exists.Load() && ctx.Err() == nil && !notFound {
		return probe.Faultf(probe.FaultResolver, "resolving %q: %w", host, *unconfigured)
	}
	wrapped := fmt.Errorf("resolving %q: %w", host, err)
	switch {
	case ctx.Err() != nil:
		return Classify(ctx, probe.StageResolve, wrapped)
	case probe.Is[*net.AddrError](err): // from /etc/hosts, in the wrong family only
		return probe.Fail(probe.StageResolve, probe.ReasonNoIPProtocol, wrapped)
	case !isDNS:
		return Classify(ctx, probe.StageResolve, wrapped)
	case notFound && n.exists.Load():
		return probe.Failf(probe.StageResolve, probe.ReasonNoAddress, "resolving %q: the name exists and has no such address", host)
	case notFound:
		return probe.Fail(probe.StageResolve, probe.ReasonNoSuchHost, wrapped)
	case dns.IsTimeout:
		return probe.Fail(probe.StageResolve, probe.ReasonTimeout, wrapped)
	default:
		return probe.Fail(probe.StageResolve, probe.ReasonDNSFailure, wrapped)
	}
}

// dial connects to a name server for one query. dialing is net.Resolver's context, which ends with probing; the deadline
// that it then sets on the connection does not, so the connection follows probing itself.
func (n *dnsNotes) dial(probing, dialing context.Context, network, server string) (net.Conn, error) {
	var dialer net.Dialer
	opened, err := dialer.DialContext(dialing, network, server)
	if err != nil {
		fault := LocalFault(err)
		if fault == nil && network == "udp" { // connecting sends nothing
			fault, _ = errors.AsType[*probe.ExporterError](NoRoute(err))
		}
		if fault != nil {
			n.fault.Store(fault)
		}
		return nil, err
	}
	c := &dnsConn{conn: conn{Conn: opened}, notes: n}
	c.stop = context.AfterFunc(probing, c.end)
	if udp, ok := opened.(*net.UDPConn); ok {
		return dnsPacketConn{c, udp}, nil
	}
	return c, nil
}

// dnsConn reads the header of each answer as it passes.
type dnsConn struct {
	conn
	notes *dnsNotes

	header [14]byte // of a stream: the length and the header, as far as they have come
	filled int
}

// Write notes what keeps a query from being sent: a firewall of this machine says so only here.
func (c *dnsConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if fault := LocalFault(err); fault != nil {
		c.notes.fault.Store(fault)
	}
	return n, err
}

// Read is for TCP, where an answer comes in pieces.
func (c *dnsConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.filled < len(c.header) {
		c.filled += copy(c.header[c.filled:], b[:n])
		if c.filled == len(c.header) {
			c.notes.answer(c.header[2:])
		}
	}
	return n, err
}

// dnsPacketConn is a dnsConn over UDP. That it is a net.PacketConn tells net.Resolver to speak in datagrams.
type dnsPacketConn struct {
	*dnsConn
	udp *net.UDPConn
}

func (c dnsPacketConn) Read(b []byte) (int, error) {
	n, err := c.udp.Read(b)
	c.notes.answer(b[:n])
	return n, err
}

func (c dnsPacketConn) ReadFrom(b []byte) (int, net.Addr, error)     { return c.udp.ReadFrom(b) }
func (c dnsPacketConn) WriteTo(b []byte, addr net.Addr) (int, error) { return c.udp.WriteTo(b, addr) }

// answer notes an answer that says NOERROR. Two kinds do not count: a truncated one, which is asked for again over
// TCP, and an empty one of a server that does not know (a lame delegation), which net.Resolver passes over as well.
func (n *dnsNotes) answer(header []byte) {
	const (
		response, authoritative, truncated = 0x8000, 0x0400, 0x0200
		recursion, rcode                   = 0x0080, 0x000f
	)
	if len(header) < 12 {
		return
	}
	n.heard.Store(true)
	flags := binary.BigEndian.Uint16(header[2:])
	answers, additional := binary.BigEndian.Uint16(header[6:]), binary.BigEndian.Uint16(header[10:])
	if flags&response == 0 || flags&truncated != 0 || flags&rcode != 0 {
		return
	}
	if flags&(authoritative|recursion) == 0 && answers == 0 && additional == 0 {
		return
	}
	n.exists.Store(true)
}
