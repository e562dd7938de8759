package network

import (
	"fmt"
	"strings"

	"rollcall/redact"
)

// EscapeURL percent-encodes what the path, query and fragment of a URL may not hold: blanks, controls and bytes beyond
// ASCII, as curl does for a Location; and in the path what url.Parse would encode itself, with a loss: it forgets then
// which bytes had been encoded before.
func EscapeURL(s string) string {
	const inPath = "\"<>\\^`{|}"
	var b strings.Builder
	done, query := 0, false
	for i := range len(s) {
		c := s[i]
		query = query || c == '?'
		if c > ' ' && c < 0x7f && (query || strings.IndexByte(inPath, c) < 0) {
			continue
		}
		fmt.Fprintf(&b, "%s%%%02X", s[done:i], c)
		done = i + 1
	}
	if done == 0 {
		return s
	}
	return b.String() + s[done:]
}

// EscapeLocation is EscapeURL for a Location, which may begin with a scheme or an authority.
func EscapeLocation(location string) string {
	begin := 0
	if scheme, _, _ := redact.SplitTarget(location); scheme != "" {
		begin = len(scheme) + len("://")
	} else if strings.HasPrefix(location, "//") {
		begin = len("//")
	} else {
		return EscapeURL(location)
	}
	if end := strings.IndexAny(location[begin:], "/?#"); end >= 0 {
		return location[:begin+end] + EscapeURL(location[begin+end:])
	}
	return location
}
