package mail

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWrap(t *testing.T) {
	long := strings.Repeat("x", 100)
	for text, want := range map[string][]string{
		"":                                      {""},
		"short":                                 {"short"},
		long:                                    {long},
		"  " + long + " end":                    {"  " + long, "    end"},
		"a " + long + " end":                    {"a " + long, "    end"},
		strings.Repeat("x", 76) + "  1 y":       {strings.Repeat("x", 76), "    1 y"},
		strings.Repeat("x", 77) + " ":           {strings.Repeat("x", 77) + " "},
		strings.Repeat("ab ", 26) + "c " + long: {strings.TrimSpace(strings.Repeat("ab ", 26)), "    c " + long},
	} {
		if got := strings.Split(wrap(text, "    "), "\n"); !slices.Equal(got, want) {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func FuzzWrap(f *testing.F) {
	f.Add(strings.Repeat("some words ", 20), "  ")
	f.Fuzz(func(t *testing.T, text, indent string) {
		indent = strings.Repeat(" ", len(indent)%20)
		lines := wrap(text, indent)
		if got, want := strings.Fields(lines), strings.Fields(text); !slices.Equal(got, want) {
			t.Errorf("%q became %q", text, lines)
		}
	})
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1600 * time.Millisecond: "2s", 7 * time.Minute: "7m", 61 * time.Second: "1m1s", 8 * time.Hour: "8h",
		90 * time.Minute: "1h30m", 25 * time.Hour: "1d1h", 14 * 24 * time.Hour: "14d",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}
