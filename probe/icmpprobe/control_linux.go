package icmpprobe

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"rollcall/probe/network"
)

// hopLimit finds the hop limit among a packet's control messages; -1: there is none.
func hopLimit(control []byte) int {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return -1
		}
		ttl := header.Level == unix.IPPROTO_IP && header.Type == unix.IP_TTL
		hops := header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_HOPLIMIT
		if (ttl || hops) && len(data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(data)))
		}
		control = rest
	}
	return -1
}

// reportedError finds the ICMP error among an error's control messages, and the address that sent it: a struct
// sock_extended_err and a socket address follow each other.
func reportedError(control []byte) (report icmpError, by netip.Addr, ok bool) {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return icmpError{}, netip.Addr{}, false
		}
		ip4 := header.Level == unix.IPPROTO_IP && header.Type == unix.IP_RECVERR
		ip6 := header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_RECVERR
		if (ip4 || ip6) && len(data) >= 16 {
			return parseExtendedError(data, ip6)
		}
		control = rest
	}
	return icmpError{}, netip.Addr{}, false
}

// parseExtendedError reads a struct sock_extended_err: errno in four bytes, origin, type, code, and more up to 16.
func parseExtendedError(data []byte, ip6 bool) (report icmpError, by netip.Addr, ok bool) {
	origin := byte(unix.SO_EE_ORIGIN_ICMP)
	if ip6 {
		origin = unix.SO_EE_ORIGIN_ICMP6
	}
	offender := data[16:]
	switch {
	case ip6 && len(offender) >= unix.SizeofSockaddrInet6:
		by = netip.AddrFrom16([16]byte(offender[8:]))
	case !ip6 && len(offender) >= unix.SizeofSockaddrInet4:
		by = netip.AddrFrom4([4]byte(offender[4:]))
	}
	return icmpError{ip6: ip6, kind: data[5], code: data[6]}, by, data[4] == origin
}

// pingAddr is addr as a socket address.
func pingAddr(addr netip.Addr) (unix.Sockaddr, error) {
	if addr.Is4() {
		return &unix.SockaddrInet4{Addr: addr.As4()}, nil
	}
	zone, err := network.ZoneIndex(addr)
	return &unix.SockaddrInet6{Addr: addr.As16(), ZoneId: zone}, err
}

// localAddr is the address that fd's packets leave from; zero: unknown.
func localAddr(fd int) netip.Addr {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := sockaddrIP(sa)
	return addr
}

// sockaddrIP is the address in sa without its zone.
func sockaddrIP(sa unix.Sockaddr) (addr netip.Addr, ok bool) {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr), true
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr), true
	default:
		return netip.Addr{}, false
	}
}
