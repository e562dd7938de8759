package alert

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// isControl reports whether r could act instead of being shown: control characters, line separators, and the
// invisible format characters that reorder or hide text.
func isControl(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// clean makes remote text safe to show on one line: invalid UTF-8 is replaced, control characters are spelled out
// as Go escapes, and more than limit bytes are cut.
func clean(s string, limit int) string {
	plain := true
	for _, r := range s {
		if r == utf8.RuneError || isControl(r) {
			plain = false
			break
		}
	}
	if plain {
		return cut(s, limit)
	}
	var b strings.Builder
	for _, r := range cut(s, limit) { // ranging yields U+FFFD for invalid bytes
		if isControl(r) {
			q := fmt.Sprintf("%+q", r) // as '\n', '\u202e'
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return cut(b.String(), limit)
}

// cut shortens s to at most limit bytes, at a rune's edge, and shows that it did.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	limit -= len("…")
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// asctime is a time as the old script and C write it: Wed Feb 11 20:00:00 2015.
func asctime(t time.Time) string { return t.Local().Format(time.ANSIC) }

// span says a duration for a person: two units are enough.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return d.String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// plural is "1 server is", "3 servers are" for (n, "server is", "servers are").
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
