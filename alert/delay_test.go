package alert

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/probe"
)

// TestNothingThatHangsDelaysAProbe is in real time: the mail server answers nothing, the disk hangs in the middle of a
// write, and targets go down and up all the while. Each result is news, which is a thousand times what a probe meets. A
// hook that waited for either would never come to the end; BenchmarkObserveNews measures how long a result takes.
func TestNothingThatHangsDelaysAProbe(t *testing.T) {
	p := newPostman(t)
	p.takes = time.Hour
	h := openHook(t, t.TempDir(), settings(p, atOnce))
	see(h, "first:1", false)
	for h.Stats().Channels[0].Pending == 0 || p.attempts() > 0 { // the mail is on its way
		time.Sleep(time.Millisecond)
	}
	hanging, err := storeDB(h).Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	var probes sync.WaitGroup
	const results, probers = 20_000, 2
	for n := range probers {
		probes.Go(func() {
			for i := n; i < results; i += probers {
				h.Observe(&probe.Record{Module: "m", Prober: "tcp", Target: fmt.Sprintf("host-%d:80", i%500), Result: *resultAt(time.Now(), i/500%2 == 0)})
			}
		})
	}
	probes.Wait()
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("%d results took %v", results, took)
	}
	if s := h.Stats(); s.Incidents < 1 || s.Watched != 501 {
		t.Errorf("the numbers are %+v", s)
	}
	if err := hanging.Rollback(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
	if p.attempts() != 0 {
		t.Error("the mail server did not hang")
	}
}

// BenchmarkObserveNews is what a result costs a probe when its target goes down or comes up, with three recipients, and the
// longest that one took; BenchmarkHold what it waits for at worst while the hook visits 100,000 targets.
func BenchmarkObserveNews(b *testing.B) {
	e := configured(0, "a@example.com", "b@example.com", "c@example.com")
	records := make([]*probe.Record, 1000)
	for n := range records {
		records[n] = record(fmt.Sprintf("host-%d:80", n), false, true)
	}
	b.ReportAllocs()
	var longest time.Duration
	for n := 0; b.Loop(); n++ {
		r := records[n%len(records)]
		r.Result = *resultAt(time.Now(), n/len(records)%2 == 0)
		begin := time.Now()
		e.observe(r, begin)
		longest = max(longest, time.Since(begin))
	}
	b.ReportMetric(float64(longest.Nanoseconds()), "longest-ns")
}

// BenchmarkHold reports how long the lock is held while all targets are observed, swept and written, and told to a
// recipient, when as much is watched as can be and all of it is down. It is the median, for each step does a bounded
// amount of work, and the longest shows what else the machine runs.
func BenchmarkHold(b *testing.B) {
	held := make(map[string][]time.Duration)
	measure := func(what string, f func()) {
		begin := time.Now()
		f()
		held[what] = append(held[what], time.Since(begin))
	}
	for b.Loop() {
		e := configured(maxWatched, "ops@example.com")
		for n := range maxWatched {
			rec := record(fmt.Sprintf("configured-%d:1", n), true, false)
			measure("observe", func() { e.observe(rec, time.Now()) })
		}
		for more := true; more; {
			measure("collect", func() { _, more = e.collect(nil) })
		}
		for from, more := 0, true; more; {
			measure("sweep", func() { from, more = e.sweepPart(from, time.Now()) })
		}
		r := e.recipients[0]
		d := e.digest(r, false, time.Now())
		m, err := newPostman(nil).Compose("ops@example.com", d)
		if err != nil || len(d.Notifications) != maxWatched {
			b.Fatal(len(d.Notifications), err)
		}
		r.Begin(m)
		for from, more := 0, true; more; {
			measure("accept", func() { from, more = r.Accept(from) })
		}
		measure("settle", func() { r.Settle(0, time.Now()) })
	}
	for what, took := range held {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), what+"-ns")
	}
}
