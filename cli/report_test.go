package cli

import (
	"errors"
	"strings"
	"testing"

	"rollcall/probe"
)

func TestReportEscapesControlCharacters(t *testing.T) {
	var b strings.Builder
	writeReport(&b, "tcp", &probe.Record{
		Target: "example.com:1\x1b]0;owned\a",
		Result: probe.Result{
			Failure: &probe.Failure{Stage: probe.StageConversation, Reason: probe.ReasonNoMatch, Err: errors.New("got \x1b[2J\r\u202e über")},
			TLS:     &probe.TLSFacts{Leaf: probe.CertificateFacts{Subject: "CN=\x1b[31m\nUP"}},
		},
	}, false)
	if report := b.String(); strings.ContainsAny(report, "\x1b\a\r\u202e") || strings.Contains(report, "\nUP") || !strings.Contains(report, `got \x1b[2J\r\u202e über`) {
		t.Errorf("%q", report)
	}
}
