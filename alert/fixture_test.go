package alert

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/mail"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

// message is a mail as its reader sees it.
type message struct {
	header  netmail.Header
	subject string
	body    string
}

func parse(t *testing.T, data []byte) message {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("a strict reader refuses the mail: %v\n%s", err, data)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	var text io.Reader = quotedprintable.NewReader(m.Body)
	if m.Header.Get("Content-Transfer-Encoding") == "7bit" {
		text = m.Body
	}
	body, err := io.ReadAll(text)
	if err != nil {
		t.Fatal(err)
	}
	return message{m.Header, subject, strings.ReplaceAll(string(body), "\r\n", "\n")}
}

// postman is a mailer whose other end is in the test.
type postman struct {
	*mail.Mailer
	mu      sync.Mutex
	verdict func(to string) outbox.Verdict // nil: delivered
	takes   time.Duration
	slow    string // the recipient whose mails take that long; empty: all
	tries   int
	got     []message // delivered, in order
	to      []string
	t       *testing.T
}

func newPostman(t *testing.T) *postman {
	return &postman{t: t, Mailer: mail.New(&mail.Options{From: "rollcall@example.com", Sendmail: "/usr/sbin/sendmail"})}
}

func (p *postman) Deliver(ctx context.Context, to string, m *outbox.Message) outbox.Outcome {
	p.mu.Lock()
	takes, judge := p.takes, p.verdict
	if p.slow != "" && to != p.slow {
		takes = 0
	}
	p.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return outbox.Outcome{Verdict: outbox.InDoubt, Err: ctx.Err()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	o := outbox.Outcome{Verdict: outbox.Delivered}
	if judge != nil {
		if o.Verdict = judge(to); o.Verdict != outbox.Delivered {
			o.Err = errors.New("not today")
		}
	}
	if o.Verdict == outbox.Delivered || o.Verdict == outbox.InDoubt {
		p.got = append(p.got, parse(p.t, m.Parts[0]))
		p.to = append(p.to, to)
	}
	return o
}

// always judges every mail alike.
func always(v outbox.Verdict) func(string) outbox.Verdict {
	return func(string) outbox.Verdict { return v }
}

func (p *postman) judge(f func(to string) outbox.Verdict) {
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
		policy: incident.Policy{DownAfter: 1, UpAfter: 1}, probeRequests: true,
		channels: []channel{{
			name: channelMail, notifier: p, recipients: []string{"ops@example.com"}, sessions: maxSessions,
			pacing: outbox.Pacing{Wait: 10 * time.Second, Interval: time.Minute, PerHour: 60},
		}},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// recipients is a change of settings: these get the mails.
func recipients(to ...string) func(*Config) {
	return func(c *Config) { c.channels[0].recipients = to }
}

// atOnce is a change of settings: no mail waits for another.
func atOnce(c *Config) { c.channels[0].pacing.Wait, c.channels[0].pacing.Interval = 0, 0 }

// watching is a change of settings: these are the configured targets, for the module of see.
func watching(targets ...string) func(*Config) {
	return func(c *Config) {
		c.targets = make(map[probe.Key]*watched)
		for _, target := range targets {
			c.targets[probe.Key{Module: "tcp_connect", Target: target}.Redacted()] = &watched{Target: &probe.Target{Module: "tcp_connect", Target: target}, policy: &incident.Policy{DownAfter: 1, UpAfter: 1}}
		}
	}
}

// openHook makes a hook with the store in dir.
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

// again closes a hook and opens it with another configuration.
func again(t *testing.T, h *Hook, dir string, c *Config) *Hook {
	t.Helper()
	closeHook(t, h)
	return openHook(t, dir, c)
}

func resultAt(at time.Time, up bool) *probe.Result {
	r := &probe.Result{Start: at, Duration: 20 * time.Millisecond}
	if !up {
		r.Failure = &probe.Failure{Stage: probe.StageConnect, Reason: probe.ReasonConnectionRefused, Err: errors.New("connection refused")}
	}
	return r
}

// see shows the hook one result of a target that began now.
func see(h *Hook, target string, up bool) {
	h.Observe(&probe.Record{Module: "tcp_connect", Prober: "tcp", Target: target, Result: *resultAt(time.Now(), up)})
}

// scheduled shows the hook a result of a configured target.
func scheduled(h *Hook, target string, up bool) {
	h.Observe(&probe.Record{Module: "tcp_connect", Prober: "tcp", Target: target, Scheduled: true, Result: *resultAt(time.Now(), up)})
}

// bubble runs f with a fake clock and a directory.
func bubble(t *testing.T, f func(t *testing.T, dir string, p *postman)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { f(t, dir, newPostman(t)) })
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
