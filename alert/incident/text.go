package incident

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcall/probe"
)

// maxDetail bounds what a remote side can put into a notification with one answer, in bytes.
const maxDetail = 500

func detail(f *probe.Failure) string { return Clean(f.Err.Error(), maxDetail) }

// IsControl reports whether r could act instead of being shown: control characters, line separators, and the
// invisible format characters that reorder or hide text.
func IsControl(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// Clean makes remote text safe to show on one line: invalid UTF-8 is replaced, control characters are spelled out
// as Go escapes, and more than limit bytes are cut.
func Clean(s string, limit int) string {
	var b strings.Builder
	for _, r := range Cut(s, limit) { // ranging yields U+FFFD for invalid bytes
		if IsControl(r) {
			q := fmt.Sprintf("%+q", r) // e.g. '\n', '\u202e'
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return Cut(b.String(), limit)
}

// Cut shortens s to at most limit bytes, at a rune's edge, and shows that it did.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	limit -= len("…")
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}
