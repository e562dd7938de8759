package web

import (
	"math"
	"strconv"
	"strings"
	"time"

	"rollcall/history"
	"rollcall/probe"
	"rollcall/report"
)

// age is how long ago something was, in one unit.
func age(d time.Duration) string {
	if d < time.Second {
		return "now"
	}
	return span(d) + " ago"
}

// span is a length of time, in one unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(max(int(d.Seconds()), 0)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " d"
}

// inUnit is a duration in the largest unit of which it has at least one.
func inUnit(d time.Duration) (value float64, unit string) {
	switch {
	case d >= time.Second:
		return d.Seconds(), " s"
	case d >= time.Millisecond:
		return float64(d) / 1e6, " ms"
	case d >= time.Microsecond:
		return float64(d) / 1e3, " µs"
	}
	return float64(d), " ns"
}

// took is a duration with three digits.
func took(d time.Duration) string {
	value, unit := inUnit(d)
	digits := 2
	switch {
	case value >= 100 || unit == " ns":
		digits = 0
	case value >= 10:
		digits = 1
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + unit
}

// short writes the round duration of an axis.
func short(d time.Duration) string {
	value, unit := inUnit(d)
	return strconv.FormatFloat(value, 'f', -1, 64) + unit
}

// whole writes an interval without the units that are zero, e.g. 1m instead of 1m0s.
func whole(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// tookOrNone is took, and a dash for none.
func tookOrNone(d time.Duration) string {
	if d <= 0 {
		return "–"
	}
	return took(d)
}

// sum adds up Counts, of which each may be near what an uint32 holds.
type sum struct{ up, down, unknown float64 }

func (s sum) plus(c history.Counts) sum {
	return sum{s.up + float64(c.Up), s.down + float64(c.Down), s.unknown + float64(c.Unknown)}
}

// uptime is a share of the known turns, in percent; a dash when there is none.
func (s sum) uptime() string {
	if s.up+s.down == 0 {
		return "–"
	}
	return percent(s.up / (s.up + s.down))
}

// unknownShare says how much of the time nothing is known; empty: less than half a percent.
func (s sum) unknownShare() string {
	all := s.up + s.down + s.unknown
	if all == 0 || s.unknown/all < 0.005 {
		return ""
	}
	return strconv.FormatFloat(s.unknown/all*100, 'f', 0, 64) + " % unknown"
}

func uptime(c history.Counts) string { return sum{}.plus(c).uptime() }

func unknownShare(c history.Counts) string { return sum{}.plus(c).unknownShare() }

// percent is rounded down: what has failed once is not 100 %.
func percent(ratio float64) string {
	if ratio >= 1 {
		return "100 %"
	}
	return strconv.FormatFloat(math.Floor(ratio*10000)/100, 'f', 2, 64) + " %"
}

// why writes the stage and the reason of a failure for a person; empty: there is none.
func why(stage probe.Stage, reason probe.Reason) string {
	if reason == "" {
		return ""
	}
	return strings.ReplaceAll(string(stage)+": "+string(reason), "_", " ")
}

// names are a target's title and, if that is another text, the target itself.
func names(t *probe.Target) (name, target string) {
	name, target = report.Printable(t.Title()), report.Printable(t.Target)
	if target == name {
		target = ""
	}
	return name, target
}

// moment is an instant for <time>: for machines, in full, and relative.
type moment struct {
	Machine, Full, Relative string
}

func newMoment(t, now time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &moment{Machine: t.Format(time.RFC3339), Full: t.Format("2006-01-02 15:04:05") + " UTC", Relative: age(now.Sub(t))}
}

// number writes a count with a comma between thousands.
func number(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
