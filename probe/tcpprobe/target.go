package tcpprobe

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"rollcall/probe"
	"rollcall/probe/network"
)

// parseTCPTarget reads host:port, [IPv6]:port, or one of them after tcp://. Its error is a *TargetError; it does
// not quote the target, which may hold a password by mistake.
func parseTarget(target string) (host string, port uint16, err error) {
	if scheme, rest, ok := strings.Cut(target, "://"); ok {
		if !strings.EqualFold(scheme, "tcp") {
			return "", 0, probe.BadTarget("has a scheme that is not tcp://; a tcp module takes host:port or tcp://host:port")
		}
		target = rest
	}
	if strings.ContainsAny(target, "/?#@") {
		return "", 0, probe.BadTarget("has a path or a user name; a tcp module takes host:port, nothing behind and nothing before")
	}
	host, text, err := net.SplitHostPort(target)
	if err != nil {
		return "", 0, probe.BadTarget(splitHint(target))
	}
	if host == "" {
		return "", 0, probe.BadTarget("names no host; a tcp module takes host:port")
	}
	if err := network.CheckHost(host, strings.HasPrefix(target, "[")); err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, probe.BadTarget("has no port between 1 and 65535; a tcp module takes host:port")
	}
	return host, uint16(n), nil
}

// splitHint says what keeps a target from being host:port.
func splitHint(target string) string {
	if _, err := netip.ParseAddr(strings.Trim(target, "[]")); err == nil {
		return "has no port; a tcp module takes host:port, and an IPv6 address in brackets, as [2001:db8::1]:443"
	}
	if strings.Count(target, ":") > 1 {
		return "has several colons; a tcp module takes host:port, and an IPv6 address in brackets, as [2001:db8::1]:443"
	}
	return "has no port; a tcp module takes host:port, as example.com:443"
}
