package alert

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRecipientWhoIsAlwaysRefusedIsAskedForRarely: the pace is not that of the events, and what comes between two
// attempts is told together when the recipient is welcome again.
func TestRecipientWhoIsAlwaysRefusedIsAskedForRarely(t *testing.T) {
	for _, c := range []struct {
		name            string
		perHour         int
		lowest, highest int // attempts in three hours
	}{
		{"by the backoff", 60, 3 * 12, 3 * 27},
		{"by the cap", 2, 3 * 2, 3*2 + 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, dir string, p *postman) {
				p.judge(func(envelope) verdict { return refused })
				h := openHook(t, dir, settings(p, func(s *Config) { s.maxMailsPerHour, s.groupInterval = c.perHour, 0 }))
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
				if len(p.got) != 1 || !strings.Contains(p.got[0].subject, "servers") {
					t.Errorf("once welcome, the recipient has %q", p.subjects())
				}
				see(h, "late:1", false)
				time.Sleep(11 * time.Second)
				if len(p.got) != 2 {
					t.Error("an accepted mail does not end the backoff")
				}
				closeHook(t, h)
			})
		})
	}
}
