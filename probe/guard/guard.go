// Package guard decides which targets and addresses may be probed, by lists of networks, names and socket paths that allow and
// deny. It judges only; resolving and dialling are package network's.
package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rollcall/probe"
	"rollcall/probe/option"
)

// Options is a `guard:` section: which targets may be probed. An address that a deny entry matches may not;
// of the others, with an empty Allow every one may, otherwise those that an allow entry matches, by the address or
// by the name that was asked for. So a name that is allowed may resolve to any address that is not denied.
type Options struct {
	Allow []string `yaml:"allow,omitempty"`
	Deny  []string `yaml:"deny"` // no omitempty: an empty list is not the default
}

// metadata are the addresses at which clouds hand out credentials to every client that connects: AWS (instances, containers, pods),
// Google, Azure, Oracle, Alibaba, Tencent, Scaleway and others that share theirs. Azure's is a name server, too, so only its
// other ports are in the list.
var metadata = []string{
	"169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "169.254.42.42",
	"100.100.100.200", "192.0.0.192", "168.63.129.16:80", "168.63.129.16:32526",
	"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42",
}

// SetDefaults denies the metadata addresses of clouds. It holds for a section that does not mention deny, and for a
// configuration without a section.
func (o *Options) SetDefaults() { o.Deny = slices.Clone(metadata) }

// Compile parses the entries. Its errors are joined *option.Errors, e.g. "allow[2]".
func (o Options) Compile() (*Guard, error) {
	allow, allowErr := parseEntries("allow", o.Allow)
	deny, denyErr := parseEntries("deny", o.Deny)
	if err := errors.Join(allowErr, denyErr); err != nil {
		return nil, err
	}
	return &Guard{allows: allow, denies: deny, section: "guard"}, nil
}

func parseEntries(list string, texts []string) ([]*entry, error) {
	var (
		entries []*entry
		errs    []error
	)
	for i, text := range texts {
		entry, err := parseEntry(text)
		if err != nil {
			errs = append(errs, &option.Error{Path: option.Index(list, i), Err: err})
		}
		entries = append(entries, &entry)
	}
	return entries, errors.Join(errs...)
}

// Guard decides which addresses may be dialled. A nil Guard allows every one. It is never changed.
type Guard struct {
	outer          *Guard // nil: none
	allows, denies []*entry
	section        string // for people: whose section it is
}

// Within is a guard that allows what both allow: a module's own section narrows the configuration's, outer. Either
// may be nil.
func (g *Guard) Within(outer *Guard) *Guard {
	if g == nil {
		return outer
	}
	return &Guard{outer: outer, allows: g.allows, denies: g.denies, section: "the module's guard"}
}

// Allow judges the address that is about to be dialled for host (the name or address as it was asked for, in ASCII,
// without port and brackets). Its error is a *DeniedError.
func (g *Guard) Allow(host string, addr netip.AddrPort) error {
	if v := g.judge(host, addr); !v.Allowed {
		return &probe.DeniedError{Err: errors.New(v.String())}
	}
	return nil
}

// AllowPath judges the Unix socket that is about to be opened. Its error is a *DeniedError.
func (g *Guard) AllowPath(path string) error {
	if v := g.judgePath(path); !v.Allowed {
		return &probe.DeniedError{Err: errors.New(v.String())}
	}
	return nil
}

// Verdict is what a guard says about one address of a target, and which entry decides.
type Verdict struct {
	Host    string
	Addr    netip.AddrPort // without an address: a proxy looks the name up
	Allowed bool
	Section string // "guard", "the module's guard"
	List    string // "allow", "deny"; empty: no entry matched
	Entry   string // as it stands in the list
	Path    string // of a Unix socket, which has no Host and no Addr
	Proxy   string // the URL, without userinfo, of the proxy that a probe goes through; empty: none
}

// String is the verdict as a sentence.
func (v Verdict) String() string {
	switch {
	case v.Proxy == "":
		return v.sentence()
	case v.Addr.Addr().IsValid():
		return fmt.Sprintf("%s (through the proxy %s)", v.sentence(), v.Proxy)
	default:
		return fmt.Sprintf("%s (through the proxy %s, which looks the name up: the guard judges no address)", v.sentence(), v.Proxy)
	}
}

func (v Verdict) sentence() string {
	subject := v.Addr.String()
	if v.Addr.Port() == 0 { // of a ping
		subject = v.Addr.Addr().String()
	}
	if v.Path != "" {
		subject = fmt.Sprintf("the socket %.255q", v.Path)
	} else if !v.Addr.Addr().IsValid() {
		subject = fmt.Sprintf("%.255q at port %d", v.Host, v.Addr.Port())
	} else if _, err := netip.ParseAddr(v.Host); err != nil {
		subject = fmt.Sprintf("%s (%.255q)", subject, v.Host)
	}
	switch {
	case v.List == "allow":
		return fmt.Sprintf("%s is allowed by %s, allow: %q", subject, v.Section, v.Entry)
	case v.List == "deny":
		return fmt.Sprintf("%s is denied by %s, deny: %q", subject, v.Section, v.Entry)
	case v.Allowed:
		return subject + " is allowed: no entry denies it, and all else is allowed"
	default:
		return fmt.Sprintf("%s is denied by %s: no entry of allow matches", subject, v.Section)
	}
}

// judge says what the chain of guards makes of an address. No guard allows every one.
func (g *Guard) judge(host string, addr netip.AddrPort) Verdict {
	plain, port := addr.Addr().Unmap().WithZone(""), addr.Port()
	host = strings.TrimSuffix(host, ".")
	behind := embedded(plain)
	allows := func(e *entry) bool { return e.matchesAddr(plain, port) || e.matchesName(host, port) }
	denies := func(e *entry) bool {
		return allows(e) || slices.ContainsFunc(behind, func(a netip.Addr) bool { return e.matchesAddr(a, port) })
	}
	v := g.judgeBy(denies, allows)
	v.Host, v.Addr = host, addr
	return v
}

// judgePath is judge for a Unix socket.
func (g *Guard) judgePath(path string) Verdict {
	matches := func(e *entry) bool { return e.matchesPath(path) }
	v := g.judgeBy(matches, matches)
	v.Path = path
	return v
}

// judgeBy asks each guard of the chain: the first one that denies decides, otherwise the innermost one with an entry that
// matches.
func (g *Guard) judgeBy(denies, allows func(*entry) bool) Verdict {
	decided := Verdict{Allowed: true}
	for ; g != nil; g = g.outer {
		v := Verdict{Section: g.section}
		if i := slices.IndexFunc(g.denies, denies); i >= 0 {
			v.List, v.Entry = "deny", g.denies[i].text
		} else if i := slices.IndexFunc(g.allows, allows); i >= 0 {
			v.Allowed, v.List, v.Entry = true, "allow", g.allows[i].text
		} else {
			v.Allowed = len(g.allows) == 0
		}
		if !v.Allowed {
			return v
		}
		if decided.List == "" {
			decided = v
		}
	}
	return decided
}

// Reached is where a connection to addr ends: Linux takes the unspecified address for its own.
func Reached(addr netip.Addr) netip.Addr {
	switch {
	case !addr.IsUnspecified():
		return addr
	case addr.Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		return netip.IPv6Loopback()
	}
}

// nat64Local is the prefix for NAT64 gateways of one's own (RFC 8215). Where in an address the IPv4 address stands depends on
// the length of the gateway's prefix (RFC 6052, 2.2), which is not known here.
var nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")

// embedded are the addresses to which a connection to addr may be passed on: the own one behind the unspecified address, and
// the IPv4 addresses inside those of NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214) and
// the old IPv4-compatible and IPv4-translated (RFC 2765) forms.
func embedded(addr netip.Addr) []netip.Addr {
	if addr.IsUnspecified() {
		return []netip.Addr{Reached(addr)}
	}
	if !addr.Is6() {
		return nil
	}
	b := addr.As16()
	at := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	switch {
	case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}, [12]byte(b[:12]) == [12]byte{}, [12]byte(b[:12]) == [12]byte{8: 0xff, 9: 0xff}:
		return []netip.Addr{at(12, 13, 14, 15)}
	case nat64Local.Contains(addr):
		return []netip.Addr{at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12), at(12, 13, 14, 15)}
	case b[0] == 0x20 && b[1] == 0x02:
		return []netip.Addr{at(2, 3, 4, 5)}
	case [4]byte(b[:4]) == [4]byte{0x20, 0x01}: // Teredo: the server, and the client with every bit turned over
		client := [4]byte{^b[12], ^b[13], ^b[14], ^b[15]}
		return []netip.Addr{at(4, 5, 6, 7), netip.AddrFrom4(client)}
	case b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return []netip.Addr{at(12, 13, 14, 15)}
	}
	return nil
}
