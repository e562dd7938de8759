package mail

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"

	"golang.org/x/net/idna"

	"rollcall/alert/incident"
)

// Address is a mail address: user@domain, or the bare name of a local user. It is ASCII.
type Address string

const notAddress = "not a mail address; accepted: user@domain, or a local user name"

// ParseAddress reads an address as a person writes it; an internationalised domain becomes its ASCII form. It refuses
// whatever a mail program could take for something else: control characters, quoting, display names, comments, several
// addresses, a leading '-', '/' or '|'.
func ParseAddress(s string) (Address, error) {
	bad := func(why string) (Address, error) {
		return "", fmt.Errorf("%q is %s (%s)", incident.Cut(s, 100), notAddress, why)
	}
	if s == "" {
		return "", errors.New("an empty string is " + notAddress)
	}
	ascii := s
	if user, domain, ok := strings.Cut(s, "@"); ok && strings.ContainsFunc(domain, func(r rune) bool { return r >= 0x80 }) {
		converted, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return bad("its domain")
		}
		ascii = user + "@" + converted
	}
	if len(ascii) > 254 {
		return bad("longer than 254 bytes")
	}
	if strings.ContainsFunc(ascii, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return bad("a space, a control character, or one beyond ASCII before the @")
	}
	if strings.ContainsRune(`-/|`, rune(ascii[0])) {
		return bad("it starts with " + ascii[:1])
	}
	if !strings.Contains(ascii, "@") {
		if strings.ContainsAny(ascii, "\"'`()<>[]:;,\\&!%$|/") {
			return bad("a character that user names do not have")
		}
		return Address(ascii), nil
	}
	parsed, err := mail.ParseAddress(ascii)
	if err != nil || parsed.Address != ascii || parsed.Name != "" {
		return bad("its form")
	}
	return Address(ascii), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Address) UnmarshalText(text []byte) error {
	v, err := ParseAddress(string(text))
	if err != nil {
		return err
	}
	*a = v
	return nil
}

// Local reports whether the address is a local user name.
func (a Address) Local() bool { return !strings.Contains(string(a), "@") }

// domain is what stands after the @, or host for a local user.
func (a Address) domain(host string) string {
	if _, domain, ok := strings.Cut(string(a), "@"); ok {
		return domain
	}
	return host
}

// header is the address for a header, where RFC 5322 demands a domain.
func (a Address) header(host string) *mail.Address {
	if a.Local() {
		a += Address("@" + host)
	}
	return &mail.Address{Address: string(a)}
}
