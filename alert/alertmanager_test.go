package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/probe"
)

// alertmanagers are stand-ins for any number of them, by URL, that keep what they accept.
type alertmanagers struct {
	mu      sync.Mutex
	status  map[string]int // by URL; 0: 200, negative: no answer at all
	posts   map[string]int
	alerts  map[string]map[string]postable // URL → target → the latest
	history map[string][]postable
}

func (a *alertmanagers) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	url := r.URL.String()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.posts[url]++
	status := a.status[url]
	if status < 0 {
		return nil, errors.New("connection refused")
	}
	if status == 0 {
		status = 200
		var posted []postable
		if err := json.Unmarshal(body, &posted); err != nil {
			return nil, err
		}
		if a.alerts[url] == nil {
			a.alerts[url] = make(map[string]postable)
		}
		for _, p := range posted {
			a.alerts[url][p.Labels["target"]] = p
			a.history[url] = append(a.history[url], p)
		}
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: io.NopCloser(strings.NewReader("\x1b[31mno")), Request: r}, nil
}

func (a *alertmanagers) answer(url string, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status[url] = status
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

// toAlertmanagers is a configuration that posts and mails nothing.
func toAlertmanagers() (*Config, *alertmanagers) {
	a := &alertmanagers{status: make(map[string]int), posts: make(map[string]int), alerts: make(map[string]map[string]postable), history: make(map[string][]postable)}
	c := settings(nil)
	c.email = nil
	c.alertmanager = &alertmanagerConfig{
		urls: []string{am1, am2}, client: &http.Client{Transport: a}, timeout: postTimeout,
		labels: map[string]string{"severity": "page", "target": "never"},
	}
	return c, a
}

func TestAlertFiresUntilTheTargetIsUp(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, _ *postman) {
		c, a := toAlertmanagers()
		watching("host:1")(c)
		h := openHook(t, dir, c)
		begin := time.Now()
		rec := probe.Record{Module: "tcp_connect", Prober: "tcp", Target: "host:1", Scheduled: true, Labels: map[string]string{"team": "x"}, Result: *resultAt(begin, false)}
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
		see(h, "host:1", true)
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

func TestAlertmanagerThatIsAwayHoldsBackNobody(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, _ *postman) {
		c, a := toAlertmanagers()
		h := openHook(t, dir, c)
		for _, status := range []int{-1, 500, 503, 429, 401, 404} {
			a.answer(am2, status)
			target := fmt.Sprintf("host:%d", 1000+status)
			see(h, target, false)
			time.Sleep(10 * time.Second)
			if _, ok := a.latest(am1, target); !ok {
				t.Errorf("status %d: the other one does not have the alert", status)
			}
			see(h, target, true)
			time.Sleep(10 * time.Second)
			// Over a restart, too, the end is not forgotten.
			closeHook(t, h)
			h = openHook(t, dir, c)
			a.answer(am2, 0)
			time.Sleep(10 * time.Minute)
			if p, ok := a.latest(am2, target); !ok || p.EndsAt.After(time.Now()) {
				t.Errorf("status %d: once it is back it has %+v", status, p)
			}
			if m := h.Metrics(); m.Channels[0].Pending != 0 {
				t.Errorf("status %d: %d are pending", status, m.Channels[0].Pending)
			}
		}
		closeHook(t, h)
	})
}

func TestAlertThatIsRefusedIsNotRetried(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, _ *postman) {
		c, a := toAlertmanagers()
		a.answer(am1, 400)
		h := openHook(t, dir, c)
		see(h, "host:1", false)
		time.Sleep(50 * time.Second)
		if a.postsTo(am1) != 1 {
			t.Errorf("it was posted %d times", a.postsTo(am1))
		}
		if m := h.Metrics(); m.Channels[0].Refused != 1 || m.Channels[0].Pending != 0 {
			t.Errorf("the numbers are %+v", m)
		}
		closeHook(t, h)
	})
}

func TestFlickerWhileAPostIsUnderWayIsNotLost(t *testing.T) {
	d := newDestination(channelAlertmanager, am1)
	down, up := story("host:1", 0)
	d.add(wentDown, down, false, epoch)
	if err := d.seal(func([]*item, excess) (*parcel, error) { return new(parcel), nil }); err != nil {
		t.Fatal(err)
	}
	d.add(cameUp, up, false, epoch)
	d.settle(delivered, 0, epoch)
	if len(d.items) != 1 || !d.items[0].Up {
		t.Errorf("the end is gone: %+v", d.items)
	}
}

func TestManyAlertsGoInParts(t *testing.T) {
	_, a := toAlertmanagers()
	c := alertmanagerConfig{client: &http.Client{Transport: a}, timeout: postTimeout}
	var alerts []postable
	for n := range 3*maxAlertsPerPost - 1 {
		alerts = append(alerts, postable{Labels: map[string]string{"target": fmt.Sprint(n)}})
	}
	if r := c.post(t.Context(), am1, alerts); r.verdict != delivered || a.postsTo(am1) != 3 || len(a.alerts[am1]) != len(alerts) {
		t.Errorf("verdict %v (%v), %d posts, %d alerts", r.verdict, r.err, a.postsTo(am1), len(a.alerts[am1]))
	}
}

// TestAlertmanagerRepliesAreBounded: one that hangs ends with its time limit, one that never stops talking is not
// read to the end, and what it says is no danger to a terminal.
func TestAlertmanagerRepliesAreBounded(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hangs":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/talks":
			w.WriteHeader(http.StatusBadRequest)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("\x1b[2Jgarbage ", 1000)); err != nil {
					return
				}
			}
		case "/redirects":
			http.Redirect(w, r, "/ok", http.StatusFound)
		}
	}))
	defer server.Close()
	defer close(release)
	o := &AlertmanagerOptions{URLs: []string{server.URL}}
	c, err := o.compile()
	if err != nil {
		t.Fatal(err)
	}
	c.timeout = time.Second
	for path, want := range map[string]verdict{"/hangs": postponed, "/talks": refused, "/ok": delivered, "/redirects": postponed} {
		begin := time.Now()
		r := c.post(context.Background(), server.URL+path, []postable{{}})
		if r.verdict != want || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: verdict %v (%v) after %v, want %v", path, r.verdict, r.err, time.Since(begin), want)
		}
		if r.err != nil && (strings.Contains(r.err.Error(), "\x1b") || len(r.err.Error()) > 1000) {
			t.Errorf("%s: the error is %q", path, r.err)
		}
	}
}

// TestClockSetBackMakesNoAlertThatIsRefused: Alertmanager takes none that ends before it starts, and keeps one firing that
// ends in the future.
func TestClockSetBackMakesNoAlertThatIsRefused(t *testing.T) {
	c := new(alertmanagerConfig)
	now := epoch
	down, up := story("host:1", 1) // an hour from now
	left := *up
	left.Unwatched = "it left the configuration"
	for _, i := range []*incident{down, up, &left} {
		p := c.postable(head, i, now)
		if p.StartsAt.After(now) || p.EndsAt.Before(p.StartsAt) || p.EndsAt.After(now) != (i == down) {
			t.Errorf("now is %v, and the alert is from %v to %v", now, p.StartsAt, p.EndsAt)
		}
	}
}
