package alert

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/probe"
)

// postman is a mailer whose other end is in the test.
type postman struct {
	mu      sync.Mutex
	verdict func(e envelope) verdict // nil: delivered
	takes   time.Duration
	tries   int
	got     []parsed // delivered, in order
	to      []Address
	t       *testing.T
}

func (p *postman) deliver(ctx context.Context, envelopes []envelope) []result {
	p.mu.Lock()
	takes, judge := p.takes, p.verdict
	p.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return all(envelopes, result{inDoubt, ctx.Err()})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var results []result
	for _, e := range envelopes {
		p.tries++
		r := result{verdict: delivered}
		if judge != nil {
			if r.verdict = judge(e); r.verdict != delivered {
				r.err = errors.New("not today")
			}
		}
		if r.verdict == delivered || r.verdict == inDoubt {
			p.got = append(p.got, parse(p.t, e.data))
			p.to = append(p.to, e.to)
		}
		results = append(results, r)
	}
	return results
}

func (p *postman) judge(f func(e envelope) verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verdict = f
}

func (p *postman) attempts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tries
}

// subjects are those of the delivered mails, without their times.
func (p *postman) subjects() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, m := range p.got {
		all = append(all, regexp.MustCompile(`^.{24}: `).ReplaceAllString(m.subject, ""))
	}
	return all
}

func (p *postman) want(want ...string) {
	p.t.Helper()
	if got := p.subjects(); !slices.Equal(got, want) {
		p.t.Errorf("mails %q, want %q", got, want)
	}
}

// settings is a configuration whose mails p gets.
func settings(p *postman, change ...func(*Config)) *Config {
	c := &Config{
		policy: policy{downAfter: 1, upAfter: 1}, probeRequests: true,
		groupWait: 10 * time.Second, groupInterval: time.Minute, maxMailsPerHour: 60,
		host:  "probe.example.com",
		email: &emailConfig{to: []Address{"ops@example.com"}, from: "rollcall@example.com", mailer: p},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// openHook makes a hook with the store in dir that ends with the test, unless it is closed before.
func openHook(t *testing.T, dir string, c *Config) *Hook {
	t.Helper()
	h := NewHook(HookOptions{StoragePath: dir, Logger: slog.New(slog.DiscardHandler)})
	if err := h.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return h
}

func closeHook(t *testing.T, h *Hook) {
	t.Helper()
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// see shows the hook one result of a target that began now.
func see(h *Hook, target string, up bool) {
	h.Observe(probe.Record{Module: "tcp_connect", Prober: "tcp", Target: target, Result: *resultAt(time.Now(), up)})
}

// bubble runs f with a fake clock and a directory.
func bubble(t *testing.T, f func(t *testing.T, dir string, p *postman)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { f(t, dir, &postman{t: t}) })
}
