//go:build !linux

package icmpprobe

import (
	"context"
	"net/netip"

	"rollcall/probe"
)

// canPing: sockets that report whose reply a packet is, and the errors of routers, exist on Linux only.
const canPing = false

func (p *prober) ping(context.Context, netip.Addr, *probe.Trace, *probe.Result) error {
	return probe.ErrUnsupportedProber // such a module is not compiled
}
