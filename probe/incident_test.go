package probe

import (
	"testing"
	"time"
)

func TestIncidentIDIsStable(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)
	id := IncidentID("http_2xx", "https://example.com/", "", start)
	if want := "927bbd0bc7de32355e3ca6a4"; id != want {
		t.Errorf("got %s, want %s: links in mails that were sent would lead nowhere", id, want)
	}
	same := start.In(time.FixedZone("", 3600)).Add(400 * time.Microsecond)
	if IncidentID("http_2xx", "https://example.com/", "", same) != id {
		t.Error("the time zone or what is below a millisecond counts")
	}
	if a, b := IncidentID("m", "http://u:secret@h/", "", start), IncidentID("m", Identity("http://u:secret@h/"), "", start); a != b {
		t.Error("the password counts")
	}
	seen := map[string]bool{id: true}
	for _, other := range []string{
		IncidentID("http_2xx", "https://example.com/", "", start.Add(time.Millisecond)),
		IncidentID("http_2xx", "https://example.com/", "h", start),
		IncidentID("http_2xxh", "ttps://example.com/", "", start),
	} {
		if seen[other] {
			t.Errorf("another incident is %s, too", other)
		}
		seen[other] = true
	}
}
