package chart

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"rollcall/history"
	"rollcall/probe"
)

// wellFormed fails when markup is not.
func wellFormed(t *testing.T, markup string) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(markup)); ; {
		if _, err := decoder.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v\n%s", err, markup)
		}
	}
}

func TestBeatsShareALineForEachKind(t *testing.T) {
	buckets := []history.Counts{{}, {Up: 9}, {Up: 9}, {Down: 9}, {Up: 8, Down: 1}, {Unknown: 9}, {Up: 9}, {Up: 1, Unknown: 8}}
	want := `<svg class="beats" viewBox="0 0 48 20" preserveAspectRatio="none" role="img" aria-label="periods: 3 up, 1 with failures, 1 down, 2 unknown">` +
		`<path class="n" d="M0 10h6"/><path class="q" d="M30 10h6M42 10h6"/><path class="u" d="M6 10h12M36 10h6"/><path class="s" d="M24 10h6"/><path class="d" d="M18 10h6"/></svg>`
	if got := string(Beats(buckets)); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	if got := Describe(nil); got != "no results yet" {
		t.Errorf("without buckets: %q", got)
	}
	wellFormed(t, string(BigBeats(buckets, time.Unix(0, 0), time.Hour)))
	if n := strings.Count(string(BigBeats(buckets, time.Unix(0, 0), time.Hour)), "<title>"); n != 8 {
		t.Errorf("%d titles", n)
	}
}

func TestPlotsLeaveGaps(t *testing.T) {
	s := history.Series{From: time.Unix(0, 0), To: time.Unix(400, 0), Step: 100 * time.Second, Points: []history.Point{
		{Counts: history.Counts{Up: 1}, P50: time.Millisecond, P95: 3 * time.Millisecond, Phases: probe.Phases{Connect: time.Millisecond}},
		{Counts: history.Counts{Up: 1}, P50: 2 * time.Millisecond, P95: 7 * time.Millisecond, Phases: probe.Phases{Connect: time.Millisecond, TLS: time.Millisecond}},
		{Counts: history.Counts{Unknown: 1}},
		{Counts: history.Counts{Down: 1}, P50: time.Millisecond, P95: time.Millisecond, Phases: probe.Phases{Connect: time.Millisecond}},
	}}
	p := Response(s)
	wellFormed(t, string(p.SVG))
	if p.Top != 8*time.Millisecond || strings.Count(string(p.SVG), `class="line"`) != 2 {
		t.Errorf("%v\n%s", p.Top, p.SVG)
	}
	if !strings.Contains(string(p.SVG), `class="line" d="M125.0 175.0 L375.0 150.0 "`) || !strings.Contains(string(p.SVG), `class="span-d" d="M750.0 0h250.0V200h-250.0Z"`) {
		t.Errorf("%s", p.SVG)
	}
	stacked := Phases(s)
	wellFormed(t, string(stacked.SVG))
	if stacked.Top != 2*time.Millisecond || strings.Contains(string(stacked.SVG), "NaN") {
		t.Errorf("%v\n%s", stacked.Top, stacked.SVG)
	}
	if empty := Response(history.Series{}); empty.Top != 0 {
		t.Errorf("an empty series: %v", empty)
	}
	bar := string(PhaseBar(probe.Phases{Connect: time.Second, Transfer: 3 * time.Second}))
	if !strings.Contains(bar, `class="phase1" d="M0.0 0H250.0V10H0.0Z"`) || !strings.Contains(bar, `class="phase4" d="M250.0 0H1000.0V10H250.0Z"`) {
		t.Errorf("%s", bar)
	}
	if bar := PhaseBar(probe.Phases{}); bar != "" {
		t.Errorf("without phases: %s", bar)
	}
}

func TestAxesEndAtRoundNumbers(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		0: 0, time.Millisecond: time.Millisecond, 1400 * time.Microsecond: 1500 * time.Microsecond, 7 * time.Second: 8 * time.Second, 9 * time.Second: 10 * time.Second,
	} {
		if got := nice(d); got != want {
			t.Errorf("%v: %v, want %v", d, got, want)
		}
	}
}

func TestTimesAreRound(t *testing.T) {
	from := time.Date(2026, 3, 28, 10, 30, 0, 0, time.FixedZone("", 3600))
	for span, want := range map[time.Duration]string{
		24 * time.Hour:     `<text x="10.4%" y="1em">12:00</text><text x="35.4%" y="1em">18:00</text><text x="60.4%" y="1em">Mar 29</text><text x="85.4%" y="1em">06:00</text>`,
		2 * 24 * time.Hour: `<text x="30.2%" y="1em">Mar 29</text><text x="80.2%" y="1em">Mar 30</text>`,
		0:                  "",
	} {
		p := newPlot(history.Series{From: from, To: from.Add(span)})
		if got := string(p.Axis); got != `<svg class="x" aria-hidden="true">`+want+"</svg>" {
			t.Errorf("%v: %s", span, got)
		}
	}
	if n := strings.Count(string(newPlot(history.Series{From: from, To: from.Add(90 * 24 * time.Hour)}).Axis), "<text"); n != 5 && n != 6 {
		t.Errorf("%d marks for 90 days", n)
	}
}
