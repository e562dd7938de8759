package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"rollcall/probe/network"
)

// entry is one entry of a guard: addresses or names, and ports; or paths of Unix sockets.
type entry struct {
	text     string       // as it was written
	prefix   netip.Prefix // an IP address is a prefix of all its bits; invalid: the entry is for names
	name     string       // without the wildcard
	wildcard bool         // names below name, not name itself
	low      uint16       // the ports from low to high; high 0: all
	high     uint16
	path     string // a pattern, or a directory with a final slash; empty: the entry is for hosts
}

const forms = "accepted: an IP address, a CIDR, a host name or *.name, each with an optional :port or :low-high, e.g. 10.0.0.0/8, *.example.com:443, [2001:db8::1]:8000-8999; or a Unix socket, e.g. unix:/run/*.sock"

// parseEntry reads one entry.
func parseEntry(text string) (entry, error) {
	e := entry{text: text}
	if pattern, ok := strings.CutPrefix(text, "unix:"); ok && (strings.HasPrefix(pattern, "/") || strings.HasPrefix(pattern, "@")) {
		e.path = pattern
		return e, checkPath(pattern)
	}
	subject, ports, err := splitEntry(text)
	if err != nil {
		return e, err
	}
	if ports != "" {
		if e.low, e.high, err = parsePorts(ports); err != nil {
			return e, err
		}
	}
	switch {
	case strings.Contains(subject, "/"):
		e.prefix, err = parsePrefix(subject)
	case strings.Contains(subject, ":") || network.IsNumeric(subject):
		var addr netip.Addr
		if addr, err = parseAddr(subject); err == nil {
			e.prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
	default:
		e.name, e.wildcard, err = parseName(subject)
	}
	return e, err
}

// checkPath judges a pattern for paths. Paths are judged in their clean form, which another would never match.
func checkPath(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("%q is not a pattern: it has a bracket or backslash without its other half", pattern)
	}
	directory, under := strings.CutSuffix(pattern, "/")
	switch {
	case strings.HasPrefix(pattern, "@"):
	case under && strings.ContainsAny(pattern, `*?[\`):
		return fmt.Errorf("%q is for all sockets below a directory, which takes no wildcard; accepted: unix:/run/app/ or unix:/run/*/app.sock", pattern)
	case directory != "" && path.Clean(directory) != directory:
		return fmt.Errorf("%q is not a clean path; did you mean unix:%s?", pattern, path.Clean(directory))
	}
	return nil
}

// splitEntry separates the ports; they are empty when there are none.
func splitEntry(text string) (subject, ports string, err error) {
	rest := ""
	subject = text
	switch slash := strings.IndexByte(text, '/'); {
	case strings.HasPrefix(text, "["):
		var ok bool
		if subject, rest, ok = strings.Cut(text[1:], "]"); !ok {
			return "", "", fmt.Errorf("%q has no closing bracket; %s", text, forms)
		}
		if !strings.Contains(subject, ":") {
			return "", "", fmt.Errorf("%q has brackets around what is not an IPv6 address; %s", text, forms)
		}
	case slash >= 0:
		if i := strings.IndexByte(text[slash:], ':'); i >= 0 {
			subject, rest = text[:slash+i], text[slash+i:]
		}
	case strings.Count(text, ":") == 1:
		i := strings.IndexByte(text, ':')
		subject, rest = text[:i], text[i:]
	}
	if rest == "" {
		return subject, "", nil
	}
	if rest[0] != ':' || len(rest) == 1 {
		return "", "", fmt.Errorf("%q has %q where a port may stand; %s", text, rest, forms)
	}
	return subject, rest[1:], nil
}

func parsePorts(text string) (low, high uint16, err error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	l, lowErr := strconv.ParseUint(first, 10, 16)
	h, highErr := strconv.ParseUint(last, 10, 16)
	if lowErr != nil || highErr != nil || l == 0 || h < l {
		return 0, 0, fmt.Errorf("%q is no port or range of ports; accepted: 1 to 65535, e.g. 443 or 8000-8999", text)
	}
	return uint16(l), uint16(h), nil
}

func parseAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, fmt.Errorf("%q is not an IP address; %s", text, forms)
	}
	if addr.Zone() != "" {
		return addr, fmt.Errorf("%q has a zone; an entry is for the address in every zone, without one", text)
	}
	return addr.Unmap(), nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q is not a CIDR; %s", text, forms)
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return prefix, fmt.Errorf("%q holds every IPv4 address and more; accepted: 0.0.0.0/0 for IPv4, ::/0 for IPv6", text)
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if masked := prefix.Masked(); masked != prefix {
		return prefix, fmt.Errorf("%q has bits set behind its length; did you mean %s, or the address %s alone?", text, masked, prefix.Addr())
	}
	return prefix, nil
}

func parseName(text string) (name string, wildcard bool, err error) {
	name, wildcard = strings.CutPrefix(text, "*.")
	if ascii, err := network.Host(name); err == nil { // the form in which names are resolved and judged
		name = ascii
	}
	name = strings.TrimSuffix(name, ".")
	switch {
	case text == "*":
		return "", false, errors.New(`"*" is no wildcard; an empty allow list lets through all that is not denied`)
	case len(name) > 253:
		return "", false, errors.New("a host name has at most 253 bytes")
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 || strings.ContainsFunc(label, notInName) {
			return "", false, fmt.Errorf("%.300q is not a host name; %s", text, forms)
		}
	}
	return name, wildcard, nil
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// matchesAddr reports whether addr, unmapped and without a zone, and port are the entry's.
func (e *entry) matchesAddr(addr netip.Addr, port uint16) bool {
	return e.prefix.IsValid() && e.prefix.Contains(addr) && e.matchesPort(port)
}

// matchesName reports whether host, without a final dot, and port are the entry's.
func (e *entry) matchesName(host string, port uint16) bool {
	if e.name == "" || !e.matchesPort(port) {
		return false
	}
	if e.wildcard {
		dot := len(host) - len(e.name) - 1
		return dot > 0 && host[dot] == '.' && strings.EqualFold(host[dot+1:], e.name)
	}
	return strings.EqualFold(host, e.name)
}

// matchesPath reports whether a Unix socket is the entry's. A wildcard matches within a name; a pattern that ends with a
// slash is for all below, and @ alone for all abstract names. A socket is judged by the path that is opened, so the entry's
// links are followed, too: on most systems /var/run is /run.
func (e *entry) matchesPath(socket string) bool {
	if e.path == "" {
		return false
	}
	if e.path == "@" || strings.HasSuffix(e.path, "/") {
		under, _ := network.UnixPath(strings.TrimSuffix(e.path, "/"))
		return strings.HasPrefix(socket, e.path) || strings.HasPrefix(socket, under+"/")
	}
	if matched, _ := path.Match(e.path, socket); matched || strings.HasPrefix(e.path, "@") { // checkPath has seen the pattern
		return matched
	}
	base, pattern := e.path, ""
	if wildcard := strings.IndexAny(base, `*?[\`); wildcard >= 0 {
		slash := strings.LastIndexByte(base[:wildcard], '/')
		base, pattern = base[:slash], base[slash:]
	}
	if base == "" {
		return false
	}
	base, _ = network.UnixPath(base)
	rest, under := strings.CutPrefix(socket, base)
	matched, _ := path.Match(pattern, rest)
	return under && matched
}

func (e *entry) matchesPort(port uint16) bool {
	return e.high == 0 || e.low <= port && port <= e.high
}
