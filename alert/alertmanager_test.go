package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/alert/alertmanager"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

// postable is an alert as an Alertmanager reads it.
type postable struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
}

// alertmanagers are stand-ins for any number of them, by URL, that keep what they accept.
type alertmanagers struct {
	*alertmanager.Poster
	mu      sync.Mutex
	verdict map[string]outbox.Verdict // by URL; none: delivered
	posts   map[string]int
	alerts  map[string]map[string]postable // URL → target → the latest
}

func (a *alertmanagers) Deliver(_ context.Context, url string, m *outbox.Message) outbox.Outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.posts[url]++
	if v, ok := a.verdict[url]; ok {
		return outbox.Outcome{Verdict: v, Err: errors.New("no")}
	}
	for _, part := range m.Parts {
		var p postable
		if err := json.Unmarshal(part, &p); err != nil {
			return outbox.Outcome{Verdict: outbox.Rejected, Err: err}
		}
		if a.alerts[url] == nil {
			a.alerts[url] = make(map[string]postable)
		}
		a.alerts[url][p.Labels["target"]] = p
	}
	return outbox.Outcome{Verdict: outbox.Delivered}
}

func (a *alertmanagers) answer(url string, v outbox.Verdict) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if delete(a.verdict, url); v != outbox.Delivered {
		a.verdict[url] = v
	}
}

func (a *alertmanagers) latest(url, target string) (postable, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.alerts[url][target]
	return p, ok
}

func (a *alertmanagers) postsTo(url string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.posts[url]
}

const am1, am2 = "http://one:9093/api/v2/alerts", "http://two:9093/api/v2/alerts"

func newAlertmanagers() *alertmanagers {
	p, _, err := alertmanager.New(&alertmanager.Options{Labels: map[string]string{"severity": "page", "target": "never"}})
	if err != nil {
		panic(err)
	}
	return &alertmanagers{
		Poster: p, verdict: make(map[string]outbox.Verdict), posts: make(map[string]int), alerts: make(map[string]map[string]postable),
	}
}

// posting is the channel to both.
func posting(a *alertmanagers) channel {
	return channel{
		name: channelAlertmanager, notifier: a, recipients: []string{am1, am2}, sessions: 2, resend: alertmanager.ResendInterval,
	}
}

// toAlertmanagers is a configuration that posts and mails nothing.
func toAlertmanagers() (*Config, *alertmanagers) {
	a := newAlertmanagers()
	return settings(nil, func(c *Config) { c.channels = []channel{posting(a)} }), a
}

func TestAlertFiresUntilTheTargetIsUp(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, _ *postman) {
		c, a := toAlertmanagers()
		watching("host:1")(c)
		c.targets[probe.Key{Module: "tcp_connect", Target: "host:1"}].Labels = labels.FromStrings("team", "x")
		h := openHook(t, dir, c)
		begin := time.Now()
		rec := &probe.Record{Module: "tcp_connect", Prober: "tcp", Target: "host:1", Scheduled: true, Result: *resultAt(begin, false)}
		h.Observe(rec)
		time.Sleep(time.Second)
		for _, url := range []string{am1, am2} {
			p, ok := a.latest(url, "host:1")
			want := map[string]string{"alertname": "TargetDown", "target": "host:1", "module": "tcp_connect", "team": "x", "severity": "page"}
			if !ok || !maps.Equal(p.Labels, want) || !p.StartsAt.Equal(begin) {
				t.Fatalf("%s has %+v", url, p)
			}
			if s, d := p.Annotations["summary"], p.Annotations["description"]; !strings.HasSuffix(s, ": TCP host:1 is down") || !strings.HasPrefix(d, "Server Monitor: Performed a health-check running a TCP test against host:1. The server is down.\n") {
				t.Errorf("annotations %q, %q", s, d)
			}
		}
		for range 30 {
			time.Sleep(time.Minute)
			if p, _ := a.latest(am1, "host:1"); time.Until(p.EndsAt) < time.Minute {
				t.Fatalf("a firing alert would end in %v", time.Until(p.EndsAt))
			}
		}
		if n := a.postsTo(am1); n < 29 || n > 33 {
			t.Errorf("in half an hour there were %d posts", n)
		}
		scheduled(h, "host:1", true)
		time.Sleep(time.Second)
		if p, _ := a.latest(am2, "host:1"); p.EndsAt.After(time.Now()) || !p.StartsAt.Equal(begin) {
			t.Errorf("after the end there is %+v", p)
		}
		posts := a.postsTo(am1)
		time.Sleep(time.Hour)
		if a.postsTo(am1) != posts {
			t.Error("an alert that ended is posted again and again")
		}
		closeHook(t, h)
	})
}

func TestAlertmanagerThatIsAwayHoldsBackNoOther(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, _ *postman) {
		c, a := toAlertmanagers()
		h := openHook(t, dir, c)
		for n := range 3 {
			a.answer(am2, outbox.Postponed)
			target := fmt.Sprintf("host:%d", n)
			see(h, target, false)
			time.Sleep(10 * time.Second)
			if _, ok := a.latest(am1, target); !ok {
				t.Errorf("outage %d: the other one does not have the alert", n)
			}
			see(h, target, true)
			time.Sleep(10 * time.Second)
			// Over a restart, too, the end is not forgotten.
			closeHook(t, h)
			h = openHook(t, dir, c)
			a.answer(am2, outbox.Delivered)
			time.Sleep(10 * time.Minute)
			if p, ok := a.latest(am2, target); !ok || p.EndsAt.After(time.Now()) {
				t.Errorf("outage %d: once it is back it has %+v", n, p)
			}
			if m := h.Stats(); m.Channels[0].Pending != 0 {
				t.Errorf("outage %d: %d are pending", n, m.Channels[0].Pending)
			}
		}
		closeHook(t, h)
	})
}

func TestAlertThatIsRefusedIsNotRetried(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, _ *postman) {
		c, a := toAlertmanagers()
		a.answer(am1, outbox.Rejected)
		h := openHook(t, dir, c)
		see(h, "host:1", false)
		time.Sleep(50 * time.Second)
		if a.postsTo(am1) != 1 {
			t.Errorf("it was posted %d times", a.postsTo(am1))
		}
		if m := h.Stats(); m.Channels[0].Attempts["refused"] != 1 || m.Channels[0].Pending != 0 {
			t.Errorf("the numbers are %+v", m)
		}
		closeHook(t, h)
	})
}
