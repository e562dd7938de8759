package probe

import (
	"testing"
	"time"
)

func TestIncidentIDIsStable(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)
	page := Key{Module: "http_2xx", Target: "https://example.com/"}
	id := page.IncidentID(start)
	if want := "927bbd0bc7de32355e3ca6a4"; id != want {
		t.Errorf("got %s, want %s: links in mails that were sent would lead nowhere", id, want)
	}
	same := start.In(time.FixedZone("", 3600)).Add(400 * time.Microsecond)
	if page.IncidentID(same) != id {
		t.Error("the time zone or what is below a millisecond counts")
	}
	secret := Key{Module: "m", Target: "http://u:secret@h/"}
	if a, b := secret.IncidentID(start), secret.Redacted().IncidentID(start); a != b {
		t.Error("the password counts")
	}
	seen := map[string]bool{id: true}
	for _, other := range []string{
		page.IncidentID(start.Add(time.Millisecond)),
		Key{"http_2xx", "https://example.com/", "h"}.IncidentID(start),
		Key{"http_2xxh", "ttps://example.com/", ""}.IncidentID(start),
	} {
		if seen[other] {
			t.Errorf("another incident is %s, too", other)
		}
		seen[other] = true
	}
}
