package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// ipPolicy chooses the one address of a target that is dialled.
type ipPolicy struct {
	prefer   IPProtocol // empty: ip6
	fallback bool       // the other family will do when there is no address of the preferred one
	server   string     // host:port of the name server to ask; empty: the system's
}

// from makes packets come from the address that the option source_ip_address has; empty: the system chooses, which the
// zero Addr says. An address can only reach its own family, so a
// target is looked up in that one alone. The error is an *OptionError.
func (p *ipPolicy) from(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	source, err := netip.ParseAddr(text)
	if err != nil {
		return source, unusablef("source_ip_address", "%q is not an IP address", text)
	}
	source = source.Unmap()
	family := IPProtocol("ip6")
	if source.Is4() {
		family = "ip4"
	}
	if p.prefer != "" && p.prefer != family && !p.fallback {
		return source, unusablef("source_ip_address", "%s reaches no %s address, and preferred_ip_protocol without ip_protocol_fallback allows no other", source, p.prefer)
	}
	p.prefer, p.fallback = family, false
	return source, checkSource(source)
}

// checkSource tries whether the address is this machine's. Its error is an *OptionError.
func checkSource(source netip.Addr) error {
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)))
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return unusablef("source_ip_address", "%s is no address of this machine", source)
	}
	if err == nil {
		socket.Close()
	}
	return nil // another error is not about the address
}

// resolve turns host into one address: itself when it is one (with a zone if need be, without brackets), otherwise
// the first of the preferred family that its name has. Other spellings of addresses (127.1, 0x7f.1, 2130706433) are
// names like any other; no system library gets to interpret them. The Resolve tells the time spent also when there
// is an error, which is a *Failure at StageResolve, an *ExporterError or context.Canceled.
func (p ipPolicy) resolve(ctx context.Context, host string) (Resolve, error) {
	start := time.Now()
	addr, err := p.choose(ctx, host)
	return Resolve{Duration: time.Since(start), Addr: addr}, err
}

func (p ipPolicy) choose(ctx context.Context, host string) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap() // ::ffff:192.0.2.1 is dialled, and judged, as 192.0.2.1
		if !p.fallback && !p.preferred(addr) {
			return netip.Addr{}, failf(StageResolve, ReasonNoIPProtocol, "resolving %q: it is not an %s address, and the module allows no other", host, p.network())
		}
		return addr, nil
	}
	network := "ip"
	if !p.fallback {
		network = p.network()
	}
	addrs, err := p.lookup(ctx, network, host)
	if err != nil {
		return netip.Addr{}, p.explain(ctx, host, err)
	}
	for _, addr := range addrs {
		if addr = addr.Unmap(); p.preferred(addr) {
			return addr, nil
		}
	}
	return addrs[0].Unmap(), nil
}

// network is the preferred family in net's words.
func (p ipPolicy) network() string {
	if p.prefer == "ip4" {
		return "ip4"
	}
	return "ip6"
}

func (p ipPolicy) preferred(addr netip.Addr) bool { return addr.Is4() == (p.prefer == "ip4") }

// explain looks once more when a name has no address of the only family that is allowed: whether it has others
// decides between no_address and no_ip_protocol.
func (p ipPolicy) explain(ctx context.Context, host string, err error) error {
	if p.fallback || !isFailure(err, ReasonNoAddress) {
		return err
	}
	other := "ip4"
	if p.network() == "ip4" {
		other = "ip6"
	}
	if _, otherErr := p.lookup(ctx, other, host); otherErr != nil {
		return err
	}
	return failf(StageResolve, ReasonNoIPProtocol, "resolving %q: it has %s addresses only, and the module demands %s", host, other, p.network())
}

// lookup asks for the addresses of a name; without an error there is at least one.
func (p ipPolicy) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	var notes dnsNotes
	// A Resolver of its own, because net's shared one would answer several probes with one lookup, and because it
	// does not tell a name that does not exist from one without addresses: the notes do.
	resolver := net.Resolver{PreferGo: true, Dial: func(dialing context.Context, network, server string) (net.Conn, error) {
		if p.server != "" {
			server = p.server
		}
		return notes.dial(ctx, dialing, network, server)
	}}
	addrs, err := resolver.LookupNetIP(ctx, network, host)
	if err == nil && len(addrs) > 0 {
		return addrs, nil
	}
	if err == nil {
		return nil, failf(StageResolve, ReasonNoAddress, "resolving %q: no address", host)
	}
	return nil, notes.classify(ctx, host, err)
}

// dnsNotes is what one lookup's connections saw that net.Resolver does not report. Its queries run at the same time.
type dnsNotes struct {
	exists atomic.Bool                   // a server answered NOERROR: the name exists
	fault  atomic.Pointer[ExporterError] // a query could not be sent, and that was our fault
}

func (n *dnsNotes) classify(ctx context.Context, host string, err error) error {
	if fault := n.fault.Load(); fault != nil && !errors.Is(ctx.Err(), context.Canceled) {
		return &ExporterError{fault.Fault, fmt.Errorf("resolving %q: %w", host, fault.Err)}
	}
	wrapped := fmt.Errorf("resolving %q: %w", host, err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case ctx.Err() != nil:
		return classify(ctx, StageResolve, wrapped)
	case is[*net.AddrError](err): // from /etc/hosts, in the wrong family only
		return fail(StageResolve, ReasonNoIPProtocol, wrapped)
	case !isDNS:
		return classify(ctx, StageResolve, wrapped)
	case dns.IsNotFound && n.exists.Load():
		return failf(StageResolve, ReasonNoAddress, "resolving %q: the name exists and has no such address", host)
	case dns.IsNotFound:
		return fail(StageResolve, ReasonNoSuchHost, wrapped)
	case dns.IsTimeout:
		return fail(StageResolve, ReasonTimeout, wrapped)
	default:
		return fail(StageResolve, ReasonDNSFailure, wrapped)
	}
}

// dial connects to a name server for one query. dialing is net.Resolver's context, which outlives the probe's: both
// end the connection, so that a silent server holds no descriptor after the probe is over.
func (n *dnsNotes) dial(probing, dialing context.Context, network, server string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(dialing)
	defer cancel()
	defer context.AfterFunc(probing, cancel)()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		if fault := LocalFault(err); fault != nil {
			n.fault.Store(fault)
		}
		return nil, err
	}
	noted := &dnsConn{Conn: c, notes: n}
	noted.stop = context.AfterFunc(probing, func() {
		noted.ended.Store(true)
		c.SetDeadline(longAgo)
	})
	if udp, ok := c.(*net.UDPConn); ok {
		return dnsPacketConn{noted, udp}, nil
	}
	return noted, nil
}

// dnsConn reads the header of each answer as it passes.
type dnsConn struct {
	net.Conn
	notes *dnsNotes
	stop  func() bool
	ended atomic.Bool // the probe is over

	header [14]byte // of a stream: the length and the header, as far as they have come
	filled int
}

// SetDeadline keeps to the probe's end: net.Resolver sets its own, later one.
func (c *dnsConn) SetDeadline(t time.Time) error {
	err := c.Conn.SetDeadline(t)
	if c.ended.Load() {
		err = c.Conn.SetDeadline(longAgo)
	}
	return err
}

func (c *dnsConn) Close() error {
	c.stop()
	return c.Conn.Close()
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
