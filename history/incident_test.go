package history

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rollcall/probe"
	"rollcall/redact"
)

const canary = "hunter2-canary"

// TestIncidentsSurviveRestarts follows a target down, over a restart, and up again, with what its first failing probe saw.
func TestIncidentsSurviveRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		target := Target{Module: "http_2xx", Target: "https://user:" + canary + "@a.example/x", Hostname: "b.example", Name: "shop", Interval: time.Minute}
		s, stop := runStore(t, Options{Dir: dir})
		defer func() { stop() }()
		s.Apply([]Target{target})
		flush(t, s)
		observe := func(state State) time.Time {
			time.Sleep(target.Interval)
			r := testRecord(target, time.Now(), state, 20*time.Millisecond)
			r.Result.Resolve = &probe.Resolve{Addr: netip.MustParseAddr("192.0.2.1")}
			r.Result.HTTP.FinalURL = "https://a.example/login?token=" + canary + "&page=2"
			if f := r.Result.Failure; f != nil {
				f.Err = errors.New("the server says: user:" + canary + " is wrong; " + target.Target + strings.Repeat("…", 2000))
				r.Trace = new(probe.Trace)
				r.Trace.Step("dialling for user:%s", canary)
				for range 100 {
					r.Trace.Step("%s", strings.Repeat("x", 500))
				}
			}
			s.Observe(r)
			return r.Result.Start
		}
		observe(StateUp)
		good := observe(StateUp)
		from := observe(StateDown)
		observe(StateDown)
		synctest.Wait()
		id := probe.IncidentID(target.Module, redact.Target(target.Target), target.Hostname, from)
		check := func(when string, failures int, open bool) {
			t.Helper()
			i, err := s.Incident(t.Context(), id)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			if !i.From.Equal(from) || i.Failures != failures || i.To.IsZero() != open || i.Reason != probe.ReasonStatusCode || i.Target.Name != "shop" {
				t.Errorf("%s: %+v", when, i)
			}
			e := i.Evidence
			if e == nil || e.Address != "192.0.2.1" || e.HTTP.StatusCode != 503 || len(e.Error) > maxEvidenceText+3 || len(e.Steps) < 2 || len(e.Steps) > 20 {
				t.Errorf("%s: the evidence is %+v", when, e)
			}
			if i.Good == nil || !i.Good.Time.Equal(good) || i.Good.Error != "" {
				t.Errorf("%s: the good probe is %+v", when, i.Good)
			}
			if strings.Contains(string(encodeJSON(i)), canary) {
				t.Errorf("%s: the incident holds the password: %s", when, encodeJSON(i))
			}
			list, err := s.Incidents(t.Context(), IncidentFilter{TargetID: target.ID()}, from.Add(-time.Hour), time.Now(), 0)
			if err != nil || len(list) != 1 || list[0].ID != id {
				t.Errorf("%s: the list is %+v: %v", when, list, err)
			}
			list, err = s.Incidents(t.Context(), IncidentFilter{Open: true}, time.Time{}, time.Time{}, 0)
			if err != nil || len(list) == 1 != open {
				t.Errorf("%s: open are %+v: %v", when, list, err)
			}
		}
		check("before it is written", 2, true)
		flush(t, s)
		check("written", 2, true)
		observe(StateDown)
		stop()
		s, stop = runStore(t, Options{Dir: dir})
		s.Apply([]Target{target})
		flush(t, s)
		check("after a restart", 3, true)
		sum := summaryOf(t, s, Range24h, target)
		if sum.State != StateDown || !sum.Since.Equal(from) || sum.Incident != id {
			t.Errorf("after a restart: %+v", sum)
		}
		s.ObserveUnknown(target.Module, target.Target, target.Hostname, time.Now())
		observe(StateDown)
		up := observe(StateUp)
		flush(t, s)
		check("over", 4, false)
		if sum := summaryOf(t, s, Range24h, target); sum.State != StateUp || !sum.Since.Equal(up) || sum.Incident != "" {
			t.Errorf("up again: %+v", sum)
		}
		observe(StateDown) // it flaps
		flush(t, s)
		list, err := s.Incidents(t.Context(), IncidentFilter{}, time.Time{}, time.Time{}, 0)
		if err != nil || len(list) != 2 || list[0].EvidenceOf != id || !list[0].To.IsZero() {
			t.Errorf("a flapping target: %+v: %v", list, err)
		}
		s.Apply(nil)
		flush(t, s)
		if i, err := s.Incident(t.Context(), list[0].ID); err != nil || !i.Left || i.To.IsZero() {
			t.Errorf("the target left: %+v: %v", i, err)
		}
		stop()
		content, err := os.ReadFile(filepath.Join(dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "canary") {
			t.Error("the file holds the password")
		}
	})
}

// TestTargetsThatLeftWhileStopped ends the incident of a target that is no longer configured after a restart.
func TestTargetsThatLeftWhileStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, stop := runStore(t, Options{Dir: dir})
		defer func() { stop() }()
		s.Apply(crashTargets)
		flush(t, s)
		time.Sleep(time.Minute)
		s.Observe(testRecord(crashTargets[0], time.Now(), StateDown, time.Second))
		last := time.Now().UTC()
		stop()
		time.Sleep(time.Hour)
		s, stop = runStore(t, Options{Dir: dir})
		s.Apply(crashTargets[1:])
		flush(t, s)
		list, err := s.Incidents(t.Context(), IncidentFilter{}, time.Time{}, time.Time{}, 0)
		if err != nil || len(list) != 1 || !list[0].Left || !list[0].To.Equal(last) {
			t.Errorf("incidents: %+v: %v", list, err)
		}
		if results, err := s.Results(t.Context(), crashTargets[0].ID(), last.Add(-time.Hour), time.Now(), 0); err != nil || len(results) != 1 {
			t.Errorf("%d results are left: %v", len(results), err)
		}
	})
}

// TestObserveNeverBlocks: without Run the queue fills up, and what does not fit is counted.
func TestObserveNeverBlocks(t *testing.T) {
	s := New(Options{Dir: t.TempDir()})
	s.Apply(crashTargets)
	r := testRecord(crashTargets[0], time.Now(), StateUp, time.Second)
	for range maxQueue + 10 {
		s.Observe(r)
	}
	if stats := s.Stats(); stats.Dropped != 10 || stats.Pending != maxQueue {
		t.Errorf("%+v", stats)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func FuzzChunk(f *testing.F) {
	bl := &block{points: []point{{time: 5000, interval: 1000, state: up, duration: 300}, {time: 90_000, interval: 1000, state: down}}}
	row, err := unpack(newChunk(bl, 0, 5*minute).encode())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(row)
	f.Add([]byte("\x01\x00\x00N\n\xd0\x0f\xc0\xcf$\x01\x01T\x00\xbe\x02\xd9\xf5\x00\x00\x00\x00\x00\x02\x00\x01 \x01")) // an impossible maximum
	f.Fuzz(func(t *testing.T, row []byte) {
		ch, err := readChunk(row, 0)
		if err != nil {
			return
		}
		for i := range ch.cells {
			if p := ch.cells[i].point(0); p.Min < 0 || p.P50 < 0 || p.Mean < 0 {
				t.Errorf("negative durations: %+v", p)
			}
		}
		if _, err := decodeChunk(ch.encode(), 0); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}

func FuzzState(f *testing.F) {
	l := newLive(crashTargets[0])
	l.turn(&point{time: 1000, interval: 1000, state: up, duration: 20})
	f.Add(l.encodeState(3))
	f.Fuzz(func(t *testing.T, row []byte) {
		l := newLive(crashTargets[0])
		if ok, err := l.readState(pack(row), 3); !ok || err != nil {
			return
		}
		var sum Summary
		l.summary(&sum, make([]Counts, 48), Range24h, 1<<42)
		if ok, err := newLive(crashTargets[0]).readState(pack(l.encodeState(3)), 3); !ok || err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}

func FuzzJournal(f *testing.F) {
	row, err := unpack(encodeJournalRow())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(row)
	f.Fuzz(func(t *testing.T, row []byte) {
		entries, err := decodeJournal(pack(row))
		if err != nil {
			return
		}
		if again, err := decodeJournal(pack(encodeJournal(entries))); err != nil || len(again) != len(entries) {
			t.Errorf("%d entries came back as %d: %v", len(entries), len(again), err)
		}
	})
}

func encodeJournalRow() []byte {
	return pack(encodeJournal([]entry{{7, point{time: 1000, interval: 1000, state: down, failure: failure{"tls", "timeout"}}}}))
}
