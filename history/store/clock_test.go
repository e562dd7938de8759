package store

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/history"
	"rollcall/history/block"
	"rollcall/probe"
)

// TestClockSteps sets the clock that records carry forward and back at random, between restarts and days, and holds what
// must be true all the same: no verdict is lost or counted twice, and nothing is negative.
func TestClockSteps(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(51, seed))
			target := &probe.Target{Module: "tcp_connect", Target: "a.example:80", Interval: 5 * time.Minute}
			dir := t.TempDir()
			time.Sleep(10 * 24 * time.Hour)
			s, stop := runStore(t, Options{Dir: dir})
			defer func() { stop() }()
			s.Apply([]*probe.Target{target})
			flush(t, s)
			begin := time.Now()
			var offset time.Duration
			var want history.Counts
			failures := 0
			for range 600 {
				time.Sleep(target.Interval)
				switch rng.IntN(60) {
				case 0:
					offset += time.Duration(rng.Int64N(int64(3 * time.Hour)))
				case 1:
					offset -= time.Duration(rng.Int64N(int64(3 * time.Hour)))
				case 2:
					offset -= time.Duration(rng.Int64N(int64(40 * time.Hour)))
				case 3:
					offset = 0 // the clock is set right
				case 4:
					stop()
					s, stop = runStore(t, Options{Dir: dir})
					s.Apply([]*probe.Target{target})
					flush(t, s)
				case 5:
					s.mu.Lock()
					s.sealAll()
					s.mu.Unlock()
				}
				at := time.Now().Add(offset)
				state := history.StateUp
				if want.Up++; rng.IntN(10) < 3 {
					state = history.StateDown
					want.Up--
					want.Down++
					failures++
				}
				s.Observe(testRecord(target, at, state, time.Duration(rng.IntN(1e6))*time.Microsecond))
			}
			flush(t, s)
			time.Sleep(26 * time.Hour) // days are closed
			flush(t, s)
			checkClockSteps(t, s, target, begin.Add(-5*24*time.Hour), time.Now().Add(10*24*time.Hour), want)
		})
	}
}

func checkClockSteps(t *testing.T, s *Store, target *probe.Target, from, to time.Time, want history.Counts) {
	t.Helper()
	results, err := s.Results(t.Context(), target.ID(), from, to, 1<<30)
	if err != nil || len(results) != want.Known() {
		t.Errorf("%d results, want %d: %v", len(results), want.Known(), err)
	}
	for i := 1; i < len(results); i++ {
		if results[i].Time.After(results[i-1].Time) {
			t.Errorf("result %d is newer than the one before it", i)
		}
	}
	span := to.Sub(from)
	for _, step := range []time.Duration{24 * time.Hour, time.Hour, 5 * time.Minute, 10 * time.Minute} {
		series, err := s.Series(t.Context(), target.ID(), from, to, step)
		if err != nil {
			if span/step <= history.MaxPoints {
				t.Errorf("by %v: %v", step, err)
			}
			continue
		}
		if series.Counts.Up != want.Up || series.Counts.Down != want.Down {
			t.Errorf("by %v: %+v, want %+v", step, series.Counts, want)
		}
		if series.Counts.Unknown > uint32(span/target.Interval) {
			t.Errorf("by %v: %d turns are unknown", step, series.Counts.Unknown)
		}
		for _, p := range series.Points {
			if p.Min < 0 || p.Min > p.P50 || p.P50 > p.P95 || p.P95 > p.Max || p.Mean < p.Min || p.Mean > p.Max {
				t.Errorf("by %v: durations are out of order: %+v", step, p)
			}
		}
	}
	incidents, err := s.Incidents(t.Context(), history.IncidentFilter{}, time.Time{}, time.Time{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	failures := 0
	for _, i := range incidents {
		failures += i.Failures
		if i.Duration(time.Now()) < 0 || !i.To.IsZero() && i.To.Before(i.From) {
			t.Errorf("an incident has a negative length: %+v", i)
		}
	}
	if failures != int(want.Down) {
		t.Errorf("the incidents have %d failures, want %d", failures, want.Down)
	}
	for _, r := range history.Ranges() {
		sum := summaryOf(t, s, r, target)
		if sum.Since.After(time.Now().Add(10*24*time.Hour)) || sum.Counts.Known() > want.Known() {
			t.Errorf("%s: %+v", r, sum)
		}
	}
}

// TestRollupsEqualResults holds chunks of random results to a count by hand.
func TestRollupsEqualResults(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	for range 200 {
		interval := time.Duration(1+rng.IntN(3600)) * time.Second
		start := time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC) // clocks change in Europe
		var m model
		bl := new(block.Block)
		at := start.Add(time.Duration(rng.Int64N(int64(interval))))
		for at.Before(start.Add(24 * time.Hour)) {
			p := block.Point{Turn: block.Turn{Time: at.UnixMilli(), Interval: interval.Milliseconds()}, State: block.State(rng.IntN(3))}
			if p.State != block.Unknown {
				p.Duration = block.EncodeDuration(time.Duration(rng.IntN(1e7))*time.Microsecond, block.Fine)
			}
			bl.Points = append(bl.Points, p)
			m.add(at, p.State.Public(), p.Result().Duration, interval)
			at = at.Add(interval)
			if rng.IntN(20) == 0 {
				at = at.Add(time.Duration(rng.Int64N(int64(5 * interval))))
			}
		}
		if len(bl.Points) == 0 {
			continue
		}
		last := block.TimeOf(bl.Points[len(bl.Points)-1].Time)
		for _, level := range levels[1:] {
			ch, err := block.DecodeChunk(block.NewChunk(bl, block.DayOf(start.UnixMilli()), level.step, nil).Encode(), block.DayOf(start.UnixMilli()))
			if err != nil {
				t.Fatal(err)
			}
			for i := range ch.Cells {
				m.comparePoint(t, ch.Cells[i].Point(ch.From+int64(i)*ch.Step), time.Duration(ch.Step)*time.Millisecond, last)
			}
			if t.Failed() {
				t.Fatalf("by %d ms, an interval of %v", level.step, interval)
			}
		}
	}
}
