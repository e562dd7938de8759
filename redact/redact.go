// Package redact takes secrets out of text that is shown, logged or mailed: userinfo of targets, and credentials that a peer
// repeats. It depends on nothing of ours.
package redact

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hiddenText stands where a secret was.
const hiddenText = "<secret>"

// shortestSecret is the length of the shortest text that Text looks for: a shorter one stands in many texts by chance.
const shortestSecret = 4

// Text returns text, which quotes a remote side, without the secrets that were sent there: servers repeat what they do
// not like. It knows them as they are, in Base64, alone or with more, as "Basic" credentials are, each of them also escaped
// as in a URL, a quoted string, JSON or HTML, and cut off by an ellipsis.
func Text(text string, secrets ...string) string {
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(secret string) bool { return len(secret) < shortestSecret })
	if len(secrets) == 0 {
		return text
	}
	for _, read := range readings {
		if strings.Contains(text, read.marker) {
			text = read.hide(text, secrets)
		}
	}
	return text
}

// A reading is one way in which a peer may have escaped what it repeats. Which characters it escapes, and in which case it
// writes hexadecimal digits, does not matter.
type reading struct {
	marker string // what every escape has; empty: there are no escapes
	escape *regexp.Regexp
	decode func(string) string
	again  int // how often what was decoded is read so once more
}

var quotes = regexp.MustCompile(`\\u[Dd][89ABab][0-9A-Fa-f]{2}\\u[0-9A-Fa-f]{4}|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}|\\x[0-9A-Fa-f]{2}|\\.`)

var readings = []reading{
	{},
	{"%", regexp.MustCompile(`%[0-9A-Fa-f]{2}`), unescape(url.PathUnescape), 0},
	{"+", regexp.MustCompile(`\+|%[0-9A-Fa-f]{2}`), unescape(url.QueryUnescape), 0},
	{"&", regexp.MustCompile(`&#?[0-9A-Za-z]{1,31};`), html.UnescapeString, 0},
	{`\`, quotes, unquote, 0},
	{`\\`, quotes, unquote, 1}, // by the peer, and then by us
}

func unescape(by func(string) (string, error)) func(string) string {
	return func(escape string) string {
		plain, _ := by(escape) // readings has valid ones only
		return plain
	}
}

// unquote decodes an escape of a quoted string, of Go or JSON.
func unquote(escape string) string {
	if plain := ""; json.Unmarshal([]byte(`"`+escape+`"`), &plain) == nil {
		return plain
	}
	if plain, err := strconv.Unquote(`"` + escape + `"`); err == nil {
		return plain
	}
	return escape[1:] // e.g. \'
}

// hide replaces the secrets that text has when it is read so.
func (r reading) hide(text string, secrets []string) string {
	plain, at := r.read(text)
	for range r.again {
		outer := at
		plain, at = r.read(plain)
		for i := range at {
			at[i] = outer[at[i]]
		}
	}
	hidden := make([]bool, len(plain))
	mark := func(start, end int) {
		for i := start; i < end; i++ {
			hidden[i] = true
		}
	}
	for _, word := range encoded.FindAllStringIndex(plain, -1) {
		if holdsEncoded(plain[word[0]:word[1]], secrets) {
			mark(word[0], word[1])
		}
	}
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			for from := 0; ; {
				next := strings.Index(plain[from:], form)
				if next < 0 {
					break
				}
				mark(from+next, from+next+len(form))
				from += next + 1
			}
			markCut(plain, form, mark)
		}
	}
	var b strings.Builder
	for i := 0; i < len(plain); i++ {
		if !hidden[i] {
			b.WriteString(text[at[i]:at[i+1]])
		} else if i == 0 || !hidden[i-1] {
			b.WriteString(hiddenText)
		}
	}
	return b.String()
}

// read decodes the escapes in text. at says where in text each byte of plain, and then the end, stands.
func (r reading) read(text string) (plain string, at []int) {
	var b strings.Builder
	add := func(decoded string, start, step int) {
		b.WriteString(decoded)
		for range len(decoded) {
			at = append(at, start)
			start += step
		}
	}
	done := 0
	if r.escape != nil {
		for _, escape := range r.escape.FindAllStringIndex(text, -1) {
			add(text[done:escape[0]], done, 1)
			add(r.decode(text[escape[0]:escape[1]]), escape[0], 0)
			done = escape[1]
		}
	}
	add(text[done:], done, 1)
	return b.String(), append(at, len(text))
}

// Error is err with a text without the secrets (see Text); it wraps err. Without any, and of nil, it is err itself.
func Error(err error, secrets ...string) error {
	if err == nil || len(secrets) == 0 {
		return err
	}
	if text := Text(err.Error(), secrets...); text != err.Error() {
		return WithText(err, text)
	}
	return err
}

// encoded is a word that may be Base64, of as many bytes as the shortest secret.
var encoded = regexp.MustCompile(`[A-Za-z0-9+/_-]{6,}={0,2}`)

// holdsEncoded reports whether word is Base64 of something with a secret in it.
func holdsEncoded(word string, secrets []string) bool {
	word = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(word, "="))
	if len(word)%4 == 1 { // a character alone is less than a byte
		word = word[:len(word)-1]
	}
	plain, err := base64.RawStdEncoding.DecodeString(word)
	return err == nil && slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(string(plain), secret) })
}

// forms are a secret and its Base64.
func forms(secret string) []string {
	raw := []byte(secret)
	return []string{secret, base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw)}
}

// markCut marks the beginning of form where text was cut in the middle of it: before an ellipsis, or a quote and that.
func markCut(text, form string, mark func(start, end int)) {
	for from := 0; ; {
		next := strings.Index(text[from:], "…")
		if next < 0 {
			return
		}
		head := strings.TrimSuffix(text[:from+next], `"`)
		for n := len(form) - 1; n >= shortestSecret; n-- {
			if strings.HasSuffix(head, form[:n]) {
				mark(len(head)-n, len(head))
				break
			}
		}
		from += next + len("…")
	}
}

// WithText returns err with another text, e.g. its own without secrets; it wraps err.
func WithText(err error, text string) error { return &redactedError{text, err} }

type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }

func (e *redactedError) Unwrap() error { return e.err }

// CredentialForms is a header's value and what it is made of: "Basic" credentials hold a name and a password. The
// longest come first, so that none is left over of another.
func CredentialForms(value string) []string {
	forms := []string{value}
	scheme, rest, ok := strings.Cut(value, " ")
	if !ok {
		return forms
	}
	forms = append(forms, rest)
	if plain, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.EqualFold(scheme, "basic") {
		_, password, _ := strings.Cut(string(plain), ":")
		forms = append(forms, string(plain), password)
	}
	return forms
}

// IsCredential reports by its name whether a header or parameter holds a credential.
func IsCredential(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "secret", "pass", "pw", "jwt", "key", "credential", "session", "signature", "assertion"},
		func(word string) bool { return strings.Contains(name, word) })
}

// userinfo stands before the host of a URL in a text, and a parameter in its query or fragment.
var (
	userinfo  = regexp.MustCompile(`//[^/?#\s"'<>]+@`)
	parameter = regexp.MustCompile(`[?&#;]([^=?&#;\s"'<>]*)=[^?&#;\s"'<>]+`)
)

// URLs takes userinfo, and the values of parameters that hold credentials by their name, out of the URLs in a text. A server
// makes up both in a redirect.
func URLs(text string) string {
	if !strings.ContainsAny(text, "@=") {
		return text
	}
	text = userinfo.ReplaceAllString(text, "//***@")
	return parameter.ReplaceAllStringFunc(text, func(p string) string {
		name, _, _ := strings.Cut(p, "=")
		if !IsCredential(name) {
			return p
		}
		return name + "=***"
	})
}

// SplitTarget cuts a target as a URL is cut (RFC 3986, section 3): a scheme, empty without one; the authority, with
// userinfo, host and port; and the rest from the first of "/?#". What dials a target and what hides its userinfo both
// go by it.
func SplitTarget(target string) (scheme, authority, rest string) {
	authority = target
	if before, after, ok := strings.Cut(target, "://"); ok && isScheme(before) {
		scheme, authority = before, after
	}
	if end := strings.IndexAny(authority, "/?#"); end >= 0 {
		authority, rest = authority[:end], authority[end:]
	}
	return scheme, authority, rest
}

func isScheme(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// Target returns target as it may be shown, logged or mailed: userinfo, which can hold a password, becomes "***". A target
// that cannot be dialled, because its password holds what ends an authority, is hidden up to its last "@".
func Target(target string) string {
	if strings.IndexByte(target, '@') < 0 {
		return target
	}
	_, authority, rest := SplitTarget(target)
	start := len(target) - len(authority) - len(rest)
	if at := strings.LastIndexByte(authority, '@'); at > 0 || at == 0 && start > 0 { // @name is an abstract Unix socket
		return target[:start] + "***" + target[start+at:]
	}
	if at := strings.LastIndexByte(target, '@'); at >= start && !hasUsablePort(authority) {
		return target[:start] + "***" + target[at:]
	}
	return target
}

// hasUsablePort reports whether what follows the last colon of a host is a port, or the host has none.
func hasUsablePort(host string) bool {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.HasSuffix(host, "]") {
		return true
	}
	port := host[colon+1:]
	return port != "" && strings.Trim(port, "0123456789") == ""
}
