package store

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rollcall/history"
	"rollcall/history/block"
	"rollcall/probe"
	"rollcall/probe/probetest"
	"rollcall/probe/tlsclient"
)

const canary = "hunter2-canary"

// TestIncidentsSurviveRestarts follows a target down, over a restart, and up again, with what its first failing probe saw.
func TestIncidentsSurviveRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		target := &probe.Target{Module: "http_2xx", Target: "https://user:" + canary + "@a.example/x", Hostname: "b.example", Name: "shop", Interval: time.Minute}
		s, stop := runStore(t, Options{Dir: dir})
		defer func() { stop() }()
		s.Apply([]*probe.Target{target})
		flush(t, s)
		observe := func(state history.State) time.Time {
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
		observe(history.StateUp)
		good := observe(history.StateUp)
		from := observe(history.StateDown)
		observe(history.StateDown)
		synctest.Wait()
		id := target.Key().IncidentID(from)
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
			list, err := s.Incidents(t.Context(), history.IncidentFilter{TargetID: target.ID()}, from.Add(-time.Hour), time.Now(), 0)
			if err != nil || len(list) != 1 || list[0].ID != id {
				t.Errorf("%s: the list is %+v: %v", when, list, err)
			}
			list, err = s.Incidents(t.Context(), history.IncidentFilter{Open: true}, time.Time{}, time.Time{}, 0)
			if err != nil || len(list) == 1 != open {
				t.Errorf("%s: open are %+v: %v", when, list, err)
			}
		}
		check("before it is written", 2, true)
		flush(t, s)
		check("written", 2, true)
		observe(history.StateDown)
		stop()
		s, stop = runStore(t, Options{Dir: dir})
		s.Apply([]*probe.Target{target})
		flush(t, s)
		check("after a restart", 3, true)
		sum := summaryOf(t, s, history.Range24h, target)
		if sum.State != history.StateDown || !sum.Since.Equal(from) || sum.Incident != id {
			t.Errorf("after a restart: %+v", sum)
		}
		s.ObserveUnknown(target.Key(), time.Now())
		observe(history.StateDown)
		up := observe(history.StateUp)
		flush(t, s)
		check("over", 4, false)
		if sum := summaryOf(t, s, history.Range24h, target); sum.State != history.StateUp || !sum.Since.Equal(up) || sum.Incident != "" {
			t.Errorf("up again: %+v", sum)
		}
		observe(history.StateDown) // it flaps
		flush(t, s)
		list, err := s.Incidents(t.Context(), history.IncidentFilter{}, time.Time{}, time.Time{}, 0)
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

// TestEvidenceHasTheChain: what the peer presented is kept, with fingerprints, also after a restart; a good probe's is not.
func TestEvidenceHasTheChain(t *testing.T) {
	authority := probetest.NewAuthority(t)
	leaf := authority.Issue()
	parsed, err := x509.ParseCertificate(leaf.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	presented := []*x509.Certificate{parsed, authority.Cert}
	target := crashTargets[0]
	record := func(state history.State) *probe.Record {
		r := testRecord(target, time.Now(), state, time.Second)
		r.Result.TLS = &probe.TLSFacts{Version: 0x304, Leaf: tlsclient.CertificateFacts(parsed), Presented: presented}
		return r
	}
	dir := t.TempDir()
	s, stop := runStore(t, Options{Dir: dir})
	s.Apply(crashTargets)
	flush(t, s)
	s.Observe(record(history.StateUp))
	s.Observe(record(history.StateDown))
	flush(t, s)
	stop()
	s, stop = runStore(t, Options{Dir: dir})
	defer stop()
	s.Apply(crashTargets)
	flush(t, s)
	list, err := s.Incidents(t.Context(), history.IncidentFilter{}, time.Time{}, time.Time{}, 0)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v: %v", list, err)
	}
	i, err := s.Incident(t.Context(), list[0].ID)
	if err != nil || i.Evidence == nil || i.Good == nil {
		t.Fatalf("%+v: %v", i, err)
	}
	if len(i.Good.Chain) != 0 || i.Good.TLS.Leaf.FingerprintSHA256 == "" {
		t.Errorf("the good probe has %+v and %+v", i.Good.Chain, i.Good.TLS)
	}
	if len(i.Evidence.Chain) != len(presented) {
		t.Fatalf("the chain is %+v", i.Evidence.Chain)
	}
	for n, c := range presented {
		got := i.Evidence.Chain[n]
		sum := sha256.Sum256(c.Raw)
		if got.Facts.Subject != c.Subject.String() || got.Facts.Issuer != c.Issuer.String() || !got.Expiry.Equal(c.NotAfter) || got.Facts.FingerprintSHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("certificate %d is %+v", n, got)
		}
	}
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
		s.Observe(testRecord(crashTargets[0], time.Now(), history.StateDown, time.Second))
		last := time.Now().UTC()
		stop()
		time.Sleep(time.Hour)
		s, stop = runStore(t, Options{Dir: dir})
		s.Apply(crashTargets[1:])
		flush(t, s)
		list, err := s.Incidents(t.Context(), history.IncidentFilter{}, time.Time{}, time.Time{}, 0)
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
	r := testRecord(crashTargets[0], time.Now(), history.StateUp, time.Second)
	for range maxQueue + 10 {
		s.Observe(r)
	}
	if stats := s.Stats(); stats.Dropped != 10 || stats.Pending != maxQueue {
		t.Errorf("%+v", stats)
	}
}

// TestMain makes the compressor before any test: the channel of one that a test's bubble makes could be used by no other test.
func TestMain(m *testing.M) {
	block.Pack(nil)
	goleak.VerifyTestMain(m)
}

// FuzzTarget: whatever a target's row holds, reading it and showing the target does not fail.
func FuzzTarget(f *testing.F) {
	l := newLive(7)
	l.configure(crashTargets[0])
	l.count(&block.Point{Turn: block.Turn{Time: 1000, Interval: 1000}, State: block.Up, Duration: 20})
	f.Add(encodeJSON(&targetRow{Target: *l.info, State: l.state}))
	f.Fuzz(func(t *testing.T, text []byte) {
		row, err := decodeTarget(append(make([]byte, rowHead), block.Pack(text)...))
		if err != nil {
			return
		}
		l := newLive(7)
		l.restore(row)
		l.count(&block.Point{Turn: block.Turn{Time: 1 << 41, Interval: 1000}, State: block.Up, Duration: 20})
		var sum history.Summary
		l.summary(&sum, make([]history.Counts, 48), history.Range24h, 1<<42)
		if _, err := decodeTarget(packRow((&targetRow{Target: *l.info, State: l.state}).encode())); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}

func FuzzJournal(f *testing.F) {
	p := block.Point{Turn: block.Turn{Time: 1000, Interval: 1000}, State: block.Down, Failure: &block.Failure{Stage: "tls", Reason: "timeout"}}
	f.Add(block.AppendPoint(numbers(nil, 7), new(block.Point), &p))
	f.Fuzz(func(t *testing.T, row []byte) {
		var again []byte
		entries := 0
		err := eachEntry(block.Pack(row), func(id uint64, p *block.Point) {
			entries++
			again = block.AppendPoint(numbers(again, id), new(block.Point), p)
		})
		if err != nil {
			return
		}
		if err := eachEntry(block.Pack(again), func(uint64, *block.Point) { entries-- }); err != nil || entries != 0 {
			t.Errorf("%d entries are missing: %v", entries, err)
		}
	})
}

// TestRowIDs: a target's ID has 16 digits and an incident's 24; what is none finds nothing.
func TestRowIDs(t *testing.T) {
	for id, want := range map[string]uint64{
		"0123456789abcdef": 0x0123456789abcdef, "0123456789abcdef00112233": 0x0123456789abcdef, "ffffffffffffffff": 1<<64 - 1,
		"": 0, "0123": 0, "0123456789abcdeg": 0, "0123456789abcdef0011223": 0, "-123456789abcdef": 0, "0123456789abcdef001122334": 0,
	} {
		if got := rowID(id); got != want {
			t.Errorf("%q is row %x, want %x", id, got, want)
		}
	}
}

// TestIncidentsOfOneRow: IDs that begin with the same 16 digits have one row, which holds only one of them.
func TestIncidentsOfOneRow(t *testing.T) {
	s, stop := runStore(t, Options{Dir: t.TempDir()})
	defer stop()
	s.Apply(crashTargets)
	flush(t, s)
	s.Observe(testRecord(crashTargets[0], time.Now(), history.StateDown, time.Second))
	s.Observe(testRecord(crashTargets[0], time.Now().Add(time.Minute), history.StateUp, time.Second))
	flush(t, s)
	list, err := s.Incidents(t.Context(), history.IncidentFilter{}, time.Time{}, time.Time{}, 0)
	if err != nil || len(list) != 1 || len(list[0].ID) != 24 {
		t.Fatalf("%+v: %v", list, err)
	}
	id := list[0].ID
	if i, err := s.Incident(t.Context(), id); err != nil || i.ID != id {
		t.Errorf("%+v: %v", i, err)
	}
	for _, other := range []string{id[:16], id[:16] + "00000000", id[:23], id + "0", ""} {
		if i, err := s.Incident(t.Context(), other); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("%q is %+v: %v", other, i, err)
		}
	}
}

// TestIncidentsOutliveAPartOfTheTargets: as long as not all configured targets are known, none has left.
func TestIncidentsOutliveAPartOfTheTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, both := t.TempDir(), crashTargets[:2]
		s, stop := runStore(t, Options{Dir: dir})
		s.Apply(both)
		flush(t, s)
		s.Observe(testRecord(both[1], time.Now(), history.StateDown, time.Second))
		flush(t, s)
		stop()
		time.Sleep(time.Minute)

		s, stop = runStore(t, Options{Dir: dir})
		defer func() { stop() }()
		open := func(want bool) (id string) {
			t.Helper()
			flush(t, s)
			all, err := s.Incidents(t.Context(), history.IncidentFilter{}, time.Time{}, time.Now(), 10)
			if err != nil || len(all) != 1 {
				t.Fatalf("%v, %v", all, err)
			}
			if all[0].To.IsZero() != want || all[0].Left == want {
				t.Errorf("open: %t, left: %t", all[0].To.IsZero(), all[0].Left)
			}
			return all[0].ID
		}
		s.ApplyPart(both[:1])
		id := open(true)
		s.ApplyPart(both)
		flush(t, s)
		s.Observe(testRecord(both[1], time.Now(), history.StateDown, time.Second))
		if again := open(true); again != id {
			t.Errorf("the incident is %s, want %s", again, id)
		}
		s.ApplyPart(both[:1]) // a reload, with a new source that has yet to answer
		open(true)
		s.Apply(both[:1])
		open(false)
	})
}

// TestAnotherReasonHasEvidenceOfItsOwn: what the first failing probe of a former incident saw says nothing about it.
func TestAnotherReasonHasEvidenceOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := crashTargets[0]
		s, stop := runStore(t, Options{Dir: t.TempDir()})
		defer stop()
		s.Apply([]*probe.Target{target})
		flush(t, s)
		outage := func(reason probe.Reason) {
			time.Sleep(time.Minute)
			down := testRecord(target, time.Now(), history.StateDown, time.Second)
			down.Result.Failure.Reason = reason
			s.Observe(down)
			time.Sleep(time.Minute)
			s.Observe(testRecord(target, time.Now(), history.StateUp, time.Second))
		}
		outage(probe.ReasonStatusCode)
		outage(probe.ReasonConnectionRefused)
		outage(probe.ReasonConnectionRefused)
		flush(t, s)
		all, err := s.Incidents(t.Context(), history.IncidentFilter{}, time.Time{}, time.Now(), 10) // the latest first
		if err != nil || len(all) != 3 || all[2].EvidenceOf != "" || all[1].EvidenceOf != "" || all[0].EvidenceOf != all[1].ID {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// TestTargetsThatLeftBeforeTheFileWasThere ends the incident of a target that is no longer configured, although the file could
// not be opened when the configuration was applied.
func TestTargetsThatLeftBeforeTheFileWasThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "storage")
		s, stop := runStore(t, Options{Dir: dir})
		defer func() { stop() }()
		s.Apply(crashTargets)
		flush(t, s)
		s.Observe(testRecord(crashTargets[0], time.Now(), history.StateDown, time.Second))
		stop()
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s, stop = runStore(t, Options{Dir: dir})
		s.Apply(crashTargets[1:])
		synctest.Wait()
		if s.Status().Problem == "" {
			t.Fatal("the file could be opened")
		}
		if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * retryEvery)
		list, err := s.Incidents(t.Context(), history.IncidentFilter{}, time.Time{}, time.Time{}, 0)
		if err != nil || len(list) != 1 || !list[0].Left {
			t.Errorf("incidents: %+v: %v", list, err)
		}
	})
}
