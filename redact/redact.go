// Package redact takes secrets out of text that is shown, logged or mailed: userinfo of targets, and credentials that a peer
// repeats. It depends on nothing of ours.
package redact

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// hiddenText stands where a secret was.
const hiddenText = "<secret>"

// shortestSecret is what Hush looks for at least: a shorter word stands in many texts by chance.
const shortestSecret = 4

// Hush returns text, which quotes a remote side, without the secrets that were sent there: servers repeat what they do
// not like. It knows them as they are, in base64, in a URL, in a quoted string, and cut off by an ellipsis.
func Text(text string, secrets ...string) string {
	for _, secret := range secrets {
		if len(secret) < shortestSecret {
			continue
		}
		quoted := strconv.Quote(secret)
		for _, form := range []string{
			secret, base64.StdEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret), url.PathEscape(secret), quoted[1 : len(quoted)-1],
		} {
			text = strings.ReplaceAll(text, form, hiddenText)
			text = hushCut(text, form)
		}
	}
	return text
}

// hushCut replaces the beginning of secret where text was cut in the middle of it.
func hushCut(text, secret string) string {
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
	return head + "…" + hushCut(rest, secret)
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

// CredentialName tells by its name whether a header or parameter holds a credential.
func IsCredential(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "secret", "pass", "key", "credential", "session", "signature"},
		func(word string) bool { return strings.Contains(name, word) })
}

// RedactTarget returns target as it may be shown, logged or mailed: userinfo, which can hold a password, becomes
// "***". It works on the text, so that a target that does not parse gives nothing away either.
func Target(target string) string {
	start := 0
	if i := strings.Index(target, "://"); i >= 0 {
		start = i + len("://")
	}
	authority := target[start:]
	if end := strings.IndexAny(authority, "/?#\\"); end >= 0 {
		authority = authority[:end]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 || at == 0 && start == 0 { // @name is an abstract Unix socket, not a user without a name
		return target
	}
	return target[:start] + "***" + target[start+at:]
}
