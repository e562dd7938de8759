package alert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestIncidentIsOneDownAndOneUp(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		for i := range 60 {
			see(h, "host:1", i < 5 || i >= 30)
			see(h, "host:1", i < 5 || i >= 30) // a second Prometheus
			time.Sleep(15 * time.Second)
		}
		closeHook(t, h)
		p.want("TCP host:1 is down", "TCP host:1 is up again")
		down, up := p.got[0].header, p.got[1].header
		if up.Get("In-Reply-To") != down.Get("Message-Id") || up.Get("References") != down.Get("Message-Id") {
			t.Errorf("UP answers %s, DOWN was %s", up.Get("In-Reply-To"), down.Get("Message-Id"))
		}
	})
}

func TestStormIsTwoMailsThatListAll(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		for n := range 500 {
			see(h, fmt.Sprintf("host-%03d:80", n), false)
			time.Sleep(30 * time.Second / 500)
		}
		time.Sleep(10 * time.Minute)
		closeHook(t, h)
		if len(p.got) > 2 {
			t.Errorf("there were %d mails: %q", len(p.got), p.subjects())
		}
		var text strings.Builder
		for _, m := range p.got {
			text.WriteString(m.body)
		}
		for n := range 500 {
			if !strings.Contains(text.String(), fmt.Sprintf("TCP host-%03d:80 ", n)) {
				t.Fatalf("target %d is in no mail", n)
			}
		}
	})
}

func TestServerAwayTenMinutesMakesOneMailOfDownAndUp(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.judge(func(envelope) verdict { return postponed })
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(7 * time.Minute)
		see(h, "host:1", true)
		time.Sleep(3 * time.Minute)
		if m := h.Metrics(); m.OldestPending < 3*time.Minute || m.Channels[0].Pending != 1 || m.Channels[0].Retried < 3 || m.Channels[0].Sent != 0 {
			t.Errorf("while the server is away the numbers are %+v", m)
		}
		p.judge(nil)
		time.Sleep(10 * time.Minute)
		closeHook(t, h)
		p.want("TCP host:1 was down for 7m0s")
	})
}

func TestRestartInAnIncidentSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(time.Minute)
		for range 5 {
			closeHook(t, h)
			time.Sleep(time.Minute)
			h = openHook(t, dir, settings(p))
			see(h, "host:1", false)
			time.Sleep(time.Minute)
		}
		p.want("TCP host:1 is down")
		closeHook(t, h)
		time.Sleep(time.Hour)
		h = openHook(t, dir, settings(p)) // it came up while nobody looked
		see(h, "host:1", true)
		time.Sleep(time.Minute)
		see(h, "host:1", true)
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("TCP host:1 is down", "TCP host:1 is up again")
		if up, down := p.got[1].header.Get("In-Reply-To"), p.got[0].header.Get("Message-Id"); up != down {
			t.Errorf("after the restarts UP answers %s, DOWN was %s", up, down)
		}
	})
}

func TestCountsSurviveARestart(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		third := func(c *Config) { c.policy.downAfter = 3 }
		h := openHook(t, dir, settings(p, third))
		see(h, "host:1", false)
		time.Sleep(time.Second)
		see(h, "host:1", false)
		closeHook(t, h)
		h = openHook(t, dir, settings(p, third))
		see(h, "host:1", false)
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("TCP host:1 is down")
	})
}

func TestReloadKeepsIncidents(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(time.Minute)
		more := settings(p, func(c *Config) { c.email.to = []Address{"ops@example.com", "new@example.com"} })
		if err := h.Apply(t.Context(), more); err != nil {
			t.Fatal(err)
		}
		see(h, "host:1", false)
		time.Sleep(time.Minute)
		// Who joins in the middle learns of it at once: it may be the right spelling of who could not be told.
		p.want("TCP host:1 is down", "TCP host:1 is down")
		see(h, "host:1", true)
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("TCP host:1 is down", "TCP host:1 is down", "TCP host:1 is up again", "TCP host:1 is up again")
		if to := []Address{"ops@example.com", "new@example.com", "new@example.com", "ops@example.com"}; !slices.Equal(p.to, to) {
			t.Errorf("mails went to %v, want %v", p.to, to)
		}
	})
}

func TestReloadCanEndAndBeginTheWatching(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, nil)
		see(h, "host:1", false)
		if m := h.Metrics(); len(m.Channels) != 0 {
			t.Errorf("without a configuration the numbers are %+v", m)
		}
		for _, c := range []*Config{settings(p), nil, settings(p)} {
			if err := h.Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			see(h, "host:1", false)
			time.Sleep(time.Minute)
		}
		closeHook(t, h)
		p.want("TCP host:1 is down")
	})
}

func TestDownThatIsRefusedIsNotTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.judge(func(envelope) verdict { return refused })
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(time.Hour)
		if n := p.attempts(); n != 1 {
			t.Errorf("a refused mail was tried %d times", n)
		}
		if m := h.Metrics(); m.Channels[0].Refused != 1 || m.Channels[0].Pending != 0 {
			t.Errorf("the numbers are %+v", m)
		}
		p.judge(nil)
		see(h, "host:1", true)
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("TCP host:1 was down for 1h0m")
	})
}

func TestOneRecipientDoesNotHoldBackAnother(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.judge(func(e envelope) verdict {
			return map[Address]verdict{"gone@example.com": refused, "grey@example.com": postponed, "ops@example.com": delivered}[e.to]
		})
		h := openHook(t, dir, settings(p, func(c *Config) {
			c.email.to = []Address{"gone@example.com", "grey@example.com", "ops@example.com"}
		}))
		see(h, "host:1", false)
		time.Sleep(time.Hour)
		p.judge(nil)
		time.Sleep(10 * time.Minute)
		closeHook(t, h)
		if want := []Address{"ops@example.com", "grey@example.com"}; !slices.Equal(p.to, want) {
			t.Errorf("mails went to %v, want %v", p.to, want)
		}
	})
}

func TestMailInDoubtIsRepeatedUnderTheSameMessageID(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.judge(func(envelope) verdict { return inDoubt })
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(time.Minute)
		closeHook(t, h)
		h = openHook(t, dir, settings(p)) // also after a restart
		p.judge(nil)
		see(h, "host:1", true)
		time.Sleep(10 * time.Minute)
		closeHook(t, h)
		n := len(p.got)
		if n < 3 {
			t.Fatalf("mails %q", p.subjects())
		}
		for _, m := range p.got[:n-1] {
			if m.header.Get("Message-Id") != p.got[0].header.Get("Message-Id") || m.subject != p.got[0].subject || m.body != p.got[0].body {
				t.Errorf("a repetition differs: %q", m.subject)
			}
		}
		if last := p.got[n-1]; !strings.HasSuffix(last.subject, "is up again") || last.header.Get("In-Reply-To") != p.got[0].header.Get("Message-Id") {
			t.Errorf("then came %q", last.subject)
		}
	})
}
