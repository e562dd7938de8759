// Package network resolves names, opens connections to one guarded address and says what their errors mean: a failure of the
// target, or an error of this machine. It knows no protocol above TCP and UDP.
package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"rollcall/probe"
)

// Dial connects to addr by network, "tcp" or "udp", for host, after g has judged addr; a nil g allows every address. The
// connection's deadline is ctx's, and I/O on it ends when ctx is cancelled. A valid source is the local address. A UDP
// connection receives from addr alone. The errors are Classify's, at StageConnect.
func Dial(ctx context.Context, g probe.Guard, network, host string, addr netip.AddrPort, source netip.Addr) (net.Conn, error) {
	if !addr.IsValid() {
		return nil, probe.BadTarget("has no valid address")
	}
	if err := probe.Allow(g, host, addr); err != nil {
		return nil, err
	}
	c := new(conn)
	c.deadline, _ = ctx.Deadline()
	if err := c.connect(ctx, network, addr, source); err != nil {
		if unreachable(err, addr) {
			err = &probe.ExporterError{Fault: probe.FaultRoute, Err: err}
		}
		return nil, Classify(ctx, probe.StageConnect, err)
	}
	return c, nil
}

// ZoneIndex is the number of the interface that addr's zone names, 0 for an address without a zone. Its error is a
// *Failure, or an *ExporterError when this machine could not look.
func ZoneIndex(addr netip.Addr) (uint32, error) {
	zone := addr.Zone()
	if zone == "" {
		return 0, nil
	}
	found, err := net.InterfaceByName(zone)
	if err == nil {
		return uint32(found.Index), nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	err = fmt.Errorf("looking for the network interface %.64q: %w", zone, err)
	if fault := LocalFault(err); fault != nil {
		return 0, fault
	}
	return 0, probe.Fail(probe.StageConnect, probe.ReasonNetworkUnreachable, err)
}

// longAgo is a deadline that has passed: it ends blocked I/O at once.
var longAgo = time.Unix(1, 0)

// conn is a connection that ends with a context: no deadline that is set later reaches beyond it (crypto/tls allows itself five
// seconds to send its last alert to a peer that does not read). Close also releases the context.
type conn struct {
	net.Conn
	stop     func() bool
	deadline time.Time   // zero: the context has none
	ended    atomic.Bool // the context is done
}

// watch sets ctx's deadline on the connection, and ends I/O when the caller goes away, which no deadline covers.
func (c *conn) watch(ctx context.Context) {
	if !c.deadline.IsZero() {
		c.Conn.SetDeadline(c.deadline)
	}
	c.stop = context.AfterFunc(probe.Caller(ctx), c.end)
}

func (c *conn) Close() error {
	c.stop()
	return c.Conn.Close()
}

func (c *conn) end() {
	c.ended.Store(true)
	c.Conn.SetDeadline(longAgo)
}

func (c *conn) SetDeadline(t time.Time) error      { return c.set(c.Conn.SetDeadline, t) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.set(c.Conn.SetReadDeadline, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.set(c.Conn.SetWriteDeadline, t) }

func (c *conn) set(set func(time.Time) error, t time.Time) error {
	if !c.deadline.IsZero() && (t.IsZero() || t.After(c.deadline)) {
		t = c.deadline
	}
	err := set(t)
	if c.ended.Load() {
		return set(longAgo) // the context ended meanwhile, or before
	}
	return err
}

// NoRoute turns what the kernel says at once, before a packet has left, when it has no route to an address, one that rejects
// or a blackhole, into an *ExporterError. Another error stays.
func NoRoute(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok && (errno == syscall.ENETUNREACH || errno == syscall.EHOSTUNREACH || errno == syscall.EINVAL) {
		return probe.Faultf(probe.FaultRoute, "this machine has no route to the address, or one that rejects: %w", err)
	}
	return err
}

// NeedsZone reports whether the address means nothing without an interface (RFC 4007): Linux refuses it at once, and the target
// is why.
func NeedsZone(addr netip.Addr) bool {
	return addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == ""
}

// unreachable reports whether a connect that found no local address (EADDRNOTAVAIL) found none for want of a route:
// Linux says so for ::1 on a host without IPv6, and also when every ephemeral port is in use. A UDP socket tells
// them apart, because its ports are others and connecting it sends nothing.
func unreachable(err error, addr netip.AddrPort) bool {
	if !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return false
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ENETUNREACH)
	}
	c.Close()
	return false
}

// ClosedAfterAccept is the failure of dialling a peer that had accepted and then ended the connection before the system
// reported it, which a reset (or a close) tells; nil: err is another. One that does not accept answers the first packet
// by RST, which is connection_refused (RFC 9293, 3.10.7.3). So connecting succeeded, and it is what would have
// come next that failed.
func ClosedAfterAccept(err error) *probe.Failure {
	f, ok := errors.AsType[*probe.Failure](err)
	if !ok || f.Reason != probe.ReasonConnectionReset && f.Reason != probe.ReasonConnectionClosed {
		return nil
	}
	return f
}
