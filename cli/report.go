package cli

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"rollcall/probe"
	"rollcall/redact"
	"rollcall/report"
)

// writeReport prints what a check found.
func writeReport(w io.Writer, testType string, record *probe.Record, colour bool) {
	verdict, paint := "UP", "\x1b[1;32m"
	if !record.Result.Up() {
		verdict, paint = "DOWN", "\x1b[1;31m"
	}
	if colour {
		verdict = paint + verdict + "\x1b[0m"
	}
	fmt.Fprintf(w, "%s  %s %s\n\n", verdict, testType, report.Printable(redact.Target(record.Target)))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, section := range report.Sections(record) {
		for _, row := range section.Rows {
			fmt.Fprintf(table, "  %s\t%s\n", row.Name, row.Value)
		}
	}
	_ = table.Flush() // a report that cannot be written is no error of the check
}

// hasColour reports whether w is a terminal that may show colours (https://no-color.org).
func hasColour(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
