package alert

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
)

// Address is a mail address: user@domain, or the bare name of a local user.
type Address string

// errAddress is what every refused address wraps.
var errAddress = errors.New("not a mail address; accepted: user@domain, or a local user name")

// ParseAddress reads an address as a person writes it. It refuses whatever a mail program could take for something
// else: control characters, quoting, display names, comments, several addresses, a leading '-', '/' or '|'.
func ParseAddress(s string) (Address, error) {
	bad := func(why string) (Address, error) {
		return "", fmt.Errorf("%q is %w (%s)", cut(s, 100), errAddress, why)
	}
	if s == "" {
		return "", fmt.Errorf("an empty string is %w", errAddress)
	}
	if len(s) > 254 {
		return bad("longer than 254 bytes")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return bad("a space, a control character or one beyond ASCII")
		}
	}
	if strings.ContainsRune(`-/|`, rune(s[0])) {
		return bad("it starts with " + s[:1])
	}
	if !strings.Contains(s, "@") {
		if strings.ContainsAny(s, "\"'`()<>[]:;,\\&!%$|/") {
			return bad("a character that user names do not have")
		}
		return Address(s), nil
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s || parsed.Name != "" {
		return bad("its form")
	}
	return Address(s), nil
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

// local reports whether the address is a local user name.
func (a Address) local() bool { return !strings.Contains(string(a), "@") }

// header is the address for a header, where RFC 5322 demands a domain.
func (a Address) header(host string) *mail.Address {
	if a.local() {
		return &mail.Address{Address: string(a) + "@" + host}
	}
	return &mail.Address{Address: string(a)}
}
