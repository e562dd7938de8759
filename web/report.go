package web

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"rollcall/probe"
	"rollcall/redact"
)

// report is the text about one result for a person: the verdict first, then where the time went, what was seen
// and done, the metrics, and the module. Everything from outside is made printable.
func (s *Server) report(r *probe.Record, config Config) []byte {
	var b strings.Builder
	result := &r.Result
	verdict := "up"
	if result.Failure != nil {
		verdict = "down"
	}
	fmt.Fprintf(&b, "%s is %s\n\n", shown(redact.Target(r.Target)), verdict)
	if f := result.Failure; f != nil {
		line(&b, "stage", string(f.Stage))
		line(&b, "reason", string(f.Reason))
		line(&b, "cause", f.Err.Error())
	}
	line(&b, "module", fmt.Sprintf("%s (%s)", r.Module, r.Prober))
	if r.Hostname != "" {
		line(&b, "hostname", r.Hostname)
	}
	line(&b, "time", result.Start.UTC().Format(time.RFC3339Nano))
	line(&b, "duration", fmt.Sprintf("%s of at most %g s", took(result.Duration), r.Timeout.Seconds()))

	b.WriteString("\nPhases\n")
	writePhases(&b, result)
	writeFacts(&b, result)
	if steps := r.Trace.Steps(); len(steps) > 0 {
		b.WriteString("\nSteps\n")
		for _, step := range steps {
			fmt.Fprintf(&b, "  %+10.6fs  %s\n", step.Time.Sub(result.Start).Seconds(), shown(step.Text))
		}
	}
	b.WriteString("\nMetrics\n")
	for metric := range strings.Lines(string(s.replies.AppendText(nil, r))) {
		b.WriteString(shown(strings.TrimSuffix(metric, "\n")) + "\n")
	}
	b.WriteString("\nModule, as it is configured now\n")
	b.Write(config.ModuleYAML(r.Module))
	return []byte(b.String())
}

func (s *Server) writeReport(w http.ResponseWriter, r *probe.Record, config Config) {
	setSecurityHeaders(w.Header())
	writeText(w, s.report(r, config))
}

func line(b *strings.Builder, name, value string) { fmt.Fprintf(b, "  %-11s %s\n", name, shown(value)) }

func writePhases(b *strings.Builder, result *probe.Result) {
	if resolve := result.Resolve; resolve != nil {
		found := "no address found"
		if resolve.Addr.IsValid() {
			found = resolve.Addr.String()
		}
		line(b, "resolve", fmt.Sprintf("%-10s %s", took(result.Phases.Resolve), found))
	}
	connect, processing := "connect", "processing"
	if result.ICMP != nil {
		connect, processing = "setup", "rtt"
	}
	for _, phase := range []struct {
		name string
		took time.Duration
	}{
		{connect, result.Phases.Connect},
		{"tls", result.Phases.TLS},
		{processing, result.Phases.Processing},
		{"transfer", result.Phases.Transfer},
	} {
		if phase.took > 0 {
			line(b, phase.name, took(phase.took))
		}
	}
}

func writeFacts(b *strings.Builder, result *probe.Result) {
	if http := result.HTTP; http != nil && http.StatusCode != 0 {
		b.WriteString("\nResponse\n")
		line(b, "status", fmt.Sprintf("%d, HTTP/%d.%d", http.StatusCode, http.VersionMajor, http.VersionMinor))
		if http.FinalURL != "" {
			line(b, "url", http.FinalURL)
		}
		line(b, "redirects", strconv.Itoa(http.Redirects))
		line(b, "body", fmt.Sprintf("%d bytes after decoding", http.UncompressedBodyLength))
	}
	if icmp := result.ICMP; icmp != nil && icmp.HopLimit >= 0 {
		b.WriteString("\nReply\n")
		line(b, "hop limit", strconv.Itoa(icmp.HopLimit))
	}
	if dns := result.DNS; dns != nil && dns.Succeeded {
		b.WriteString("\nAnswer\n")
		line(b, "records", fmt.Sprintf("%d answer, %d authority, %d additional", dns.Answers, dns.Authorities, dns.Additionals))
		if dns.HasSerial {
			line(b, "serial", strconv.FormatUint(uint64(dns.Serial), 10))
		}
	}
	if grpc := result.GRPC; grpc != nil && grpc.Tried {
		b.WriteString("\nCall\n")
		line(b, "status code", strconv.FormatUint(uint64(grpc.StatusCode), 10))
		if grpc.Serving != "" {
			line(b, "service", grpc.Serving)
		}
	}
	if socket := result.WebSocket; socket != nil && socket.StatusCode != 0 {
		b.WriteString("\nHandshake\n")
		line(b, "status", strconv.Itoa(socket.StatusCode))
	}
	if t := result.TLS; t != nil {
		b.WriteString("\nCertificate\n")
		line(b, "subject", t.Leaf.Subject)
		line(b, "names", t.Leaf.SubjectAlternative)
		line(b, "issuer", t.Leaf.Issuer)
		line(b, "first ends", t.EarliestExpiry.UTC().Format(time.RFC3339))
		if t.Version != 0 {
			line(b, "connection", tls.VersionName(t.Version)+", "+tls.CipherSuiteName(t.CipherSuite))
		}
	}
}

// shown makes text from outside fit for a line of a terminal or a page. What is not seen but moves or hides its
// surroundings is spelled out, too: after U+202E a verdict would be read backwards.
func shown(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

func writeText(w http.ResponseWriter, text []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // an error means that the reader has gone
}
