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

// shortestSecret is the length of the shortest text that Text looks for: a shorter one stands in many texts by chance.
const shortestSecret = 4

// Text returns text, which quotes a remote side, without the secrets that were sent there: servers repeat what they do
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
			text = redactCut(text, form)
		}
	}
	return text
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

// IsCredential reports by its name whether a header or parameter holds a credential.
func IsCredential(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "secret", "pass", "key", "credential", "session", "signature"},
		func(word string) bool { return strings.Contains(name, word) })
}

// Target returns target as it may be shown, logged or mailed: userinfo, which can hold a password, becomes
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
	if at < 0 {
		return target
	}
	return target[:start] + "***" + target[start+at:]
}
