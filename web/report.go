package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/probe"
	"rollcall/redact"
	"rollcall/report"
)

// report is the text about one result for a person: the verdict and the facts, the steps, the metrics, and the module.
// Everything from outside is made printable. For the public port of a server with an administrator's address, admin is
// false: then whatever may quote the module's options, headers or proxies is left out.
func (s *Server) report(r *probe.Record, config Config, admin bool) []byte {
	var b strings.Builder
	verdict := "up"
	if !r.Result.Up() {
		verdict = "down"
	}
	fmt.Fprintf(&b, "%s is %s\n\n", report.Printable(redact.Target(r.Target)), verdict)
	shown := *r
	if f := r.Result.Failure; f != nil && !admin {
		shown.Result.Failure = probe.Failf(f.Stage, f.Reason, "see the administrator's address")
	}
	sections := report.Sections(&shown)
	if sections[0].Title == "" {
		writeRows(&b, sections[0])
		sections = sections[1:]
	}
	line(&b, "module", fmt.Sprintf("%s (%s)", r.Module, r.Prober))
	if r.Hostname != "" {
		line(&b, "hostname", r.Hostname)
	}
	line(&b, "time", r.Result.Start.UTC().Format(time.RFC3339Nano))
	line(&b, "duration", fmt.Sprintf("%s of at most %g s", took(r.Result.Duration), r.Timeout.Seconds()))
	for _, section := range sections {
		b.WriteString("\n" + section.Title + "\n")
		writeRows(&b, section)
	}
	if steps := r.Trace.Steps(); len(steps) > 0 && admin {
		b.WriteString("\nSteps\n")
		for _, step := range steps {
			fmt.Fprintf(&b, "  %+10.6fs  %s\n", step.Time.Sub(r.Result.Start).Seconds(), report.Printable(step.Text))
		}
	}
	b.WriteString("\nMetrics\n")
	for metric := range strings.Lines(string(s.replies.AppendText(nil, r))) {
		b.WriteString(report.Printable(strings.TrimSuffix(metric, "\n")) + "\n")
	}
	if admin {
		b.WriteString("\nModule, as it is configured now\n")
		b.Write(config.ModuleYAML(r.Module))
	}
	return []byte(b.String())
}

// writeReport answers a probe that a person wants to look at.
func (s site) writeReport(w http.ResponseWriter, r *http.Request, record *probe.Record, q *query) {
	setSecurityHeaders(w.Header())
	fr := s.frame(report.Printable(redact.Target(record.Target)), "probes", 0, time.Now())
	text := s.report(record, q.config, s.admin)
	if q.hint != "" {
		text = append([]byte("note: "+q.hint+"\n\n"), text...)
	}
	s.showText(w, r, fr, text, &record.Result)
}

func writeRows(b *strings.Builder, section report.Section) {
	for _, row := range section.Rows {
		line(b, row.Name, row.Value)
	}
}

func line(b *strings.Builder, name, value string) {
	fmt.Fprintf(b, "  %-11s %s\n", name, report.Printable(value))
}

func writeText(w http.ResponseWriter, text []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // an error means that the client has gone
}
