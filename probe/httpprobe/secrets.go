package httpprobe

import (
	"slices"

	"rollcall/probe"
	"rollcall/redact"
)

// redactError takes the secrets out of err's text. What it says of the target, or of the exporter, stays.
func redactError(err error, secrets []string) error {
	if f, ok := err.(*probe.Failure); ok {
		return probe.Fail(f.Stage, f.Reason, redact.Error(f.Err, secrets...))
	}
	if f, ok := err.(*probe.ExporterError); ok {
		return &probe.ExporterError{Fault: f.Fault, Err: redact.Error(f.Err, secrets...)}
	}
	return redact.Error(err, secrets...)
}

// redactions are the secrets that the run has sent so far. They are collected only when there is text to be shown, and before
// the next request.
func (r *run) redactions() []string {
	for _, f := range r.sentFields {
		if redact.IsCredential(f.name) || slices.Contains(r.p.headers.secret, f.name) {
			r.secrets = append(r.secrets, redact.CredentialForms(f.value)...)
		}
	}
	r.sentFields = nil
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
