package network

import (
	"net/netip"
	"strings"

	"rollcall/probe"
)

// checkHost judges a host that stood in brackets or did not. Its error is a *TargetError.
func CheckHost(host string, brackets bool) error {
	if addr, err := netip.ParseAddr(host); err != nil && strings.ContainsAny(host, ":%[]") {
		return probe.BadTarget("has a host that is neither a name nor an IP address")
	} else if err == nil && addr.Is4() && brackets {
		return probe.BadTarget("has an IPv4 address in brackets, which are for IPv6")
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return probe.BadTarget("has a blank or a control character in its host")
	}
	return nil
}
