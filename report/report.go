// Package report renders the facts of one Record as rows of text for a person. `rollcall check` and the pages of web show
// the same rows; how they are laid out is theirs. It makes no metrics and no mail.
package report

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"rollcall/probe"
	"rollcall/redact"
)

// Section is a group of rows. Only sections with rows are returned.
type Section struct {
	Title string // empty: the verdict
	Rows  []Row
}

// Row is one fact. Its value is printable, whatever the target sent.
type Row struct{ Name, Value string }

func (s *Section) add(name, format string, args ...any) {
	s.Rows = append(s.Rows, Row{name, Printable(fmt.Sprintf(format, args...))})
}

// Sections returns the facts of r: the verdict, what the target answered, and the time of each phase, which is always
// there.
func Sections(r *probe.Record) []Section {
	result := &r.Result
	var filled []Section
	for _, s := range []Section{verdict(result), response(result), reply(result), answer(result), call(result), handshake(result), certificate(result), phases(result)} {
		if len(s.Rows) > 0 {
			filled = append(filled, s)
		}
	}
	return filled
}

func verdict(result *probe.Result) (s Section) {
	if f := result.Failure; f != nil {
		s.add("stage", "%s", f.Stage)
		s.add("reason", "%s", f.Reason)
		s.add("cause", "%s", f.Err)
	}
	if resolve := result.Resolve; resolve != nil && resolve.Addr.IsValid() {
		s.add("address", "%s", resolve.Addr)
		if len(resolve.All) > 0 {
			s.add("resolved to", "%s", strings.Trim(fmt.Sprint(resolve.All), "[]"))
		}
	}
	return s
}

func response(result *probe.Result) Section {
	s := Section{Title: "Response"}
	if http := result.HTTP; http != nil && http.StatusCode != 0 {
		s.add("status", "%d, HTTP/%d.%d", http.StatusCode, http.VersionMajor, http.VersionMinor)
		if http.Redirects > 0 {
			s.add("redirects", "%d, to %s", http.Redirects, redact.URLs(http.FinalURL))
		}
		s.add("body", "%d bytes", http.UncompressedBodyLength)
	}
	return s
}

func reply(result *probe.Result) Section {
	s := Section{Title: "Reply"}
	if icmp := result.ICMP; icmp != nil && icmp.HopLimit >= 0 {
		s.add("hop limit", "%d", icmp.HopLimit)
	}
	return s
}

func answer(result *probe.Result) Section {
	s := Section{Title: "Answer"}
	if dns := result.DNS; dns != nil && dns.Succeeded {
		s.add("records", "%d answer, %d authority, %d additional", dns.Answers, dns.Authorities, dns.Additionals)
		if dns.HasSerial {
			s.add("serial", "%d", dns.Serial)
		}
	}
	return s
}

func call(result *probe.Result) Section {
	s := Section{Title: "Call"}
	if grpc := result.GRPC; grpc != nil && grpc.Tried {
		s.add("status code", "%d", grpc.StatusCode)
		if grpc.Serving != "" {
			s.add("service", "%s", grpc.Serving)
		}
	}
	return s
}

func handshake(result *probe.Result) Section {
	s := Section{Title: "Handshake"}
	if socket := result.WebSocket; socket != nil && socket.StatusCode != 0 {
		s.add("status", "%d", socket.StatusCode)
	}
	return s
}

// CertificateTitle is the title of the section about the certificate that the target presented.
const CertificateTitle = "Certificate"

func certificate(result *probe.Result) Section {
	s := Section{Title: CertificateTitle}
	t := result.TLS
	if t == nil {
		return s
	}
	if t.Version != 0 {
		s.add("encryption", "%s, %s", tls.VersionName(t.Version), tls.CipherSuiteName(t.CipherSuite))
	}
	for _, row := range []Row{{"subject", t.Leaf.Subject}, {"names", t.Leaf.SubjectAlternative}, {"issuer", t.Leaf.Issuer}} {
		if row.Value != "" {
			s.add(row.Name, "%s", row.Value)
		}
	}
	s.add("expires", "%s", t.EarliestExpiry.UTC().Format(time.DateTime+" MST"))
	return s
}

func phases(result *probe.Result) Section {
	s := Section{Title: "Phases"}
	connect, processing := "connect", "processing"
	if result.ICMP != nil {
		connect, processing = "setup", "rtt"
	}
	p := result.Phases
	for _, phase := range []struct {
		name string
		took time.Duration
	}{
		{"resolve", p.Resolve}, {connect, p.Connect}, {"tls", p.TLS}, {processing, p.Processing}, {"transfer", p.Transfer},
	} {
		if phase.took > 0 {
			s.add(phase.name, "%s", milliseconds(phase.took))
		}
	}
	s.add("in all", "%s", milliseconds(result.Duration))
	return s
}

// milliseconds aligns durations for reading down a column.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%9.2f ms", float64(d)/float64(time.Millisecond))
}

// Printable escapes text from outside for one line of a terminal, a page or a log. Invisible characters that move or
// hide what is around them are escaped, too: after U+202E a verdict would read backwards.
func Printable(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}
