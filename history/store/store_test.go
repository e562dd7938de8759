package store

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/history"
	"rollcall/probe"
)

// TestNumbersEqualBruteForce probes for some days, with failures, own errors, times in which rollcall was stopped, and
// restarts, and compares everything that can be asked with a count by hand.
func TestNumbersEqualBruteForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(11, 12))
		targets := []*probe.Target{
			{Module: "http_2xx", Target: "https://a.example/", Interval: time.Minute},
			{Module: "http_2xx", Target: "https://b.example/", Interval: 2 * time.Minute},
			{Module: "icmp", Target: "c.example", Interval: 3 * time.Hour},
		}
		models := make([]model, len(targets))
		dir := t.TempDir()
		s, stop := runStore(t, Options{Dir: dir})
		s.Apply(targets)
		flush(t, s)
		begin := time.Now()
		const step = time.Minute
		down := make([]bool, len(targets))
		time.Sleep(7*time.Hour + 3*time.Second)
		for range int(3 * 24 * time.Hour / step) {
			time.Sleep(step)
			if rng.IntN(1000) == 0 { // rollcall is stopped for a while
				stop()
				time.Sleep(time.Duration(rng.Int64N(int64(10 * time.Hour))))
				s, stop = runStore(t, Options{Dir: dir})
				s.Apply(targets)
				flush(t, s)
			}
			for i, target := range targets {
				if time.Since(begin)/step%(target.Interval/step) != 0 {
					continue
				}
				at := time.Now()
				if rng.IntN(100) == 0 {
					down[i] = !down[i]
				}
				duration := time.Duration(math1(rng) * float64(20*time.Millisecond))
				state := history.StateUp
				switch {
				case rng.IntN(50) == 0:
					s.ObserveUnknown(target.Key(), at)
					models[i].add(at, history.StateUnknown, 0, target.Interval)
					continue
				case down[i]:
					state = history.StateDown
				}
				s.Observe(testRecord(target, at, state, duration))
				models[i].add(at, state, duration, target.Interval)
			}
		}
		defer func() { stop() }()
		for _, when := range []string{"running", "restarted"} {
			t.Log(when, time.Now())
			flush(t, s)
			for i, target := range targets {
				compareOverview(t, s, target, &models[i])
				compareSeries(t, s, target, &models[i], begin)
			}
			stop()
			s, stop = runStore(t, Options{Dir: dir})
			s.Apply(targets)
			flush(t, s)
		}
	})
}

// math1 is about 1, at times much more.
func math1(rng *rand.Rand) float64 {
	f := 1 + 0.1*rng.NormFloat64()
	if rng.IntN(30) == 0 {
		f *= 20
	}
	return max(f, 0.01)
}

func compareOverview(t *testing.T, s *Store, target *probe.Target, m *model) {
	t.Helper()
	now := time.Now()
	for _, r := range history.Ranges() {
		sum := summaryOf(t, s, r, target)
		n, width := r.Buckets()
		from, to := r.Span(now)
		if len(sum.Buckets) != n {
			t.Fatalf("%d buckets, want %d", len(sum.Buckets), n)
		}
		for i, got := range sum.Buckets {
			start := from.Add(time.Duration(i) * width)
			if want, _ := m.between(start, start.Add(width), now); got != want {
				t.Errorf("%s of %s, bucket %d (%v): %+v, want %+v", r, target.Target, i, start, got, want)
			}
		}
		if want, _ := m.between(from, to.Add(time.Hour), now); sum.Counts != want {
			t.Errorf("%s of %s: %+v, want %+v", r, target.Target, sum.Counts, want)
		}
		_, durations := m.between(to.Truncate(24*time.Hour).Add(-24*time.Hour), to.Add(time.Hour), now)
		if want := quantileOverTime(0.5, durations); !near(sum.Typical, want, roundQuantile) {
			t.Errorf("%s of %s: typical is %v, want %v s", r, target.Target, sum.Typical, want)
		}
		last := m.turns[len(m.turns)-1]
		if !sum.Last.Time.Equal(last.at) || sum.Last.State != last.state || !near(sum.Last.Duration, last.duration.Seconds(), roundDuration) {
			t.Errorf("%s: the last result is %+v, want %+v", target.Target, sum.Last, last)
		}
	}
}

func compareSeries(t *testing.T, s *Store, target *probe.Target, m *model, begin time.Time) {
	t.Helper()
	now := time.Now()
	for _, c := range []struct {
		from, to time.Time
		step     time.Duration
	}{
		{begin, now, 24 * time.Hour},
		{begin.Add(30 * time.Hour), now, 6 * time.Hour},
		{begin.Add(10 * time.Hour), begin.Add(50 * time.Hour), time.Hour},
		{begin.Add(40 * time.Hour), begin.Add(44 * time.Hour), 5 * time.Minute},
		{now.Add(-5 * time.Hour), now, 5 * time.Minute},
		{begin.Add(47 * time.Hour), begin.Add(49 * time.Hour), time.Minute},
		{begin.Add(47 * time.Hour), begin.Add(49 * time.Hour), 7 * time.Second},
		{now.Add(-time.Hour), now, 10 * time.Second},
	} {
		series, err := s.Series(t.Context(), target.ID(), c.from, c.to, c.step)
		if err != nil {
			t.Fatal(err)
		}
		if series.Step != c.step || series.From.After(c.from) || series.To.Before(c.to) || len(series.Points) != int(series.To.Sub(series.From)/c.step) {
			t.Errorf("asked for %v to %v by %v, got %v to %v by %v", c.from, c.to, c.step, series.From, series.To, series.Step)
		}
		for _, p := range series.Points {
			m.comparePoint(t, p, c.step, now)
		}
	}
	from, to := begin.Add(20*time.Hour), begin.Add(70*time.Hour)
	results, err := s.Results(t.Context(), target.ID(), from, to, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var want []modelTurn
	for _, turn := range m.turns {
		if !turn.at.Before(from) && turn.at.Before(to) {
			want = append(want, turn)
		}
	}
	slices.Reverse(want)
	if len(results) != len(want) {
		t.Fatalf("%s: %d results, want %d", target.Target, len(results), len(want))
	}
	for i, r := range results {
		if !r.Time.Equal(want[i].at) || r.State != want[i].state || !near(r.Duration, want[i].duration.Seconds(), roundDuration) {
			t.Errorf("result %d is %+v, want %+v", i, r, want[i])
		}
	}
}

var crashTargets = []*probe.Target{
	{Module: "http_2xx", Target: "https://a.example/", Interval: time.Minute},
	{Module: "http_2xx", Target: "https://b.example/", Interval: time.Minute},
	{Module: "icmp", Target: "c.example", Interval: time.Minute},
}

// TestFileThatIsRemovedIsWrittenAgain: what a restart finds is all that was there.
func TestFileThatIsRemovedIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := &probe.Target{Module: "http_2xx", Target: "https://a.example/", Interval: time.Minute}
		dir := t.TempDir()
		s, stop := runStore(t, Options{Dir: dir})
		s.Apply([]*probe.Target{target})
		flush(t, s)
		begin, count := time.Now(), 0
		observe := func() {
			for range 100 {
				time.Sleep(time.Minute)
				s.Observe(testRecord(target, time.Now(), history.StateUp, time.Second))
				count++
			}
			flush(t, s)
		}
		observe()
		if err := os.Remove(filepath.Join(dir, fileName)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * tickEvery)
		if stats := s.Stats(); stats.WriteFailures != 1 || !stats.Writable {
			t.Errorf("%d failures are counted, writable: %t", stats.WriteFailures, stats.Writable)
		}
		observe()
		stop()
		s, stop = runStore(t, Options{Dir: dir})
		s.Apply([]*probe.Target{target})
		flush(t, s)
		results, err := s.Results(t.Context(), target.ID(), begin, time.Now().Add(time.Hour), 1000)
		if err != nil || len(results) != count {
			t.Errorf("%d results after a restart, want %d: %v", len(results), count, err)
		}
		stop()
	})
}

// TestReaderWaitsForTheFile: a page that is asked for just after a start has the history.
func TestReaderWaitsForTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Dir: t.TempDir()})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(openPatience / 2)
			s.Run(ctx)
		}()
		if _, err := s.Incidents(t.Context(), history.IncidentFilter{}, time.Time{}, time.Time{}, 10); err != nil {
			t.Error(err)
		}
		cancel()
		<-done
	})
}
