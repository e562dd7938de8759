//go:build unix

package network

import (
	"net"
	"net/netip"
	"testing"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func TestDialSaysDescriptorsWhenThereAreNone(t *testing.T) {
	addr := probetest.Listen(t, func(net.Conn) {})
	var dialErr, resolveErr error
	probetest.WithoutDescriptors(t, func() {
		_, dialErr = Dial(t.Context(), nil, "tcp", "x", addr, netip.Addr{})
		_, resolveErr = Resolver{Server: "127.0.0.1:1"}.Resolve(t.Context(), "rollcall.test")
	})
	probetest.WantExporterError(t, dialErr, probe.FaultDescriptors)
	probetest.WantExporterError(t, resolveErr, probe.FaultDescriptors)
}
