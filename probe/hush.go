package probe

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
func Hush(text string, secrets ...string) string {
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

// hushed is an error whose text has lost its secrets.
type hushed struct {
	text string
	err  error
}

func (e *hushed) Error() string { return e.text }

func (e *hushed) Unwrap() error { return e.err }

// hush takes the secrets out of err's text.
func hush(err error, secrets []string) error {
	if err == nil || len(secrets) == 0 {
		return err
	}
	said := err.Error()
	text := Hush(said, secrets...)
	if text == said {
		return err
	}
	if f, ok := err.(*Failure); ok {
		return fail(f.Stage, f.Reason, &hushed{text, f.Err})
	}
	if f, ok := err.(*ExporterError); ok {
		return &ExporterError{f.Fault, &hushed{text, f.Err}}
	}
	return &hushed{text, err}
}

// CredentialName tells by its name whether a header or parameter holds a credential.
func CredentialName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "secret", "pass", "key", "credential", "session", "signature"},
		func(word string) bool { return strings.Contains(name, word) })
}

// secrets is what the walk has sent so far that nobody else may read. It is asked only when there is text to be
// cleaned, and when the walk goes on to another host.
func (w *walk) secrets() []string {
	for _, f := range w.sent {
		if CredentialName(f.name) || slices.Contains(w.p.headers.secret, f.name) {
			w.told = append(w.told, credentialForms(f.value)...)
		}
	}
	w.sent = nil
	if w.via != nil && w.via.User != nil {
		w.told = append(w.told, credentialForms(userinfoCredentials(w.via.User))...)
	}
	if proxy := w.p.proxy; proxy != nil {
		for _, f := range proxy.connectHeader {
			w.told = append(w.told, credentialForms(f.value)...)
		}
	}
	return w.told
}

// credentialForms is a header's value and what it is made of: "Basic" credentials hold a name and a password. The
// longest come first, so that none is left over of another.
func credentialForms(value string) []string {
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
