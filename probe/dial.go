package probe

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
)

// dial opens one TCP connection to addr for host, after the guard has judged addr. The connection's deadline is
// ctx's, and I/O on it ends when ctx is cancelled. A valid source is the local address. The errors are classify's,
// at StageConnect.
func dial(ctx context.Context, g *Guard, host string, addr netip.AddrPort, source netip.Addr) (net.Conn, error) {
	return dialNetwork(ctx, g, "tcp", host, addr, source)
}

// dialNetwork does the same over "tcp" or "udp". A UDP connection hears addr alone.
func dialNetwork(ctx context.Context, g *Guard, network, host string, addr netip.AddrPort, source netip.Addr) (net.Conn, error) {
	if err := g.allow(host, addr); err != nil {
		return nil, err
	}
	c := new(conn)
	c.deadline, _ = ctx.Deadline()
	if err := c.connect(ctx, network, addr, source); err != nil {
		if unreachable(err, addr) {
			err = fail(StageConnect, ReasonNetworkUnreachable, err)
		}
		return nil, classify(ctx, StageConnect, err)
	}
	return c, nil
}

// zoneIndex is the number of the interface that addr's zone names, 0 for an address without a zone. Its error is a
// *Failure, or an *ExporterError when this machine could not look.
func zoneIndex(addr netip.Addr) (uint32, error) {
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
	return 0, fail(StageConnect, ReasonNetworkUnreachable, err)
}

// longAgo is a deadline that has passed: it ends blocked I/O at once.
var longAgo = time.Unix(1, 0)

// conn is a connection that ends with a context: no deadline that somebody sets later reaches beyond (crypto/tls
// gives itself five seconds to say goodbye to a peer that does not read). Close also lets go of the context.
type conn struct {
	net.Conn
	stop     func() bool
	deadline time.Time   // zero: the context has none
	ended    atomic.Bool // the context is done
}

// watch makes the deadline the connection's, and the asker's going away its end: the deadline does not tell of that.
func (c *conn) watch(ctx context.Context) {
	if !c.deadline.IsZero() {
		c.Conn.SetDeadline(c.deadline)
	}
	c.stop = context.AfterFunc(asker(ctx), c.end)
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
