package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// dial opens one TCP connection to addr for host, after the guard has judged addr. The connection's deadline is
// ctx's, and I/O on it ends when ctx is cancelled. A valid source is the local address. The errors are classify's,
// at StageConnect.
func dial(ctx context.Context, g *Guard, host string, addr netip.AddrPort, source netip.Addr) (net.Conn, error) {
	if err := g.allow(host, addr); err != nil {
		return nil, err
	}
	// No keep-alive: a probe's connection is too short for one, and setting it costs system calls.
	dialer := net.Dialer{KeepAlive: -1}
	if source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	deadline, _ := ctx.Deadline()
	c, err := dialer.DialContext(dialContext(ctx, deadline), "tcp", addr.String())
	if err != nil {
		if unreachable(err, addr) {
			err = fail(StageConnect, ReasonNetworkUnreachable, err)
		}
		return nil, classify(ctx, StageConnect, err)
	}
	bounded := &conn{TCPConn: c.(*net.TCPConn)}
	if !deadline.IsZero() {
		bounded.deadline = deadline
		bounded.TCPConn.SetDeadline(deadline)
	}
	// The deadline alone does not tell of an asker who went away.
	bounded.stop = context.AfterFunc(asker(ctx), bounded.end)
	return bounded, nil
}

// dialContext is what a Dialer shall see of a probe's context. The Dialer sets the deadline on the socket, so it can
// do without the timer that ctx would need; but it does so only in a context that can be cancelled.
func dialContext(ctx context.Context, deadline time.Time) context.Context {
	if a := asker(ctx); a.Done() != nil {
		return dialing{a, deadline}
	}
	return ctx
}

// dialing is the asker's context with the probe's deadline, without a timer.
type dialing struct {
	context.Context
	deadline time.Time // zero: none
}

func (d dialing) Deadline() (time.Time, bool) { return d.deadline, !d.deadline.IsZero() }

// longAgo is a deadline that has passed: it ends blocked I/O at once.
var longAgo = time.Unix(1, 0)

// conn is a connection that ends with a context: no deadline that somebody sets later reaches beyond (crypto/tls
// gives itself five seconds to say goodbye to a peer that does not read). Close also lets go of the context.
type conn struct {
	*net.TCPConn
	stop     func() bool
	deadline time.Time   // zero: the context has none
	ended    atomic.Bool // the context is done
}

func (c *conn) Close() error {
	c.stop()
	return c.TCPConn.Close()
}

func (c *conn) end() {
	c.ended.Store(true)
	c.TCPConn.SetDeadline(longAgo)
}

func (c *conn) SetDeadline(t time.Time) error      { return c.set(c.TCPConn.SetDeadline, t) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.set(c.TCPConn.SetReadDeadline, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.set(c.TCPConn.SetWriteDeadline, t) }

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
