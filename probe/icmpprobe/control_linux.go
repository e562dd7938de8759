package icmpprobe

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"rollcall/probe/network"
)

// findControl finds the control message of a type, which is another one in IPv6, with at least size bytes of data; nil: there
// is none.
func findControl(control []byte, type4, type6 int32, size int) (data []byte, ip6 bool) {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return nil, false
		}
		ip4 := header.Level == unix.IPPROTO_IP && header.Type == type4
		ip6 := header.Level == unix.IPPROTO_IPV6 && header.Type == type6
		if (ip4 || ip6) && len(data) >= size {
			return data, ip6
		}
		control = rest
	}
	return nil, false
}

// hopLimit finds the hop limit among a packet's control messages; -1: there is none.
func hopLimit(control []byte) int {
	data, _ := findControl(control, unix.IP_TTL, unix.IPV6_HOPLIMIT, 4)
	if data == nil {
		return -1
	}
	return int(int32(binary.NativeEndian.Uint32(data)))
}

// reportedError finds the ICMP error among an error's control messages, and the address that sent it. They are a struct
// sock_extended_err (errno in four bytes, origin, type, code, and more up to 16) and a socket address behind it.
func reportedError(control []byte) (report icmpError, by netip.Addr, ok bool) {
	data, ip6 := findControl(control, unix.IP_RECVERR, unix.IPV6_RECVERR, 16)
	if data == nil {
		return icmpError{}, netip.Addr{}, false
	}
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
