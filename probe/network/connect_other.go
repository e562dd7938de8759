//go:build !linux

package network

import (
	"context"
	"net"
	"net/netip"
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
	opened, err := dialer.DialContext(ctx, network, addr.String())
	if err != nil {
		return err
	}
	c.Conn = opened
	c.watch(ctx)
	return nil
}
