package mail

import (
	"context"
	"net"
	"os"
	"strings"
	"time"
)

// hostname is this machine's name in a form that addresses and message identifiers may hold.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	name = strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		default:
			return '-'
		}
	}, name), "-.")
	if name == "" || strings.Contains(name, "..") {
		return "localhost"
	}
	return name
}

// qualified is the full name of host, as the hosts file or DNS has it, and host itself when they have none.
func qualified(host string) string {
	if strings.Contains(host, ".") {
		return host
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	name, err := net.DefaultResolver.LookupCNAME(ctx, host)
	if name = strings.TrimSuffix(name, "."); err != nil || !strings.Contains(name, ".") || OneLine(name, 253) != nil {
		return host
	}
	return name
}

// hello is what EHLO calls this machine at the near end of conn: its full name, or an address literal
// (RFC 5321, 4.1.1.1) when it has none, because strict servers refuse a name without a domain.
func hello(host string, conn net.Conn) string {
	if host = qualified(host); strings.Contains(host, ".") {
		return host
	}
	local, ok := conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return host
	}
	return literal(local.IP)
}

// senderDomain is what the sender's address ends in by default: this machine's full name, or the literal of an IPv4 address
// of its own, because servers refuse a sender whose domain is no full name. host: it has neither, and literals of IPv6 are
// what many readers of mail do not know.
func senderDomain(host string) string {
	if full := qualified(host); strings.Contains(full, ".") {
		return full
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return host
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return literal(n.IP)
		}
	}
	return host
}

// literal is an address in the place of a domain (RFC 5321, section 4.1.3).
func literal(ip net.IP) string {
	if ip.To4() != nil {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}
