//go:build !linux

package network

import (
	"context"
	"net"
	"net/netip"
	"time"

	"rollcall/probe"
)

// connect opens the connection.
func (c *conn) connect(ctx context.Context, network string, addr netip.AddrPort, source netip.Addr) error {
	if _, err := ZoneIndex(addr.Addr()); err != nil {
		return err // the Dialer would go on without the zone
	}
	// No keep-alive: a probe's connection is too short for one, and setting it costs system calls.
	dialer := net.Dialer{KeepAlive: -1}
	switch local := netip.AddrPortFrom(source, 0); {
	case source.IsValid() && network == "udp":
		dialer.LocalAddr = net.UDPAddrFromAddrPort(local)
	case source.IsValid():
		dialer.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	opened, err := dialer.DialContext(dialContext(ctx, c.deadline), network, addr.String())
	if err != nil {
		return err
	}
	c.Conn = opened
	c.watch(ctx)
	return nil
}

// dialContext is what a Dialer shall see of a probe's context. The Dialer sets the deadline on the socket, so it can
// do without the timer that ctx would need; but it does so only in a context that can be cancelled.
func dialContext(ctx context.Context, deadline time.Time) context.Context {
	if a := probe.Caller(ctx); a.Done() != nil {
		return dialing{a, deadline}
	}
	return ctx
}

// dialing is the caller's context with the probe's deadline, without a timer.
type dialing struct {
	context.Context
	deadline time.Time // zero: none
}

func (d dialing) Deadline() (time.Time, bool) { return d.deadline, !d.deadline.IsZero() }
