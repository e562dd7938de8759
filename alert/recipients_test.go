package alert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/alert/outbox"
)

// TestRecipientThatAlwaysRefusesIsTriedRarely: the pace is not that of the events, and what comes between two
// attempts is told together once a mail is accepted.
func TestRecipientThatAlwaysRefusesIsTriedRarely(t *testing.T) {
	for _, c := range []struct {
		name            string
		perHour         int
		lowest, highest int // attempts in three hours
	}{
		{"by the backoff", 60, 3 * 8, 3 * 27},
		{"by the cap", 2, 3 * 2, 3*2 + 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, dir string, p *postman) {
				p.judge(always(outbox.Refused))
				h := openHook(t, dir, settings(p, func(s *Config) { s.channels[0].pacing.PerHour, s.channels[0].pacing.Interval = c.perHour, 0 }))
				for n := range 3 * 180 { // an incident every 20 seconds
					see(h, fmt.Sprintf("host:%d", n%50), n/50%2 == 1)
					time.Sleep(20 * time.Second)
				}
				if n := p.attempts(); n < c.lowest || n > c.highest {
					t.Errorf("%d attempts in three hours, want %d to %d", n, c.lowest, c.highest)
				}
				p.judge(nil)
				see(h, "last:1", false)
				see(h, "last:2", false)
				time.Sleep(2 * time.Hour)
				if got := p.subjects(); len(got) != 1 || !strings.Contains(got[0], "servers") {
					t.Errorf("once it accepts, the recipient has %q", got)
				}
				see(h, "late:1", false)
				time.Sleep(11 * time.Second)
				if len(p.subjects()) != 2 {
					t.Error("an accepted mail does not end the backoff")
				}
				closeHook(t, h)
			})
		})
	}
}

// TestRecipientThatLeavesTakesItsNewsAlong: after a reload and after a restart, on a disk that works and on a full one.
func TestRecipientThatLeavesTakesItsNewsAlong(t *testing.T) {
	both := recipients("ops@example.com", "left@example.com")
	for _, c := range []struct {
		name          string
		restart, full bool
	}{{"reload", false, false}, {"restart", true, false}, {"reload on a full disk", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, dir string, p *postman) {
				h := openHook(t, dir, settings(p, both))
				targets := []string{"told:1", "waits:1", "waits:2"}
				see(h, targets[0], false)
				time.Sleep(time.Minute)
				p.judge(func(to string) outbox.Verdict {
					if to == "left@example.com" {
						return outbox.InDoubt // the message stays
					}
					return outbox.Delivered
				})
				see(h, targets[1], false)
				time.Sleep(time.Minute)
				see(h, targets[2], false)
				time.Sleep(time.Minute)
				apply := func(s *Config) {
					if c.restart {
						closeHook(t, h)
						h = openHook(t, dir, s)
					} else if err := h.Apply(t.Context(), s); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
				}
				if c.full {
					limitDisk(t, h, 64<<10)
					for n := range 500 { // more than there is room for
						targets = append(targets, fmt.Sprintf("many-%d:1", n))
						see(h, targets[len(targets)-1], false)
					}
					time.Sleep(time.Minute)
				}
				apply(settings(p))
				for _, target := range targets { // who comes back is told only of what is down then
					see(h, target, true)
				}
				time.Sleep(time.Minute)
				before := len(p.subjects())
				if c.full {
					if h.Stats().StoreFailures == 0 {
						t.Fatal("the disk is not full")
					}
					limitDisk(t, h, 0)
					time.Sleep(time.Minute)
				}
				p.judge(always(outbox.Postponed))
				apply(settings(p, both))
				see(h, "new:1", false)
				see(h, "new:2", false)
				time.Sleep(2 * saveInterval)
				closeHook(t, h)
				p.judge(nil)
				h = openHook(t, dir, settings(p, both))
				time.Sleep(time.Hour)
				closeHook(t, h)
				var later []string
				for n, m := range p.got[before:] {
					later = append(later, fmt.Sprint(p.to[before+n], m.subject[strings.Index(m.subject, ": "):]))
				}
				slices.Sort(later)
				if want := "[left@example.com: 2 servers are down ops@example.com: 2 servers are down]"; fmt.Sprint(later) != want {
					t.Errorf("afterwards came %q, want %s", later, want)
				}
			})
		})
	}
}
