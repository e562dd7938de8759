package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

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
		host: "probe.example.com", backoff: firstBackoff, backoffs: lastBackoff,
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
		p.want("TCP host:1 is down")
		see(h, "host:1", true)
		time.Sleep(time.Minute)
		closeHook(t, h)
		// Who joined in the middle was not told of the beginning, and is now told of the whole.
		p.want("TCP host:1 is down", "TCP host:1 was down for 2m0s", "TCP host:1 is up again")
		if to := []Address{"ops@example.com", "new@example.com", "ops@example.com"}; !slices.Equal(p.to, to) {
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

func TestCapHoldsBackAndSumsUp(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, func(c *Config) { c.maxMailsPerHour = 5 }))
		const incidents = 300
		for range incidents { // 36 seconds each: three hours
			see(h, "flapper:1", false)
			time.Sleep(18 * time.Second)
			see(h, "flapper:1", true)
			time.Sleep(18 * time.Second)
		}
		time.Sleep(2 * time.Hour)
		closeHook(t, h)
		if n := len(p.got); n > 5*5 {
			t.Errorf("%d mails in five hours", n)
		}
		told := 0
		for _, m := range p.got {
			var earlier int
			for line := range strings.Lines(m.body) {
				if i := strings.Index(line, "flapper:1 (module tcp_connect) "); i >= 0 && !strings.Contains(line, " since ") {
					told++
				}
				if _, err := fmt.Sscanf(line[strings.LastIndex(line, ", and ")+1:], " and %d time", &earlier); err == nil {
					told += earlier
				}
			}
			for _, single := range []string{"is up again", "was down for"} {
				if strings.Contains(m.subject, "TCP flapper:1 "+single) {
					told++
				}
			}
		}
		if told != incidents {
			t.Errorf("the mails tell of %d incidents, want %d", told, incidents)
		}
	})
}

func TestRemindersComeWhileItLasts(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, func(c *Config) { c.policy.repeatEvery = 6 * time.Hour }))
		for range 24 * 4 {
			see(h, "host:1", false)
			time.Sleep(15 * time.Minute)
		}
		closeHook(t, h)
		p.want("TCP host:1 is down", "TCP host:1 is still down", "TCP host:1 is still down", "TCP host:1 is still down")
		for _, m := range p.got[1:] {
			if m.header.Get("In-Reply-To") != p.got[0].header.Get("Message-Id") {
				t.Error("a reminder does not answer its DOWN")
			}
		}
	})
}

func TestEndingCertificateIsOneMailADay(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, func(c *Config) { c.policy.certWarning = 336 * time.Hour }))
		expiry := time.Now().Add(100 * time.Hour)
		for range 3 * 24 {
			r := resultAt(time.Now(), true)
			r.TLS = &probe.TLSFacts{EarliestExpiry: expiry}
			h.Observe(probe.Record{Module: "m", Prober: "http", Target: "https://host/", Result: *r})
			time.Sleep(time.Hour)
		}
		closeHook(t, h)
		if len(p.got) != 3 || !strings.Contains(p.got[0].subject, "the certificate of https://host/ ends ") {
			t.Errorf("mails %q", p.subjects())
		}
		if p.got[0].header.Get("Message-Id") == p.got[1].header.Get("Message-Id") {
			t.Error("two days' warnings have the same Message-ID")
		}
	})
}

// limitDisk lets the store's file grow to size and no further, as a full disk does; 0 takes the limit away.
func limitDisk(t *testing.T, h *Hook, size int) {
	t.Helper()
	db := h.active.Load().store.db
	if err := db.Update(func(*bbolt.Tx) error { // between two writes of the keeper
		db.MaxSize = size
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskHoldsBackNoMail: mail goes out from memory, a metric tells, and once there is room again the store has
// everything.
func TestFullDiskHoldsBackNoMail(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		limitDisk(t, h, 64<<10)
		storm := func(up bool) {
			for n := range 500 {
				see(h, fmt.Sprintf("host-%03d:80", n), up)
			}
			time.Sleep(5 * time.Minute)
		}
		storm(false)
		p.want("500 servers are down")
		if m := h.Metrics(); m.StoreFailures == 0 || m.Incidents != 500 {
			t.Errorf("the numbers are %+v", m)
		}
		limitDisk(t, h, 0)
		time.Sleep(time.Minute)
		closeHook(t, h)
		h = openHook(t, dir, settings(p))
		storm(false)
		p.want("500 servers are down")
		limitDisk(t, h, 64<<10)
		storm(true)
		closeHook(t, h)
		p.want("500 servers are down", "500 servers are up again")
	})
}

func TestShutdownWaitsForMailUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.takes = 5 * time.Second
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(12 * time.Second) // the session began at ten
		closeHook(t, h)
		h = openHook(t, dir, settings(p))
		time.Sleep(time.Hour)
		closeHook(t, h)
		p.want("TCP host:1 is down")
	})
}

func TestShutdownEndsWhatDoesNotEnd(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		p.takes = 24 * time.Hour
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		time.Sleep(12 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("closing took %v", took)
		}
	})
}

func TestForgottenAfterADayWithoutResults(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		see(h, "host:1", false)
		see(h, "host:2", true)
		time.Sleep(25 * time.Hour)
		if m := h.Metrics(); m.Incidents != 0 || m.Watched != 0 {
			t.Errorf("after a day the numbers are %+v", m)
		}
		closeHook(t, h)
		s, err := openStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.load()
		if err != nil || len(l.watches) != 0 {
			t.Errorf("the store holds %d watches (%v)", len(l.watches), err)
		}
		for name, d := range l.destinations {
			if len(d.told) != 0 || len(d.items) != 0 {
				t.Errorf("%q still has %d threads and %d items", name, len(d.told), len(d.items))
			}
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
		p.want("TCP host:1 is down")
	})
}

func TestProbeRequestsCanBeLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p, func(c *Config) { c.probeRequests = false }))
		see(h, "asked:1", false)
		h.Observe(probe.Record{Module: "m", Prober: "tcp", Target: "configured:1", Scheduled: true, Result: *resultAt(time.Now(), false)})
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("TCP configured:1 is down")
	})
}

// TestFaultsOfTheExporterAreNoNews: what is not a verdict about the target never reaches the hook.
func TestFaultsOfTheExporterAreNoNews(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		runner := &probe.Runner{Observers: []probe.Observer{h}}
		fault := &probe.Module{Name: "m", Kind: "tcp", Prober: prober(func(ctx context.Context) (probe.Result, error) {
			return probe.Result{}, &probe.ExporterError{Fault: probe.FaultDescriptors, Err: errors.New("too many open files")}
		})}
		if _, err := runner.Do(t.Context(), fault, probe.Request{Target: "host:1"}); err == nil {
			t.Error("the fault became a verdict")
		}
		gone, cancel := context.WithCancel(t.Context())
		hangUp := &probe.Module{Name: "m", Kind: "tcp", Prober: prober(func(ctx context.Context) (probe.Result, error) {
			cancel()
			return *resultAt(time.Now(), false), nil
		})}
		if _, err := runner.Do(gone, hangUp, probe.Request{Target: "host:1"}); err == nil {
			t.Error("a cancelled scrape became a verdict")
		}
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want()
	})
}

type prober func(ctx context.Context) (probe.Result, error)

func (f prober) Probe(ctx context.Context, _ probe.Request) (probe.Result, error) { return f(ctx) }

func TestPasswordInATargetIsNeverTold(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		h := openHook(t, dir, settings(p))
		see(h, "http://me:canary@host/path", false)
		time.Sleep(time.Minute)
		closeHook(t, h)
		p.want("TCP http://***@host/path is down")
		if b := read(t, dir, "alert.db"); strings.Contains(b, "canary") || strings.Contains(p.got[0].body, "canary") {
			t.Error("the store or the mail holds the password")
		}
	})
}

// TestMailServerThatHangsDelaysNoProbe is in real time: the mail server answers nothing, the disk is real, and targets
// go down and up all the while.
func TestMailServerThatHangsDelaysNoProbe(t *testing.T) {
	p := &postman{t: t, takes: time.Hour}
	h := openHook(t, t.TempDir(), settings(p, func(c *Config) { c.groupWait = 0 }))
	const results = 20_000
	took := make([]time.Duration, results)
	var probes sync.WaitGroup
	for n := range 2 {
		probes.Go(func() {
			for i := n; i < results; i += 2 {
				r := probe.Record{Module: "m", Prober: "tcp", Target: fmt.Sprintf("host-%d:80", i%500), Result: *resultAt(time.Now(), i/500%2 == 0)}
				begin := time.Now()
				h.Observe(r)
				took[i] = time.Since(begin)
			}
		})
	}
	probes.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
	slices.Sort(took)
	// The slowest few are left to whatever else the machine does.
	if worst := took[results*99/100]; worst > time.Millisecond {
		t.Errorf("one probe of a hundred waits %v or longer", worst)
	}
	t.Logf("median %v, 99%% %v, slowest %v", took[results/2], took[results*99/100], took[results-1])
	if p.tries != 0 {
		t.Error("the mail server did not hang")
	}
}
