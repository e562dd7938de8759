package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"rollcall/probe"
	"rollcall/redact"
	"rollcall/report"
)

// The exit codes of a Nagios plugin; 0 is up. Code 1 is a warning, which this check does not have.
const (
	nagiosCritical = 2
	nagiosUnknown  = 3
)

// nagiosFlag is looked for in a wrong command line, too: Nagios takes its exit code 2 for an outage.
const nagiosFlag = "--nagios"

// writeNagios prints a verdict as a plugin does: one line, with text for people before the bar and performance data behind
// it, under the names of check_http and check_tcp.
func writeNagios(w io.Writer, testType string, record *probe.Record, limit time.Duration) {
	result := record.Result
	verdict := "OK"
	detail := fmt.Sprintf("%.3f seconds", result.Duration.Seconds())
	if h := result.HTTP; h != nil && h.StatusCode != 0 {
		detail = fmt.Sprintf("status %d, %d bytes, %s", h.StatusCode, h.UncompressedBodyLength, detail)
	}
	if f := result.Failure; f != nil {
		verdict = "CRITICAL"
		detail = fmt.Sprintf("%s (at stage %s): %s", f.Reason, f.Stage, f.Err)
	}
	fmt.Fprintf(w, "%s %s - %s: %s | %s\n", strings.ToUpper(testType), verdict,
		pluginText(redact.Target(record.Target)), pluginText(detail), perfdata(result, limit))
}

// writeNagiosUnknown prints why there is no verdict.
func writeNagiosUnknown(w io.Writer, why string) int {
	first, _, _ := strings.Cut(why, "\n")
	fmt.Fprintf(w, "ROLLCALL UNKNOWN - %s\n", pluginText(first))
	return nagiosUnknown
}

// perfdata is 'name'=value[unit];warn;critical;min;max for each number there is.
func perfdata(result probe.Result, limit time.Duration) string {
	numbers := []string{fmt.Sprintf("time=%.6fs;;;0;%.6f", result.Duration.Seconds(), limit.Seconds())}
	if h := result.HTTP; h != nil && h.StatusCode != 0 {
		numbers = append(numbers, fmt.Sprintf("size=%dB;;;0", h.UncompressedBodyLength))
	}
	p := result.Phases
	for _, phase := range []struct {
		name string
		took time.Duration
	}{
		{"time_resolve", p.Resolve}, {"time_connect", p.Connect}, {"time_ssl", p.TLS}, {"time_firstbyte", p.Processing}, {"time_transfer", p.Transfer},
	} {
		if phase.took > 0 {
			numbers = append(numbers, fmt.Sprintf("%s=%.6fs;;;0", phase.name, phase.took.Seconds()))
		}
	}
	return strings.Join(numbers, " ")
}

// pluginText keeps text of the remote side from ending the line or beginning the performance data.
func pluginText(s string) string { return strings.ReplaceAll(report.Printable(s), "|", "¦") }
