package alertmanager

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// story is one incident of a target: its beginning and its end.
func story(target string, n int) (down, up *incident.Incident) {
	since := epoch.Add(time.Duration(n) * time.Hour)
	down = &incident.Incident{ID: probe.Key{Module: "m", Target: target}.IncidentID(since), Subject: incident.Subject{Key: probe.Key{Module: "m", Target: target}, Prober: "tcp"}, Since: since, Reason: "connection_refused", Stage: "connect"}
	ended := *down
	ended.Until, ended.Lasted = since.Add(7*time.Minute), 7*time.Minute
	return down, &ended
}

// posts is an Alertmanager that takes at most so many alerts, and no more bytes than that, in one post.
func posts(t *testing.T, most, bytes int) (p *Poster, url string, got *[][]alert) {
	t.Helper()
	got = new([][]alert)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var alerts []alert
		if err == nil {
			err = json.Unmarshal(body, &alerts)
		}
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		case len(alerts) > most || len(body) > bytes:
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		default:
			*got = append(*got, alerts)
		}
	}))
	t.Cleanup(server.Close)
	return &Poster{client: server.Client(), timeout: 10 * time.Second}, server.URL, got
}

func many(n, size int) *outbox.Message {
	m := new(outbox.Message)
	for i := range n {
		part, _ := json.Marshal(alert{Labels: map[string]string{"target": fmt.Sprint(i), "pad": strings.Repeat("x", size)}})
		m.Parts = append(m.Parts, part)
	}
	return m
}

func TestManyAlertsGoInParts(t *testing.T) {
	for name, c := range map[string]struct{ alerts, size, most, bytes, wantPosts int }{
		"by number":                    {4*maxAlerts - 1, 1, maxAlerts, maxBytes, 4},
		"by size":                      {10, maxBytes / 4, maxAlerts, maxBytes + 1000, 4},
		"halved where it is too large": {400, 1, 100, maxBytes, 4},
	} {
		p, url, got := posts(t, c.most, c.bytes)
		o := p.Deliver(t.Context(), url, many(c.alerts, c.size))
		seen := make(map[string]bool)
		for _, post := range *got {
			for _, a := range post {
				seen[a.Labels["target"]] = true
			}
		}
		if o.Verdict != outbox.Delivered || len(*got) != c.wantPosts || len(seen) != c.alerts {
			t.Errorf("%s: %s (%v), %d posts, %d alerts", name, o.Verdict.Name(), o.Err, len(*got), len(seen))
		}
	}
	p, url, got := posts(t, maxAlerts, 1000)
	m := many(3, 1)
	m.Parts = append(m.Parts, many(1, 2000).Parts...)
	if o := p.Deliver(t.Context(), url, m); o.Verdict != outbox.Rejected || len(*got) == 0 {
		t.Errorf("one alert that is too large: %s (%v) after %d posts; want it given up and the others posted", o.Verdict.Name(), o.Err, len(*got))
	}
}

// TestStatusIsJudged: what judges the configuration or the hour is tried again, what judges the alerts is not.
func TestStatusIsJudged(t *testing.T) {
	for code, want := range map[int]outbox.Verdict{
		200: outbox.Delivered, 202: outbox.Delivered, 400: outbox.Rejected, 422: outbox.Rejected, 401: outbox.Postponed, 403: outbox.Postponed,
		404: outbox.Postponed, 408: outbox.Postponed, 429: outbox.Postponed, 500: outbox.Postponed, 503: outbox.Postponed,
	} {
		p := &Poster{timeout: time.Second, client: &http.Client{Transport: answer(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: code, Status: fmt.Sprint(code), Body: io.NopCloser(strings.NewReader("no")), Header: http.Header{}, Request: r}
		})}}
		if o := p.Deliver(t.Context(), "http://one:9093/api/v2/alerts", many(1, 1)); o.Verdict != want {
			t.Errorf("%d: %s (%v)", code, o.Verdict.Name(), o.Err)
		}
	}
}

// TestAlertsAreKeptApart: long targets that begin alike are two alerts.
func TestAlertsAreKeptApart(t *testing.T) {
	p := new(Poster)
	base := "https://example.com/" + strings.Repeat("é", 300)
	a, _ := story(base+"1", 0)
	b, _ := story(base+"2", 0)
	c, _ := story("host:1", 0)
	c.Hostname = "h"
	la, lb, lc := p.alertOf(a, "", epoch).Labels, p.alertOf(b, "", epoch).Labels, p.alertOf(c, "", epoch).Labels
	if la["target"] == lb["target"] || len(la["target"]) > maxTarget || !strings.HasPrefix(la["target"], "https://example.com/é") {
		t.Errorf("the targets are %q and %q", la["target"], lb["target"])
	}
	if lc["target"] != "host:1" || lc["hostname"] != "h" {
		t.Errorf("the labels are %v", lc)
	}
}

func TestLatestOutageOfATargetIsPosted(t *testing.T) {
	_, first := story("host:1", 0)
	second, _ := story("host:1", 1)
	n := &outbox.Notification{Key: first.Key, Outages: []outbox.Outage{{Incident: first, Up: true}, {Incident: second, Down: true}}}
	other, _ := story("host:2", 0)
	m, err := new(Poster).Compose("", &outbox.Digest{Notifications: []*outbox.Notification{n}, Open: []*incident.Incident{second, other}, At: epoch.Add(2 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Parts) != 2 || len(m.Says) != 2 || !strings.Contains(string(m.Parts[0]), `"startsAt":"2026-03-01T13:00:00Z","endsAt":"2026-03-01T14:04:00Z"`) || !strings.Contains(string(m.Parts[1]), "host:2") {
		t.Errorf("it posts %q", m.Parts)
	}
	if m.ID != "" {
		t.Error("a post has threads to keep")
	}
}

// TestAnnotationsSayWhatIsKnown: that a target flaps, and "is up again" only of one that was seen up. generatorURL is the
// page of a configured target's incident.
func TestAnnotationsSayWhatIsKnown(t *testing.T) {
	down, up := story("host:1", 0)
	flapping, left := *down, *up
	flapping.Scheduled = true
	flapping.Flaps = &incident.Flaps{Outages: 3, Since: epoch.Add(-6 * time.Minute), Latest: epoch, Down: 2 * time.Minute}
	left.Unwatched = "it left the configuration"
	for want, i := range map[string]*incident.Incident{
		"TCP host:1 is down":                           down,
		"TCP host:1 is up again":                       up,
		"TCP host:1 is no longer reported":             &left,
		"TCP host:1 flaps: 3 outages in 6m, 33 % down": &flapping,
	} {
		a := new(Poster).alertOf(i, "https://probe.example.com", epoch)
		if !strings.HasSuffix(a.Annotations["summary"], ": "+want) {
			t.Errorf("the summary is %q, want %q", a.Annotations["summary"], want)
		}
		page := "https://probe.example.com/logs?module=m&target=host%3A1"
		if i.Scheduled {
			page = "https://probe.example.com/incident/" + i.ID
		}
		if a.GeneratorURL != page {
			t.Errorf("generatorURL is %s, want %s", a.GeneratorURL, page)
		}
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
	p, _, err := New(&Options{URLs: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	p.timeout = time.Second
	for path, want := range map[string]outbox.Verdict{"/hangs": outbox.Postponed, "/talks": outbox.Rejected, "/ok": outbox.Delivered, "/redirects": outbox.Postponed} {
		begin := time.Now()
		o := p.Deliver(context.Background(), server.URL+path, many(1, 1))
		if o.Verdict != want || time.Since(begin) > 15*time.Second {
			t.Errorf("%s: %s (%v) after %v", path, o.Verdict.Name(), o.Err, time.Since(begin))
		}
		if o.Err != nil && (strings.Contains(o.Err.Error(), "\x1b") || len(o.Err.Error()) > 1000) {
			t.Errorf("%s: the error is %q", path, o.Err)
		}
	}
}

// TestClockSetBackMakesNoAlertThatIsRefused: Alertmanager takes none that ends before it starts, and keeps one firing that
// ends in the future.
func TestClockSetBackMakesNoAlertThatIsRefused(t *testing.T) {
	p := new(Poster)
	now := epoch
	down, up := story("host:1", 1) // an hour from now
	left := *up
	left.Unwatched = "it left the configuration"
	for _, i := range []*incident.Incident{down, up, &left} {
		a := p.alertOf(i, "", now)
		if a.StartsAt.After(now) || a.EndsAt.Before(a.StartsAt) || a.EndsAt.After(now) != (i == down) {
			t.Errorf("now is %v, and the alert is from %v to %v", now, a.StartsAt, a.EndsAt)
		}
	}
}

// FuzzAlertmanagerReply: whatever an Alertmanager answers, there is a verdict, and an error that is fit for a log
// unless it accepted.
func FuzzAlertmanagerReply(f *testing.F) {
	f.Add(200, "200 OK", "{}")
	f.Add(400, "400 Bad\x1b[2J", "\x00\xff")
	f.Add(413, "413", "")
	f.Add(0, "", "")
	f.Add(503, "", strings.Repeat("x", 10000))
	f.Fuzz(func(t *testing.T, code int, status, body string) {
		p := &Poster{timeout: time.Second, client: &http.Client{Transport: answer(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: code, Status: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}
		})}}
		o := p.Deliver(t.Context(), "http://one:9093/api/v2/alerts", many(2, 1))
		if (o.Verdict == outbox.Delivered) != (code/100 == 2) || (o.Err == nil) != (o.Verdict == outbox.Delivered) {
			t.Errorf("code %d: %s, error %v", code, o.Verdict.Name(), o.Err)
		}
		if o.Err != nil && (len(o.Err.Error()) > 2*maxAnswer || strings.IndexFunc(o.Err.Error(), incident.IsControl) >= 0) {
			t.Errorf("the error is %q", o.Err)
		}
	})
}

// TestMissingPasswordFileIsNamed: without it nothing can be posted, and the log says why.
func TestMissingPasswordFileIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	p, urls, err := New(&Options{URLs: []string{"http://127.0.0.1:1"}, BasicAuth: &config.BasicAuth{Username: "alice", PasswordFile: file}})
	if err != nil {
		t.Fatal(err)
	}
	if o := p.Deliver(t.Context(), urls[0], many(1, 1)); o.Verdict != outbox.Postponed || o.Err == nil || !strings.Contains(o.Err.Error(), file) {
		t.Errorf("%s: %v", o.Verdict.Name(), o.Err)
	}
}

type answer func(*http.Request) *http.Response

func (f answer) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// TestAnswersLoseThePassword has servers that repeat it, in answers and in what is none.
func TestAnswersLoseThePassword(t *testing.T) {
	for _, says := range []string{"HTTP/1.1 401 %s\r\nContent-Length: 99\r\n\r\n%s", "HTTP/1.1 %s\r\n\r\n", "HTTP/1.1 500 no\r\nContent-Length: %s\r\n\r\n", "%s\r\n\r\n"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.Copy(io.Discard, r.Body)
				basic := r.Header.Get("Authorization")
				fmt.Fprintf(c, strings.ReplaceAll(says, "%s", "%[1]s canary-password"), basic)
			}
		}()
		p, urls, err := New(&Options{URLs: []string{"http://" + l.Addr().String()}, BasicAuth: &config.BasicAuth{Username: "alice", Password: "canary-password"}})
		if err != nil {
			t.Fatal(err)
		}
		o := p.Deliver(t.Context(), urls[0], many(1, 1))
		if basic := base64.StdEncoding.EncodeToString([]byte("alice:canary-password")); o.Err == nil || strings.Contains(o.Err.Error(), "canary") || strings.Contains(o.Err.Error(), basic) {
			t.Errorf("%q: %v", says, o.Err)
		}
		l.Close()
		<-done
	}
}
