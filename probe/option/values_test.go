package option

import (
	"strings"
	"testing"
	"unicode/utf8"

	"rollcall/probe"
)

func TestLabelValueIsValidAndBounded(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"short text stays":                 {"SSH-2.0", "SSH-2.0"},
		"invalid bytes are replaced":       {"a\xff\xfeb", "a\uFFFDb"},
		"long text is cut":                 {strings.Repeat("x", 5000), strings.Repeat("x", probe.MaxLabelValue)},
		"a character is not cut in two":    {strings.Repeat("x", probe.MaxLabelValue-1) + "é", strings.Repeat("x", probe.MaxLabelValue-1)},
		"a character that just fits stays": {strings.Repeat("x", probe.MaxLabelValue-2) + "éy", strings.Repeat("x", probe.MaxLabelValue-2) + "é"},
	} {
		if got := probe.LabelValue(c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	for _, hostile := range []string{strings.Repeat("\xff", 9000), strings.Repeat("a\xff", 4500), strings.Repeat("\x80", 9000)} {
		if got := probe.LabelValue(hostile); len(got) > probe.MaxLabelValue || !utf8.ValidString(got) {
			t.Errorf("%.8q…: %d bytes, valid: %v", hostile, len(got), utf8.ValidString(got))
		}
	}
}
