package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Host is host, without brackets and port, in the one form that is judged, resolved, dialled and sent: a name in ASCII, or
// an IP address as package netip writes it. Numbers that inet_aton takes for an IPv4 address (127.1, 0x7f.1, 2130706433)
// are that address.
func Host(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), nil
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		ascii = strings.ToLower(host) // a name like _x that IDNA refuses is one all the same
	}
	if addr, ok, err := numericAddr(ascii); ok || err != nil {
		return addr.String(), err
	}
	if strings.Trim(ascii, ".") == "" {
		return "", errors.New("the host is empty")
	}
	for _, c := range []byte(ascii) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("<>\"\\^`{|}[]%:/?#@", c) >= 0 {
			return "", fmt.Errorf("the host holds a character that no host name has")
		}
	}
	return ascii, nil
}

func numericAddr(s string) (netip.Addr, bool, error) {
	parts := strings.Split(strings.TrimSuffix(s, "."), ".")
	if _, err := strconv.ParseUint(parts[len(parts)-1], 0, 64); err != nil {
		return netip.Addr{}, false, nil
	}
	if len(parts) > 4 {
		return netip.Addr{}, false, errors.New("the host is no IPv4 address")
	}
	var v uint64
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 64)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if err != nil || n >= 1<<bits {
			return netip.Addr{}, false, errors.New("the host is no IPv4 address")
		}
		v = v<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true, nil
}
