//go:build !linux

package probe

import (
	"context"
	"net/netip"
)

// canPing: the sockets that tell apart whose reply a packet is, and bring the errors of routers, are Linux's.
const canPing = false

func (p *icmpProber) ping(context.Context, netip.Addr, *Trace, *Result) error {
	return ErrUnsupportedProber // such a module is not compiled
}
