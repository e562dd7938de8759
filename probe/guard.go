package probe

import "net/netip"

// Guard decides which addresses may be dialled. A nil Guard allows every one.
type Guard struct{}

// allow judges the address that is about to be dialled for host (the name or address as it was asked for, without
// port). Its error is a *DeniedError.
func (g *Guard) allow(host string, addr netip.AddrPort) error {
	return nil
}
