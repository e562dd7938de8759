package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"rollcall/probe"
)

// forbiddenInHost are the ASCII characters, beside controls and the blank, that no host has (WHATWG URL, 3.2).
const forbiddenInHost = "\"#%/:<>?@[\\]^`{|}"

// lookupIDNA maps international names as browsers do. Underscores are left alone: many services have them.
var lookupIDNA = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(false))

// Host returns host, a name or an address without port and brackets, in the one form in which it is judged, resolved and
// sent: an address as netip writes it, also when it was spelt as one number, in octal or in hexadecimal (2130706433, 0x7f.1);
// an international name in its ASCII form (RFC 5891). Every host that a user, a peer or an option gives goes through here
// before a guard sees it. The error says what is wrong, without quoting host.
func Host(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), nil
	}
	ascii, err := ASCIIName(host)
	if err != nil {
		return "", errors.New("is not a valid international name")
	}
	switch {
	case strings.Trim(ascii, ".") == "":
		return "", errors.New("is empty")
	case strings.HasPrefix(ascii, "."), strings.Contains(ascii, ".."): // some resolvers, e.g. of a proxy, pass over it
		return "", errors.New("has an empty label")
	case strings.Contains(ascii, ":"):
		return "", errors.New("is neither a name nor an IP address")
	case strings.ContainsFunc(ascii, notInHost):
		return "", errors.New("holds a character that no host name has")
	case IsNumeric(ascii):
		addr, ok := parseNumericIPv4(ascii)
		if !ok {
			return "", errors.New("is a number that is no IPv4 address")
		}
		return addr.String(), nil
	}
	return ascii, nil
}

func notInHost(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(forbiddenInHost, r)
}

// ASCIIName returns an international name in its ASCII form (RFC 5891), and a name in ASCII as it is.
func ASCIIName(name string) (string, error) {
	if strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return lookupIDNA.ToASCII(name)
	}
	return name, nil
}

// IsNumeric reports whether host is an IPv4 address in some spelling, or none: every label is a number.
func IsNumeric(host string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if _, ok := parseNumber(label); !ok {
			return false
		}
	}
	return true
}

// parseNumericIPv4 reads the spellings of IPv4 addresses that inet_aton(3) and browsers take (WHATWG URL, 3.5): one to
// four numbers, decimal, octal or hexadecimal, of which the last fills the remaining bytes.
func parseNumericIPv4(text string) (netip.Addr, bool) {
	parts := strings.Split(strings.TrimSuffix(text, "."), ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var address uint64
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (4 - i)
		}
		n, ok := parseNumber(part)
		if !ok || n >= 1<<bits {
			return netip.Addr{}, false
		}
		address = address<<bits | n
	}
	var bytes [4]byte
	binary.BigEndian.PutUint32(bytes[:], uint32(address))
	return netip.AddrFrom4(bytes), true
}

func parseNumber(text string) (uint64, bool) {
	base := 10
	if hex, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		text, base = hex, 16
	} else if len(text) > 1 && text[0] == '0' {
		base = 8
	}
	n, err := strconv.ParseUint(text, base, 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}

// Syntax is how the targets of a prober are written.
type Syntax struct {
	Prober      string // its name, for messages and as an optional scheme, e.g. tcp://host:port
	Takes       string // what is accepted, for messages, e.g. "a tcp module takes host:port"
	Scheme      bool   // Prober:// may stand before the host
	DefaultPort uint16 // of a target without port; 0: a target must have one
}

// Split reads host:port or [IPv6]:port, with the host as Host returns it. The port is a number, or a name of the system's
// list of services (e.g. pop3). The error is a *probe.TargetError; it does not quote the target, which may hold a password
// by mistake.
func (s Syntax) Split(target string) (host string, port uint16, err error) {
	if scheme, rest, ok := strings.Cut(target, "://"); ok {
		if !s.Scheme || !strings.EqualFold(scheme, s.Prober) {
			return "", 0, s.bad(SchemeHint(scheme, s.Prober))
		}
		target = rest
	}
	if strings.ContainsAny(target, "/?#@") {
		return "", 0, s.bad("has a path or a user name")
	}
	host, service, brackets, hint := splitPort(target, s.DefaultPort)
	if hint != "" {
		return "", 0, s.bad(hint)
	}
	if host == "" {
		return "", 0, s.bad("names no host")
	}
	if host, err = s.host(host, brackets); err != nil {
		return "", 0, err
	}
	if port, err = Port(service); err != nil {
		return "", 0, s.bad("has a port that " + err.Error())
	}
	return host, port, nil
}

// Locate implements probe.Locator for a prober that embeds s.
func (s Syntax) Locate(target string) (probe.Destination, error) {
	host, port, err := s.Split(target)
	return probe.Destination{Host: host, Port: port}, err
}

func (s Syntax) bad(text string) error { return probe.BadTarget(text + "; " + s.Takes) }

// host is Host for a target of s that stood in brackets or did not.
func (s Syntax) host(text string, brackets bool) (string, error) {
	host, err := Host(text)
	if err != nil {
		return "", s.bad("has a host that " + err.Error())
	}
	if addr, err := netip.ParseAddr(host); brackets && err == nil && addr.Is4() {
		return "", s.bad("has an IPv4 address in brackets, which are for IPv6")
	}
	return host, nil
}

// splitPort cuts target into host and port; without a port, the default's. A hint says why that cannot be.
func splitPort(target string, defaultPort uint16) (host, service string, brackets bool, hint string) {
	host, brackets = withoutBrackets(target)
	isIPv6 := brackets || strings.Count(target, ":") > 1 && isAddress(target)
	switch hasPort := !isIPv6 && strings.Contains(target, ":"); {
	case hasPort:
		host, service, err := net.SplitHostPort(target)
		if err != nil {
			return "", "", false, "has several colons; an IPv6 address stands in brackets, e.g. [2001:db8::1]:443"
		}
		return host, service, strings.HasPrefix(target, "["), ""
	case defaultPort > 0:
		return host, strconv.Itoa(int(defaultPort)), brackets, ""
	case isIPv6:
		return "", "", false, "has no port, and an IPv6 address stands in brackets before it, e.g. [2001:db8::1]:443"
	default:
		return "", "", false, "has no port, e.g. example.com:443"
	}
}

// withoutBrackets is what stands in brackets, or text itself when it does not.
func withoutBrackets(text string) (inside string, brackets bool) {
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		return text[1 : len(text)-1], true
	}
	return text, false
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// SplitHost reads a target without a port: a name or an address, which may stand in brackets.
func (s Syntax) SplitHost(target string) (string, error) {
	if scheme, _, ok := strings.Cut(target, "://"); ok {
		return "", s.bad(SchemeHint(scheme, s.Prober))
	}
	host, brackets := withoutBrackets(target)
	switch {
	case strings.Contains(target, ":") && !brackets && !isAddress(target):
		return "", s.bad("has a port, or is a broken IPv6 address")
	case target == "":
		return "", s.bad("names no host")
	case strings.ContainsAny(target, "/?#@"):
		return "", s.bad("has a path or a user name")
	}
	return s.host(host, brackets)
}

// Port reads a port: a number from 1 to 65535, or the name of a service in the system's list. The error says what is
// wrong, without quoting text.
func Port(text string) (uint16, error) {
	if n, err := strconv.ParseUint(text, 10, 16); err == nil && n > 0 {
		return uint16(n), nil
	}
	if text == "" || strings.Trim(text, "0123456789+-") == "" {
		return 0, errors.New("is not between 1 and 65535")
	}
	n, err := net.LookupPort("tcp", text)
	if err != nil || n <= 0 || n > 65535 {
		return 0, errors.New("is neither between 1 and 65535 nor the name of a service")
	}
	return uint16(n), nil
}

// schemes are the probers whose targets people write with a scheme.
var schemes = map[string]string{
	"http": "http", "https": "http", "tcp": "tcp", "dns": "dns", "icmp": "icmp", "ping": "icmp", "grpc": "grpc", "grpcs": "grpc",
	"unix": "unix", "ws": "websocket", "wss": "websocket", "websocket": "websocket",
}

// SchemeHint says what is wrong with a scheme before a target of prober, in words that continue "the target …".
func SchemeHint(scheme, prober string) string {
	scheme = strings.ToLower(scheme)
	switch other, known := schemes[scheme]; {
	case known && other == prober:
		return fmt.Sprintf("has the scheme %s://, which is left out", scheme)
	case known:
		return fmt.Sprintf("has the scheme %s://, which is for a module of the prober %s", scheme, other)
	case scheme == "" || len(scheme) > 20 || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "": // it may be anything, e.g. a password
		return "has a scheme"
	}
	return fmt.Sprintf("has the scheme %s://, which no prober takes", scheme)
}
