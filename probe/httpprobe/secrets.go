package httpprobe

import (
	"slices"

	"rollcall/probe"
	"rollcall/redact"
)

// redactions are the secrets that the run has sent so far. They are collected only when there is text to be shown, and before
// the next request.
func (r *run) redactions() []string {
	for _, f := range r.sentFields {
		if redact.IsCredential(f.name) || slices.Contains(r.p.headers.secret, f.name) {
			r.secrets = append(r.secrets, redact.CredentialForms(f.value)...)
		}
	}
	if len(r.sentBody) > 0 {
		r.secrets = append(r.secrets, probe.SentSecrets(string(r.sentBody))...)
	}
	r.sentFields, r.sentBody = nil, nil
	if r.via != nil && r.via.User != nil {
		r.secrets = append(r.secrets, redact.CredentialForms(userinfoCredentials(r.via.User))...)
	}
	if proxy := r.p.proxy; proxy != nil {
		for _, f := range proxy.connectHeader {
			r.secrets = append(r.secrets, redact.CredentialForms(f.value)...)
		}
	}
	return r.secrets
}
