package option

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// slowRegexp takes some ten thousand steps for each byte of as.
const slowRegexp = "(a{0,30}){0,30}(a{0,30}){0,30}(a{0,30}){0,30}(a{0,30}){0,30}b"

func TestLongTextsAreMatchedAsShortOnes(t *testing.T) {
	body := []byte(strings.Repeat("\xff haystäck", 1<<14) + "needle")
	for expression, want := range map[string]bool{"needle$": true, `^.?haystack`: false, `k\x{fffd}`: true, "nothing": false, "": true, "(?i)NEEDLE": true} {
		re := mustRegexp(expression)
		m := Matcher{Ctx: t.Context(), steps: QuickSteps}
		got, err := m.Bytes(re, body)
		if short := re.Match(body); err != nil || got != want || got != short {
			t.Errorf("%q: %v, %v; want %v, as %v", expression, got, err, want, short)
		}
		at, err := m.Find(re, body)
		if want := re.FindSubmatchIndex(body); err != nil || (at == nil) != (want == nil) || at != nil && (at[0] != want[0] || at[1] != want[1]) {
			t.Errorf("%q is found at %v, %v; want %v", expression, at, err, want)
		}
	}
}

func TestMatchingKnowsWhatCannotTakeLong(t *testing.T) {
	page := strings.Repeat("x", 1<<20)
	for expression, quick := range map[string]bool{
		"all systems operational": true, `"status": "(ok|fine)"`: false, `\d+`: true, "[ab]c.*d": true, slowRegexp: false,
	} {
		m := Matcher{}
		if got := m.quick(mustRegexp(expression), len(page)); got != quick {
			t.Errorf("%q over a megabyte: %v, want %v (%d instructions)", expression, got, quick, mustRegexp(expression).size)
		}
		if m := (Matcher{}); !m.quick(mustRegexp(expression), 2<<10) && expression != slowRegexp {
			t.Errorf("%q over 2 KiB takes long", expression)
		}
	}
}

func TestMatchingEndsWhenTheCallerLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := Matcher{Ctx: ctx}
	if _, err := m.Text(mustRegexp(slowRegexp), strings.Repeat("a", 1<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
