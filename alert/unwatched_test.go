package alert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/alert/outbox"
	"rollcall/probe"
)

// TestTargetThatLeavesTheConfigurationWhileItIsDown: no result was up, so no mail says that it is; but no more results
// come either, and its incident does not go on.
func TestTargetThatLeavesTheConfigurationWhileItIsDown(t *testing.T) {
	const left = "TCP db:5432 is no longer reported"
	for _, c := range []struct {
		name     string
		restart  bool
		requests bool
		before   func(h *Hook) // the reload
		within   time.Duration // in which the end is reported
		after    func(h *Hook)
		want     string // mails after DOWN
	}{
		{name: "by a reload", requests: true, within: time.Second, want: left},
		{name: "by a reload, and /probe is not watched", within: time.Second, want: left},
		// Who asked for it is not known after a restart, so it takes the time in which that would show.
		{name: "by a restart", restart: true, requests: true, within: 7 * time.Minute, want: left},
		{name: "by a restart, and /probe is not watched", restart: true, within: time.Second, want: left},
		{name: "/probe had asked for it a moment ago", requests: true, before: func(h *Hook) { see(h, "db:5432", false) }, within: 7 * time.Minute, want: left},
		{name: "/probe goes on asking for it", requests: true, before: func(h *Hook) { see(h, "db:5432", false) }, after: asking(time.Minute),
			want: "TCP db:5432 is up again"},
		{name: "/probe goes on asking for it, over a restart", restart: true, requests: true, after: asking(time.Minute),
			want: "TCP db:5432 is up again"},
		{name: "/probe asks for it now and then", requests: true, before: func(h *Hook) { see(h, "db:5432", false) }, after: asking(4 * time.Minute),
			want: "TCP db:5432 is up again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, dir string, p *postman) {
				a := newAlertmanagers()
				with := func(change func(*Config)) *Config {
					s := settings(p, change)
					atOnce(s)
					s.probeRequests = c.requests
					s.channels = append(s.channels, posting(a))
					return s
				}
				h := openHook(t, dir, with(watching("db:5432", "web:80")))
				scheduled(h, "db:5432", false)
				scheduled(h, "web:80", true)
				time.Sleep(20 * time.Minute)
				if c.before != nil {
					c.before(h)
				}
				now := with(watching("other:1"))
				if c.restart {
					closeHook(t, h)
					h = openHook(t, dir, now)
				} else if err := h.Apply(t.Context(), now); err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				// The probe that was under way when the target left is no news of it.
				scheduled(h, "db:5432", false)
				if c.after != nil {
					c.after(h)
				} else {
					time.Sleep(c.within)
					ended, ok := a.latest(am1, "db:5432")
					if !ok || ended.EndsAt.After(time.Now()) || ended.EndsAt.Before(begin) || !strings.HasSuffix(ended.Annotations["summary"], left) {
						t.Errorf("Alertmanager has %+v", ended)
					}
					scheduled(h, "db:5432", false)
				}
				if m := h.Stats(); m.Incidents != 0 {
					t.Errorf("%d incidents are open", m.Incidents)
				}
				time.Sleep(23 * time.Hour)
				p.want("TCP db:5432 is down", c.want)
				if p.got[1].header.Get("In-Reply-To") != p.got[0].header.Get("Message-Id") {
					t.Error("the end does not answer the beginning")
				}
				h = again(t, h, dir, with(watching("db:5432")))
				scheduled(h, "db:5432", false) // as any target that is new
				time.Sleep(time.Minute)
				closeHook(t, h)
				p.want("TCP db:5432 is down", c.want, "TCP db:5432 is down")
			})
		})
	}
}

// asking asks for the target by /probe now and then, until it is up.
func asking(every time.Duration) func(h *Hook) {
	return func(h *Hook) {
		for n := range 10 {
			time.Sleep(every)
			see(h, "db:5432", n == 9)
		}
		time.Sleep(time.Second)
	}
}

// TestTargetThatLeavesBeforeItsDownMail is one mail.
func TestTargetThatLeavesBeforeItsDownMail(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.judge(always(outbox.Postponed))
		h := openHook(t, dir, settings(p, watching("db:5432")))
		down := time.Now()
		scheduled(h, "db:5432", false)
		time.Sleep(time.Hour)
		if err := h.Apply(t.Context(), settings(p)); err != nil {
			t.Fatal(err)
		}
		p.judge(nil)
		time.Sleep(10 * time.Minute)
		closeHook(t, h)
		p.want("TCP db:5432 is no longer reported")
		first := fmt.Sprintf("The server is no longer reported: it left the configuration. It was down since %s.\n", down.Local().Format(time.ANSIC))
		if !strings.Contains(p.got[0].body, first) || strings.Contains(p.got[0].body, "Up since") {
			t.Errorf("the mail says\n%s", p.got[0].body)
		}
	})
}

// TestShortTimeoutOfARequestIsNoDown: it ends the probe of a server that answers others, and begins and ends no incident.
func TestShortTimeoutOfARequestIsNoDown(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		ask := func(limit time.Duration, reason probe.Reason) {
			r := probe.Result{Start: time.Now(), Duration: limit}
			if reason != "" {
				r.Failure = probe.Failf(probe.StageResponse, reason, "x")
			}
			h.Observe(&probe.Record{Module: "tcp_connect", Prober: "tcp", Target: "host:1", Timeout: limit, Result: r})
			time.Sleep(time.Minute)
		}
		want := func(incidents int) {
			t.Helper()
			if m := h.Stats(); m.Incidents != incidents {
				t.Errorf("%d incidents, want %d", m.Incidents, incidents)
			}
		}
		ask(10*time.Second, "")
		ask(10*time.Millisecond, probe.ReasonTimeout)
		want(0)
		ask(6*time.Second, probe.ReasonTimeout)
		want(1)
		ask(10*time.Second, "")
		ask(10*time.Millisecond, probe.ReasonConnectionRefused) // which takes no time
		want(1)
		ask(10*time.Second, "")
		time.Sleep(askedLately)
		ask(10*time.Millisecond, probe.ReasonTimeout) // all others have gone
		want(1)
		closeHook(t, h)
	})
}

// Callers of /probe can end a probe early by a short timeout, or ask under another hostname.
func TestRequestsDoNotChangeConfiguredTargets(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, watching("host:1")))
		scheduled(h, "host:1", true)
		see(h, "host:1", false)
		h.Observe(&probe.Record{Module: "tcp_connect", Prober: "tcp", Target: "host:1", Hostname: "other", Result: *resultAt(time.Now(), false)})
		if m := h.Stats(); m.Incidents != 0 || m.Watched != 1 {
			t.Errorf("after two requests: %+v", m)
		}
		scheduled(h, "host:1", false)
		see(h, "host:1", true)
		if m := h.Stats(); m.Incidents != 1 {
			t.Errorf("a request ended the incident: %+v", m)
		}
		closeHook(t, h)
	})
}
