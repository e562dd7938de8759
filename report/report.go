// Package report renders the facts of one Record as rows of text for a person. `rollcall check` and the pages of web show
// the same rows; how they are laid out is theirs. It makes no metrics and no mail.
package report

import (
	"crypto/tls"
	"fmt"
	"slices"
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

// AddText adds a row unless the text is empty.
func (s *Section) AddText(name, text string) {
	if text != "" {
		s.add(name, "%s", text)
	}
}

// AddTime adds a row with a time in UTC.
func (s *Section) AddTime(name string, t time.Time) {
	s.add(name, "%s", t.UTC().Format(time.DateTime+" MST"))
}

// Sections returns the facts of r: the verdict, what the target answered, and the time of each phase, which is always
// there.
func Sections(r *probe.Record) []Section {
	result := &r.Result
	all := append([]Section{verdict(result)}, answers(result)...)
	all = append(all, Certificate(result), phases(result))
	return slices.DeleteFunc(all, func(s Section) bool { return len(s.Rows) == 0 })
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

// answers are what targets answered by each protocol.
func answers(result *probe.Result) []Section {
	response, reply, answer := Section{Title: "Response"}, Section{Title: "Reply"}, Section{Title: "Answer"}
	call, handshake := Section{Title: "Call"}, Section{Title: "Handshake"}
	if http := result.HTTP; http != nil && http.StatusCode != 0 {
		response.add("status", "%d, HTTP/%d.%d", http.StatusCode, http.VersionMajor, http.VersionMinor)
		if http.Redirects > 0 {
			response.add("redirects", "%d, to %s", http.Redirects, redact.URLs(http.FinalURL))
		}
		response.add("body", "%d bytes", http.UncompressedBodyLength)
	}
	if icmp := result.ICMP; icmp != nil && icmp.HopLimit >= 0 {
		reply.add("hop limit", "%d", icmp.HopLimit)
	}
	if dns := result.DNS; dns != nil && dns.Succeeded {
		answer.add("records", "%d answer, %d authority, %d additional", dns.Answers, dns.Authorities, dns.Additionals)
		if dns.HasSerial {
			answer.add("serial", "%d", dns.Serial)
		}
	}
	if grpc := result.GRPC; grpc != nil && grpc.Tried {
		call.add("status code", "%d", grpc.StatusCode)
		if grpc.Serving != "" {
			call.add("service", "%s", grpc.Serving)
		}
	}
	if socket := result.WebSocket; socket != nil && socket.StatusCode != 0 {
		handshake.add("status", "%d", socket.StatusCode)
	}
	return []Section{response, reply, answer, call, handshake}
}

// CertificateTitle is the title of the section about the certificate that the target presented.
const CertificateTitle = "Certificate"

// Certificate is that section; without a certificate it has no rows.
func Certificate(result *probe.Result) Section {
	s := Section{Title: CertificateTitle}
	t := result.TLS
	if t == nil {
		return s
	}
	if t.Version != 0 {
		s.add("encryption", "%s, %s", tls.VersionName(t.Version), tls.CipherSuiteName(t.CipherSuite))
	}
	s.AddText("subject", t.Leaf.Subject)
	s.AddText("names", t.Leaf.SubjectAlternative)
	s.AddText("issuer", t.Leaf.Issuer)
	s.AddTime("expires", t.EarliestExpiry)
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
