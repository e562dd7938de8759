package httpprobe

import (
	"slices"

	"rollcall/probe"
	"rollcall/redact"
)

// redactedError is an error whose text is without secrets.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }

func (e *redactedError) Unwrap() error { return e.err }

// redactError takes the secrets out of err's text.
func redactError(err error, secrets []string) error {
	if err == nil || len(secrets) == 0 {
		return err
	}
	before := err.Error()
	text := redact.Text(before, secrets...)
	if text == before {
		return err
	}
	if f, ok := err.(*probe.Failure); ok {
		return probe.Fail(f.Stage, f.Reason, &redactedError{text, f.Err})
	}
	if f, ok := err.(*probe.ExporterError); ok {
		return &probe.ExporterError{Fault: f.Fault, Err: &redactedError{text, f.Err}}
	}
	return &redactedError{text, err}
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
