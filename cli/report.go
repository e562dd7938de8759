package cli

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"rollcall/probe"
)

// writeReport tells a person what a check found. What the remote side said is data: its control characters are escaped.
func writeReport(w io.Writer, testType string, record probe.Record, colour bool) {
	result := record.Result
	verdict, paint := "UP", "\x1b[1;32m"
	if !result.Up() {
		verdict, paint = "DOWN", "\x1b[1;31m"
	}
	if colour {
		verdict = paint + verdict + "\x1b[0m"
	}
	fmt.Fprintf(w, "%s  %s %s\n\n", verdict, testType, printable(probe.RedactTarget(record.Target)))

	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "  %s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	if f := result.Failure; f != nil {
		row("stage", "%s", f.Stage)
		row("reason", "%s", f.Reason)
		row("cause", "%s", f.Err)
	}
	if r := result.Resolve; r != nil && r.Addr.IsValid() {
		row("address", "%s", r.Addr)
	}
	if h := result.HTTP; h != nil && h.StatusCode != 0 {
		row("status", "%d, HTTP/%d.%d", h.StatusCode, h.VersionMajor, h.VersionMinor)
		if h.Redirects > 0 {
			row("redirects", "%d, to %s", h.Redirects, h.FinalURL)
		}
		row("body", "%d bytes", h.UncompressedBodyLength)
	}
	if t := result.TLS; t != nil {
		if t.Version != 0 {
			row("encryption", "%s", tls.VersionName(t.Version))
		}
		row("certificate", "of %s, until %s", cmp.Or(t.Leaf.Subject, "nobody"), t.EarliestExpiry.UTC().Format(time.DateTime+" MST"))
	}
	for _, phase := range phasesOf(result) {
		if phase.took > 0 {
			row(phase.name, "%s", milliseconds(phase.took))
		}
	}
	row("in all", "%s", milliseconds(result.Duration))
	_ = table.Flush() // a report that nobody can read is not an error of the check
}

type phase struct {
	name string
	took time.Duration
}

// phasesOf lists the phases in the order in which a probe goes through them.
func phasesOf(result probe.Result) []phase {
	p := result.Phases
	return []phase{
		{"resolve", p.Resolve}, {"connect", p.Connect}, {"tls", p.TLS}, {"processing", p.Processing}, {"transfer", p.Transfer},
	}
}

// milliseconds writes a span aligned for reading down a column.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%9.2f ms", float64(d)/float64(time.Millisecond))
}

// printable escapes what is not to be shown on a terminal.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// hasColour says whether w is a terminal whose reader did not ask for none (https://no-color.org).
func hasColour(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
