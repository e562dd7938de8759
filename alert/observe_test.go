package alert

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

func record(target string, scheduled, up bool) *probe.Record {
	return &probe.Record{Module: "m", Prober: "tcp", Target: target, Scheduled: scheduled, Result: *resultAt(time.Now(), up)}
}

func probeOf(target string, up bool) *probe.Record { return record(target, false, up) }

// configured is an engine that watches /probe and so many configured targets, and has no store.
func configured(targets int, recipients ...string) *engine {
	c := &Config{policy: incident.Policy{DownAfter: 1, UpAfter: 1}, probeRequests: true, targets: make(map[probe.Key]*watched)}
	for n := range targets {
		c.targets[probe.Key{Module: "m", Target: fmt.Sprintf("configured-%d:1", n)}] = &watched{Target: new(probe.Target), policy: &incident.Policy{DownAfter: 1, UpAfter: 1}}
	}
	c.channels = []channel{{name: channelMail, recipients: recipients, sessions: 1}}
	e := newEngine(HookOptions{Logger: slog.New(slog.DiscardHandler)}, nil)
	e.configure(c)
	return e
}

func (e *engine) watched() (watched int, refused uint64) {
	s := e.stats(time.Now())
	return s.Watched, s.Refused
}

func TestStrangersCannotCrowdOutConfiguredTargets(t *testing.T) {
	e := configured(100)
	for n := range maxRequested + 500 {
		e.observe(record(fmt.Sprintf("asked-%d:1", n), false, true), time.Now())
	}
	if watched, refused := e.watched(); watched != maxRequested || refused != 500 {
		t.Errorf("%d are watched and %d refused, want %d and 500", watched, refused, maxRequested)
	}
	for n := range 100 {
		e.observe(record(fmt.Sprintf("configured-%d:1", n), true, true), time.Now())
	}
	if watched, refused := e.watched(); watched != maxRequested+100 || refused != 500 {
		t.Errorf("with configured ones %d are watched and %d refused", watched, refused)
	}
	// One that is configured later no longer counts as asked for.
	e.config.targets[probe.Key{Module: "m", Target: "asked-0:1"}] = &watched{Target: new(probe.Target), policy: &incident.Policy{DownAfter: 1, UpAfter: 1}}
	e.observe(record("asked-0:1", true, true), time.Now())
	e.observe(record("one-more:1", false, true), time.Now())
	if _, refused := e.watched(); refused != 500 {
		t.Error("its place is not free again")
	}
}

func TestAllThatIsWatchedIsBounded(t *testing.T) {
	e := configured(maxWatched + 10)
	for n := range maxWatched + 10 {
		e.observe(record(fmt.Sprintf("configured-%d:1", n), true, true), time.Now())
	}
	if watched, refused := e.watched(); watched != maxWatched || refused != 10 {
		t.Errorf("%d are watched and %d refused", watched, refused)
	}
}

func TestForgettingMakesRoom(t *testing.T) {
	e := configured(0)
	for n := range 1000 {
		e.observe(record(fmt.Sprintf("asked-%d:1", n), false, n%2 == 0), time.Now())
	}
	for from, more := 0, true; more; {
		from, more = e.sweepPart(from, time.Now().Add(forgetAfter+time.Minute))
	}
	if watched, _ := e.watched(); watched != 0 || e.requested != 0 || e.stats(time.Now()).Incidents != 0 || len(e.targets) != 0 {
		t.Errorf("%d are left, %d of them asked for", watched, e.requested)
	}
}

// TestTwoHostnamesAreTwoTargets: the same address asked for under two names is down under one of them.
func TestTwoHostnamesAreTwoTargets(t *testing.T) {
	e := configured(0)
	for _, hostname := range []string{"a.example.com", "b.example.com"} {
		r := record("192.0.2.1:443", false, hostname[0] == 'a')
		r.Hostname = hostname
		e.observe(r, time.Now())
	}
	if s := e.stats(time.Now()); s.Watched != 2 || s.Incidents != 1 {
		t.Errorf("%d are watched, %d down", s.Watched, s.Incidents)
	}
}

func TestSteadyTargetNeedsNoDiskAndNoAllocation(t *testing.T) {
	e := configured(0, "ops@example.com")
	rec := record("host:1", false, true)
	now := time.Now()
	for range 5 {
		e.observe(rec, now)
	}
	e.collect(nil)
	if n := testing.AllocsPerRun(100, func() { e.observe(rec, now) }); n != 0 {
		t.Errorf("a steady result allocates %v times", n)
	}
	if changes, _ := e.collect(nil); len(changes) != 0 {
		t.Errorf("a steady target wants %d rows written", len(changes))
	}
}

// TestMailServerThatIsAwayForDaysFillsNothing: callers of /probe invent as many targets as are watched, each day others,
// while no mail leaves. What waits is bounded in memory and on the disk, and once the server is back the mails name
// or number every outage. The configured target is named.
func TestMailServerThatIsAwayForDaysFillsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, dir string, p *postman) {
		var log bytes.Buffer
		p.judge(always(outbox.Postponed))
		p.takes = 5 * time.Hour // so that there are few attempts
		h := NewHook(HookOptions{StoragePath: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := h.Apply(t.Context(), settings(p, watching("db:5432"))); err != nil {
			t.Fatal(err)
		}
		const days = 2
		var sizes [days]int64
		for day := range days {
			for n := range maxRequested {
				see(h, fmt.Sprintf("invented-%d-%d:1", day, n), false)
				if n%1000 == 0 {
					time.Sleep(time.Second)
				}
			}
			time.Sleep(25 * time.Hour)
			info, err := os.Stat(filepath.Join(dir, outbox.StoreFile))
			if err != nil {
				t.Fatal(err)
			}
			sizes[day] = info.Size()
		}
		scheduled(h, "db:5432", false)
		time.Sleep(6 * time.Hour)
		synctest.Wait()                                                                   // the hook's own fields are looked at
		if first, last := sizes[0], sizes[days-1]; last > first+24<<20 || last > 64<<20 { // the file grows in steps of 16 MB
			t.Errorf("the store grew day by day: %d bytes", sizes)
		}
		if n := known(h.active.Load().recipients[0].Queue); n != maxRequested+1 {
			t.Errorf("%d targets wait", n)
		}
		m := h.Stats()
		if c := m.Channels[0]; c.Summed != (days-1)*maxRequested || c.Pending != int(c.Summed)+maxRequested+1 {
			t.Errorf("the numbers are %+v", m)
		}
		closeHook(t, h)
		if n := strings.Count(log.String(), "only the number will be sent"); n != 1 {
			t.Errorf("the log says %d times that outages are only counted", n)
		}
		p.judge(nil)
		p.takes = 0
		h = openHook(t, dir, settings(p, watching("db:5432")))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if m := h.Stats(); m.Channels[0].Pending != 0 || m.Incidents != 1 {
			t.Errorf("the numbers are %+v", m)
		}
		if n := known(h.active.Load().recipients[0].Queue); n != 1 {
			t.Errorf("%d targets are known, want the configured one", n)
		}
		closeHook(t, h)
		if want := "1 server is down, 10000 servers are no longer reported, 10000 more outages are over"; len(p.got) != 1 || !strings.HasSuffix(p.got[0].subject, want) {
			t.Errorf("the mails are %q, want …%q", p.subjects(), want)
		}
		if !strings.Contains(p.got[0].body, "TCP db:5432 ") {
			t.Error("the mail does not name the configured target")
		}
	})
}

// BenchmarkObserve is what alerting costs a probe whose target is as it was.
func BenchmarkObserve(b *testing.B) {
	e := configured(0, "ops@example.com")
	e.config.policy.CertWarning = time.Hour
	records := make([]*probe.Record, 1000)
	now := time.Now()
	for n := range records {
		records[n] = record(fmt.Sprintf("host-%d.example.com:443", n), false, true)
		records[n].Result.TLS = &probe.TLSFacts{EarliestExpiry: now.Add(1000 * time.Hour)}
		e.observe(records[n], now)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		e.observe(records[n%len(records)], now)
		n++
	}
}
