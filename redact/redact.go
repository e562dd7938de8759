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
// not like. It knows them as they are, in Base64, alone or with more, as "Basic" credentials are, in a URL, in a quoted
// string, in HTML, and cut off by an ellipsis.
func Text(text string, secrets ...string) string {
	if len(secrets) == 0 {
		return text // a step of a probe's trace, of which few are read
	}
	text = encoded.ReplaceAllStringFunc(text, func(word string) string {
		if holdsEncoded(word, secrets) {
			return hiddenText
		}
		return word
	})
	for _, secret := range secrets {
		if len(secret) < shortestSecret {
			continue
		}
		for _, form := range forms(secret) {
			text = strings.ReplaceAll(text, form, hiddenText)
			text = redactCut(text, form)
		}
	}
	return text
}

// Error is err with a text without the secrets (see Text); it wraps err. Without any, and of nil, it is err itself.
func Error(err error, secrets ...string) error {
	if err == nil || len(secrets) == 0 {
		return err
	}
	text := Text(err.Error(), secrets...)
	if text == err.Error() {
		return err
	}
	return &redactedError{text, err}
}

// redactedError is an error whose text is without secrets.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }

func (e *redactedError) Unwrap() error { return e.err }

// encoded is a word that may be Base64, of as many bytes as the shortest secret.
var encoded = regexp.MustCompile(`[A-Za-z0-9+/_-]{6,}={0,2}`)

// holdsEncoded reports whether word is Base64 of something with a secret in it.
func holdsEncoded(word string, secrets []string) bool {
	word = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(word, "="))
	plain, err := base64.RawStdEncoding.DecodeString(word[:len(word)-len(word)%4])
	if rest := word[len(word)-len(word)%4:]; len(rest) > 1 {
		last, _ := base64.RawStdEncoding.DecodeString(rest) // of characters that are all of the alphabet
		plain = append(plain, last...)
	}
	return err == nil && slices.ContainsFunc(secrets, func(secret string) bool {
		return len(secret) >= shortestSecret && strings.Contains(string(plain), secret)
	})
}

// forms are the ways in which a peer may write secret; the longer of two that begin alike comes first.
func forms(secret string) []string {
	raw, quoted := []byte(secret), strconv.Quote(secret)
	all := []string{
		secret, base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw),
		base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
		url.QueryEscape(secret), url.PathEscape(secret), quoted[1 : len(quoted)-1], html.EscapeString(secret),
	}
	if inJSON, err := json.Marshal(secret); err == nil {
		all = append(all, string(inJSON[1:len(inJSON)-1]))
	}
	return all
}

// redactCut replaces the beginning of secret where text was cut in the middle of it.
func redactCut(text, secret string) string {
	head, rest, found := strings.Cut(text, "…")
	if !found {
		return text
	}
	for n := len(secret) - 1; n >= shortestSecret; n-- {
		if shorter, ok := strings.CutSuffix(head, secret[:n]); ok {
			head = shorter + hiddenText
			break
		}
	}
	return head + "…" + redactCut(rest, secret)
}

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
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "secret", "pass", "pwd", "jwt", "key", "credential", "session", "signature", "assertion"},
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
