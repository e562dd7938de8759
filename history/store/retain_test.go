package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/history"
	"rollcall/probe"
)

func TestRetentionTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keep = 3 * 24 * time.Hour
		s, stop := runStore(t, Options{Dir: t.TempDir(), RetentionTime: keep})
		defer stop()
		target := &probe.Target{Module: "tcp_connect", Target: "a.example:80", Interval: 30 * time.Minute}
		gone := &probe.Target{Module: "tcp_connect", Target: "gone.example:80", Interval: 30 * time.Minute}
		s.Apply([]*probe.Target{target, gone})
		flush(t, s)
		begin := time.Now()
		var first string
		for n := range 10 * 48 {
			time.Sleep(target.Interval)
			state := history.StateUp
			if n%48 == 7 {
				state = history.StateDown
			}
			s.Observe(testRecord(target, time.Now(), state, time.Second))
			switch {
			case n < 48:
				s.Observe(testRecord(gone, time.Now(), history.StateUp, time.Second))
			case n == 48:
				s.Apply([]*probe.Target{target})
				incidents, err := s.Incidents(t.Context(), history.IncidentFilter{}, begin, time.Now(), 0)
				if err != nil || len(incidents) != 1 {
					t.Fatalf("incidents %+v: %v", incidents, err)
				}
				first = incidents[0].ID
				if _, err := s.Target(t.Context(), gone.ID(), history.Range7d); err != nil {
					t.Errorf("a target that left is forgotten: %v", err)
				}
			}
		}
		time.Sleep(time.Hour)
		flush(t, s)
		now := time.Now()
		oldest := now.Add(-keep).Truncate(24 * time.Hour)
		results, err := s.Results(t.Context(), target.ID(), begin, now, 1<<30)
		if err != nil || len(results) == 0 {
			t.Fatalf("%d results: %v", len(results), err)
		}
		if at := results[len(results)-1].Time; at.Before(oldest) || at.After(now.Add(-keep)) {
			t.Errorf("the oldest result is of %v, the oldest day that is kept begins at %v", at, oldest)
		}
		if status := s.Status(); !status.Oldest.Equal(oldest) || !status.Results.Equal(oldest) {
			t.Errorf("the status says %+v", status)
		}
		if _, err := s.Incident(t.Context(), first); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("an old incident: %v", err)
		}
		incidents, err := s.Incidents(t.Context(), history.IncidentFilter{TargetID: target.ID()}, time.Time{}, time.Time{}, 0)
		if err != nil || len(incidents) < 2 || incidents[len(incidents)-1].From.Before(oldest) {
			t.Errorf("%d incidents: %v", len(incidents), err)
		}
		if _, err := s.Target(t.Context(), gone.ID(), history.Range7d); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("a target that left long ago: %v", err)
		}
	})
}

// TestWrongClockDeletesLittle: a clock that is years ahead for some minutes after the start must not cost the history.
func TestWrongClockDeletesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, stop := runStore(t, Options{Dir: dir})
		target := &probe.Target{Module: "tcp_connect", Target: "a.example:80", Interval: time.Hour}
		s.Apply([]*probe.Target{target})
		begin := time.Now()
		for range 10 * 24 {
			time.Sleep(target.Interval)
			s.Observe(testRecord(target, time.Now(), history.StateUp, time.Second))
		}
		flush(t, s)
		stop()
		time.Sleep(2 * 365 * 24 * time.Hour)
		s, stop = runStore(t, Options{Dir: dir})
		defer func() { stop() }()
		s.Apply([]*probe.Target{target})
		time.Sleep(15 * time.Minute)
		flush(t, s)
		results, err := s.Results(t.Context(), target.ID(), begin, begin.Add(20*24*time.Hour), 1<<30)
		if err != nil || len(results) < 9*24-2 {
			t.Errorf("%d results are left: %v", len(results), err)
		}
	})
}

// TestRetentionSize writes days of results as fast as it can and holds the file to its limit all the while.
func TestRetentionSize(t *testing.T) {
	const limit = 3 << 20
	dir := t.TempDir()
	s, stop := runStore(t, Options{Dir: dir, RetentionSize: limit})
	defer stop()
	var targets []*probe.Target
	for i := range 20 {
		targets = append(targets, &probe.Target{Module: "http_2xx", Target: fmt.Sprintf("https://host-%d.example/", i), Interval: time.Minute})
	}
	s.Apply(targets)
	flush(t, s)
	const days = 14
	begin := time.Now().UTC().Truncate(24 * time.Hour).Add(-days * 24 * time.Hour)
	at := begin
	for n := 0; at.Before(begin.Add((days - 1) * 24 * time.Hour)); n++ {
		at = at.Add(time.Minute)
		for i, target := range targets {
			state := history.StateUp
			if (n+i)%500 == 0 {
				state = history.StateDown
			}
			s.Observe(testRecord(target, at, state, time.Duration(1+(n*7919+i*104729)%20000)*time.Microsecond))
		}
		if n%360 != 0 {
			continue
		}
		s.mu.Lock()
		s.sealAll()
		s.mu.Unlock()
		flush(t, s)
		info, err := os.Stat(filepath.Join(dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > limit {
			t.Fatalf("after %d results the file has %d bytes, the limit is %d: %+v", n*len(targets), info.Size(), limit, s.Stats())
		}
	}
	flush(t, s)
	status := s.Status()
	if !status.Oldest.Before(status.Results) {
		t.Errorf("single results are kept as long as rollups: %+v", status)
	}
	series, err := s.Series(t.Context(), targets[3].ID(), begin, at, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range series.Points[:days-2] {
		if p.Counts.Known() < 1439 {
			t.Errorf("of %v there are %+v", p.Time, p.Counts)
		}
	}
	finer, err := s.Series(t.Context(), targets[3].ID(), begin, begin.Add(2*24*time.Hour), 5*time.Minute)
	if err != nil || finer.Step != time.Hour || finer.Counts.Known() < 2*1440-1 {
		t.Errorf("asked for what is only there by the hour, got steps of %v with %+v: %v", finer.Step, finer.Counts, err)
	}
	t.Logf("%d bytes; results since %v, of %v", status.Bytes, status.Results, status.Oldest)
}
