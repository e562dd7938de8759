package report

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/probe"
)

func TestSections(t *testing.T) {
	expiry := time.Date(2027, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	for name, c := range map[string]struct {
		result probe.Result
		want   string
	}{
		"http over TLS after a redirect": {
			probe.Result{
				Duration: 12345 * time.Microsecond,
				Phases:   probe.Phases{Resolve: time.Millisecond, TLS: 2 * time.Second},
				Resolve:  &probe.Resolve{Addr: netip.MustParseAddr("192.0.2.7")},
				HTTP:     &probe.HTTPFacts{StatusCode: 200, VersionMajor: 1, VersionMinor: 1, Redirects: 1, FinalURL: "https://x/", UncompressedBodyLength: 7},
				TLS:      &probe.TLSFacts{Version: 0x304, CipherSuite: 0x1301, EarliestExpiry: expiry, Leaf: probe.CertificateFacts{Subject: "CN=x", Issuer: "CN=ca"}},
			},
			`
address: 192.0.2.7
Response
status: 200, HTTP/1.1
redirects: 1, to https://x/
body: 7 bytes
Certificate
encryption: TLS 1.3, TLS_AES_128_GCM_SHA256
subject: CN=x
issuer: CN=ca
expires: 2027-02-03 03:05:06 UTC
Phases
resolve:      1.00 ms
tls:   2000.00 ms
in all:     12.35 ms
`,
		},
		"a name without an address": {
			probe.Result{
				Resolve: &probe.Resolve{}, HTTP: new(probe.HTTPFacts),
				Failure: &probe.Failure{Stage: probe.StageResolve, Reason: probe.ReasonTimeout, Err: errors.New("a\nb")},
			},
			"\nstage: resolve\nreason: timeout\ncause: a\\nb\nPhases\nin all:      0.00 ms\n",
		},
		"a ping": {
			probe.Result{ICMP: &probe.ICMPFacts{HopLimit: 64}, Phases: probe.Phases{Connect: time.Millisecond, Processing: time.Millisecond}},
			"Reply\nhop limit: 64\nPhases\nsetup:      1.00 ms\nrtt:      1.00 ms\nin all:      0.00 ms\n",
		},
		"a name server": {
			probe.Result{DNS: &probe.DNSFacts{Succeeded: true, Answers: 1, HasSerial: true, Serial: 9}},
			"Answer\nrecords: 1 answer, 0 authority, 0 additional\nserial: 9\nPhases\nin all:      0.00 ms\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, section := range Sections(&probe.Record{Result: c.result}) {
				b.WriteString(section.Title + "\n")
				for _, row := range section.Rows {
					b.WriteString(row.Name + ": " + row.Value + "\n")
				}
			}
			if diff := cmp.Diff(c.want, b.String()); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		`plain "über" \ text`:            `plain "über" \ text`,
		"got \x1b[2J\r\u202e über":       `got \x1b[2J\r\u202e über`,
		"not \xff UTF-8":                 `not \xff UTF-8`,
		"a backslash \\ beside a tab \t": `a backslash \\ beside a tab \t`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("Printable(%q) = %s, want %s", text, got, want)
		}
	}
}
