package alert

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/alert/outbox"
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

// TestStormIsTwoMails that can be read, and the last one says the whole.
func TestStormIsTwoMails(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		for n := range 500 {
			see(h, fmt.Sprintf("host-%03d:80", n), false)
			time.Sleep(30 * time.Second / 500)
		}
		time.Sleep(10 * time.Minute)
		if m := h.Stats(); m.Channels[0].Pending != 0 {
			t.Errorf("the numbers are %+v", m)
		}
		closeHook(t, h)
		if len(p.got) != 2 {
			t.Fatalf("there were %d mails: %q", len(p.got), p.subjects())
		}
		if last := p.got[1]; !strings.HasSuffix(last.subject, " servers are down (500 in all)") || !strings.Contains(last.body, "\nNow 500 of 500 watched are down: 500 connection refused.\n") {
			t.Errorf("the last one is\n%s\n%s", last.subject, last.body)
		}
		for _, m := range p.got {
			if lines := strings.Count(m.body, "\n"); lines > 200 {
				t.Errorf("a mail has %d lines", lines)
			}
		}
	})
}

func TestServerAwayTenMinutesMakesOneMailOfDownAndUp(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.judge(always(outbox.Postponed))
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(7 * time.Minute)
		see(h, "host:1", true)
		time.Sleep(3 * time.Minute)
		if m := h.Stats(); m.OldestPending < 3*time.Minute || m.Channels[0].Pending != 1 || m.Channels[0].Attempts["retried"] < 3 || m.Channels[0].Attempts["sent"] != 0 {
			t.Errorf("while the server is away the numbers are %+v", m)
		}
		p.judge(nil)
		time.Sleep(10 * time.Minute)
		closeHook(t, h)
		p.want("TCP host:1 was down for 7m")
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
		h = openHook(t, dir, settings(p)) // it came up while rollcall was off
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
		third := func(c *Config) { c.policy.DownAfter = 3 }
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
		more := settings(p, recipients("ops@example.com", "new@example.com"))
		if err := h.Apply(t.Context(), more); err != nil {
			t.Fatal(err)
		}
		see(h, "host:1", false)
		time.Sleep(time.Minute)
		// A recipient that is added during an incident gets its DOWN at once: it may correct an address that was refused.
		p.want("TCP host:1 is down", "TCP host:1 is down")
		see(h, "host:1", true)
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("TCP host:1 is down", "TCP host:1 is down", "TCP host:1 is up again", "TCP host:1 is up again")
		slices.Sort(p.to)
		if to := []string{"new@example.com", "new@example.com", "ops@example.com", "ops@example.com"}; !slices.Equal(p.to, to) {
			t.Errorf("mails went to %v, want %v", p.to, to)
		}
	})
}

func TestReloadCanEndAndBeginTheWatching(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, nil)
		see(h, "host:1", false)
		if m := h.Stats(); len(m.Channels) != 0 {
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

// TestRefusedMailStaysOwed: whatever was refused stays owed, and is sent again ever more rarely, at once after a
// reload or a restart, and with the next news.
func TestRefusedMailStaysOwed(t *testing.T) {
	for name, mend := range map[string]func(t *testing.T, h *Hook, dir string, p *postman) *Hook{
		"a day": func(t *testing.T, h *Hook, dir string, p *postman) *Hook {
			for range 24 * 4 { // the target is probed, and stays down
				see(h, "host:1", false)
				time.Sleep(15 * time.Minute)
			}
			return h
		},
		"a reload": func(t *testing.T, h *Hook, dir string, p *postman) *Hook {
			if err := h.Apply(t.Context(), settings(p)); err != nil {
				t.Fatal(err)
			}
			return h
		},
		"a restart": func(t *testing.T, h *Hook, dir string, p *postman) *Hook { return again(t, h, dir, settings(p)) },
		"news": func(t *testing.T, h *Hook, dir string, p *postman) *Hook {
			see(h, "host:2", false)
			time.Sleep(5 * time.Minute)
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, dir string, p *postman) {
				p.judge(always(outbox.Refused))
				h := openHook(t, dir, settings(p))
				see(h, "host:1", false)
				time.Sleep(12 * time.Hour)
				if n := p.attempts(); n < 5 || n > 20 {
					t.Errorf("in twelve hours it was tried %d times", n)
				}
				if m := h.Stats(); m.Channels[0].Refusing != 1 || m.Channels[0].Pending != 1 || m.OldestPending < 11*time.Hour {
					t.Errorf("the numbers are %+v", m)
				}
				p.judge(nil)
				h = mend(t, h, dir, p)
				time.Sleep(2 * time.Second)
				if name == "news" {
					p.want("2 servers are down")
				} else {
					p.want("TCP host:1 is down")
				}
				if m := h.Stats(); m.Channels[0].Refusing != 0 || m.Channels[0].Pending != 0 {
					t.Errorf("afterwards the numbers are %+v", m)
				}
				closeHook(t, h)
			})
		})
	}
}

// TestRecipientThatDoesNotExistIsGivenUpLoudly: its address is asked for once a day, metrics say so, and a reload begins
// anew with what is down then.
func TestRecipientThatDoesNotExistIsGivenUpLoudly(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.judge(always(outbox.NoRecipient))
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(time.Hour)
		see(h, "host:2", false)
		time.Sleep(9 * time.Hour)
		if n := p.attempts(); n != 1 {
			t.Errorf("there were %d attempts", n)
		}
		if m := h.Stats(); m.Channels[0].Refusing != 1 || m.Channels[0].Attempts["refused"] != 1 {
			t.Errorf("the numbers are %+v", m)
		}
		p.judge(nil)
		if err := h.Apply(t.Context(), settings(p)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("2 servers are down")
	})
}

func TestOneRecipientDoesNotHoldBackAnother(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.judge(func(to string) outbox.Verdict {
			return map[string]outbox.Verdict{"gone@example.com": outbox.NoRecipient, "grey@example.com": outbox.Postponed, "ops@example.com": outbox.Delivered}[to]
		})
		h := openHook(t, dir, settings(p, recipients("gone@example.com", "grey@example.com", "ops@example.com")))
		see(h, "host:1", false)
		time.Sleep(time.Hour)
		p.judge(nil)
		time.Sleep(10 * time.Minute)
		closeHook(t, h)
		if want := []string{"ops@example.com", "grey@example.com"}; !slices.Equal(p.to, want) {
			t.Errorf("mails went to %v, want %v", p.to, want)
		}
	})
}

// clumsy is a postman that cannot compose.
type clumsy struct {
	*postman
	asked int
}

func (c *clumsy) Compose(string, *outbox.Digest) (*outbox.Message, error) {
	c.asked++
	return nil, errors.New("out of ink")
}

func TestMessageThatCannotBeComposedIsTriedRarely(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		c := &clumsy{postman: p}
		h := openHook(t, dir, settings(p, func(s *Config) { s.channels[0].notifier = c }))
		see(h, "host:1", false)
		time.Sleep(time.Hour)
		closeHook(t, h)
		if c.asked < 2 || c.asked > 13 {
			t.Errorf("it was tried %d times in an hour", c.asked)
		}
	})
}

// TestSlowRecipientHoldsUpNoOther: a server answers the final dot of one recipient's mail after nine minutes.
func TestSlowRecipientHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.takes, p.slow = 9*time.Minute, "slow@example.com"
		h := openHook(t, dir, settings(p, recipients("slow@example.com", "ops@example.com")))
		see(h, "host:1", false)
		time.Sleep(12 * time.Second)
		see(h, "host:1", true)
		time.Sleep(2 * time.Minute)
		p.want("TCP host:1 is down", "TCP host:1 is up again")
		time.Sleep(time.Hour)
		closeHook(t, h)
		if want := []string{"ops@example.com", "ops@example.com", "slow@example.com", "slow@example.com"}; !slices.Equal(p.to, want) {
			t.Errorf("mails went to %v, want %v", p.to, want)
		}
	})
}

func TestMailInDoubtIsRepeatedUnderTheSameMessageID(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.judge(always(outbox.InDoubt))
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
