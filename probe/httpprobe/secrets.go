package httpprobe

import (
	"slices"

	"rollcall/probe"
	"rollcall/redact"
)

// hushed is an error whose text has lost its secrets.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }

func (e *redactedError) Unwrap() error { return e.err }

// hush takes the secrets out of err's text.
func redactError(err error, secrets []string) error {
	if err == nil || len(secrets) == 0 {
		return err
	}
	said := err.Error()
	text := redact.Text(said, secrets...)
	if text == said {
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

// secrets is what the walk has sent so far that nobody else may read. It is asked only when there is text to be
// cleaned, and when the walk goes on to another host.
func (w *walk) redactions() []string {
	for _, f := range w.sent {
		if redact.IsCredential(f.name) || slices.Contains(w.p.headers.secret, f.name) {
			w.told = append(w.told, redact.CredentialForms(f.value)...)
		}
	}
	w.sent = nil
	if w.via != nil && w.via.User != nil {
		w.told = append(w.told, redact.CredentialForms(userinfoCredentials(w.via.User))...)
	}
	if proxy := w.p.proxy; proxy != nil {
		for _, f := range proxy.connectHeader {
			w.told = append(w.told, redact.CredentialForms(f.value)...)
		}
	}
	return w.told
}
