package incident

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/probe"
)

// epoch is when the tests begin; what they compare does not depend on it.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func resultAt(at time.Time, up bool) *probe.Result {
	r := &probe.Result{Start: at, Duration: 20 * time.Millisecond}
	if !up {
		r.Failure = &probe.Failure{Stage: probe.StageConnect, Reason: probe.ReasonConnectionRefused, Err: errors.New("connection refused")}
	}
	return r
}

// play feeds results a minute apart ("S" up, "F" down) and writes what came of each: "." None, "D", "U", "R".
func play(results string, p Policy) string {
	w := &Tracker{Subject: Subject{Key: probe.Key{Module: "tcp_connect", Target: "host:1"}, Prober: "tcp"}}
	var out strings.Builder
	at := epoch
	for _, r := range results {
		if r == ' ' {
			out.WriteByte(' ')
			continue
		}
		e, _, _ := w.Observe(resultAt(at, r == 'S'), p)
		out.WriteByte(".DUR"[e])
		at = at.Add(time.Minute)
	}
	return out.String()
}

func TestResultsBecomeEvents(t *testing.T) {
	once := Policy{DownAfter: 1, UpAfter: 1}
	for name, c := range map[string]struct {
		policy        Policy
		results, want string
	}{
		"a first result that is down alerts":   {once, "F", "D"},
		"a first result that is up is silent":  {once, "S S S", ". . ."},
		"down and up are one event each":       {once, "S F F F S S", ". D . . U ."},
		"each incident has its events":         {once, "F S F S F", "D U D U D"},
		"too few failures in a row are None":   {Policy{DownAfter: 3, UpAfter: 1}, "F F S F", ". . . ."},
		"the third failure in a row counts":    {Policy{DownAfter: 3, UpAfter: 1}, "F F S F F F F", ". . . . . D ."},
		"one success does not end an incident": {Policy{DownAfter: 1, UpAfter: 2}, "F S F S S S", "D . . . U ."},
		"both thresholds hold":                 {Policy{DownAfter: 2, UpAfter: 3}, "F F S S F S S S S", ". D . . . . . U ."},
		"reminders come every two minutes": {Policy{DownAfter: 1, UpAfter: 1, RepeatEvery: 2 * time.Minute},
			"F F F F F S F", "D . R . R U D"},
		"a flicker that does not end the incident does not hold back its reminder": {
			Policy{DownAfter: 1, UpAfter: 2, RepeatEvery: 2 * time.Minute}, "F S F S S", "D . R . U"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := play(c.results, c.policy); got != c.want {
				t.Errorf("results %s: got %s, want %s", c.results, got, c.want)
			}
		})
	}
}

func TestADayAtSixHoursGivesThreeReminders(t *testing.T) {
	// The beginning is reported at 0 h, the reminders at 6, 12 and 18 h, and at 24 h the day is over.
	results := strings.Repeat("F", 24*60)
	got := play(results, Policy{DownAfter: 1, UpAfter: 1, RepeatEvery: 6 * time.Hour})
	if n := strings.Count(got, "R"); n != 3 {
		t.Errorf("got %d reminders, want 3", n)
	}
}

// TestRandomResultsAlternate holds for any results under any thresholds: DOWN and UP alternate, beginning with DOWN,
// and each comes exactly when a count by hand says so.
func TestRandomResultsAlternate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		p := Policy{DownAfter: 1 + random.IntN(4), UpAfter: 1 + random.IntN(4)}
		results := make([]byte, 1+random.IntN(60))
		for i := range results {
			results[i] = "SF"[random.IntN(2)]
		}
		checkAlternation(t, string(results), p)
	}
}

func FuzzResults(f *testing.F) {
	f.Add("FFSF", uint8(3), uint8(1))
	f.Add("SFSFSF", uint8(1), uint8(2))
	f.Fuzz(func(t *testing.T, results string, downAfter, upAfter uint8) {
		results = strings.Map(func(r rune) rune { return rune("SF"[r%2]) }, results)
		checkAlternation(t, results, Policy{DownAfter: 1 + int(downAfter%8), UpAfter: 1 + int(upAfter%8)})
	})
}

func checkAlternation(t *testing.T, results string, p Policy) {
	t.Helper()
	got := play(results, p)
	down := false
	for i := range got {
		back := func(n int, r string) bool { return i+1 >= n && results[i+1-n:i+1] == strings.Repeat(r, n) }
		want := byte('.')
		switch {
		case !down && back(p.DownAfter, "F"):
			want, down = 'D', true
		case down && back(p.UpAfter, "S"):
			want, down = 'U', false
		}
		if got[i] != want {
			t.Fatalf("results %s with %+v: got %s, wrong at %d", results, p, got, i)
		}
	}
}

func TestIncidentHasItsTimes(t *testing.T) {
	p := Policy{DownAfter: 2, UpAfter: 2}
	w := &Tracker{Subject: Subject{Key: probe.Key{Module: "m", Target: "host:1"}, Prober: "tcp"}}
	var down, up *Incident
	for i, r := range "SSSFFFSS" {
		e, inc, _ := w.Observe(resultAt(epoch.Add(time.Duration(i)*time.Minute), r == 'S'), p)
		switch e {
		case Down:
			down = inc
		case Up:
			up = inc
		}
	}
	if down == nil || up == nil {
		t.Fatal("the incident was not told")
	}
	if !down.Since.Equal(epoch.Add(3*time.Minute)) || down.UpFor != 3*time.Minute {
		t.Errorf("DOWN: since %v, up for %v; want the first failure, and the time between first success and first failure", down.Since, down.UpFor)
	}
	if down.Reason != probe.ReasonConnectionRefused || down.Detail != "connection refused" || len(down.Recent) != 5 {
		t.Errorf("DOWN: reason %q, detail %q, %d results", down.Reason, down.Detail, len(down.Recent))
	}
	if up.ID != down.ID || !up.Until.Equal(epoch.Add(6*time.Minute)) || !down.Until.IsZero() {
		t.Errorf("UP: id %s until %v, want id %s until the first success; DOWN's own end %v must stay open", up.ID, up.Until, down.ID, down.Until)
	}
}

func TestOlderResultThatComesLateChangesNothing(t *testing.T) {
	p := Policy{DownAfter: 1, UpAfter: 1}
	w := &Tracker{Subject: Subject{Key: probe.Key{Module: "m", Target: "host:1"}}}
	w.Observe(resultAt(epoch.Add(5*time.Second), true), p)
	if e, _, _ := w.Observe(resultAt(epoch, false), p); e != None {
		t.Errorf("a timeout that began before the latest success made event %d", e)
	}
}

func TestClockSetBackMakesNoBurst(t *testing.T) {
	p := Policy{DownAfter: 1, UpAfter: 1, RepeatEvery: time.Hour}
	w := &Tracker{Subject: Subject{Key: probe.Key{Module: "m", Target: "host:1"}}}
	w.Observe(resultAt(epoch, false), p)
	w.latest = time.Time{} // a restart: the monotonic clock begins anew, and the wall clock was set back ten hours
	reminders := 0
	for i := range 30 {
		if e, _, _ := w.Observe(resultAt(epoch.Add(-10*time.Hour+time.Duration(i)*time.Minute), false), p); e == StillDown {
			reminders++
		}
	}
	if reminders > 1 {
		t.Errorf("got %d reminders in half an hour", reminders)
	}
}

func TestCertificateWarningComesOnceADay(t *testing.T) {
	p := Policy{DownAfter: 1, UpAfter: 1, CertWarning: 14 * 24 * time.Hour}
	w := &Tracker{Subject: Subject{Key: probe.Key{Module: "m", Target: "host:1"}}}
	warnings := 0
	for i := range 3 * 24 {
		r := resultAt(epoch.Add(time.Duration(i)*time.Hour), true)
		r.TLS = &probe.TLSFacts{EarliestExpiry: epoch.Add(15 * 24 * time.Hour)}
		w.Observe(r, p)
		if w.WarnOfExpiry(r, p) != nil {
			warnings++
		}
	}
	if warnings != 2 { // the first day is more than 14 days before the end
		t.Errorf("got %d warnings in three days, want 2", warnings)
	}
}

func TestSteadyTargetNeedsNoDiskAndNoAllocation(t *testing.T) {
	p := Policy{DownAfter: 3, UpAfter: 1}
	w := &Tracker{Subject: Subject{Key: probe.Key{Module: "m", Target: "host:1"}}}
	r := resultAt(epoch, true)
	for range 5 {
		w.Observe(r, p)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, _, changed := w.Observe(r, p); changed {
			t.Error("a steady target is to be written")
		}
	}); n != 0 {
		t.Errorf("a steady result allocates %v times", n)
	}
}

// TestOutageLastsByTheMonotonicClock: the wall clock is set forward by eight hours in an outage of seven seconds.
func TestOutageLastsByTheMonotonicClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Policy{DownAfter: 1, UpAfter: 1}
		w := &Tracker{Subject: Subject{Key: probe.Key{Module: "m", Target: "host:1"}}}
		w.Observe(resultAt(time.Now(), false), p)
		time.Sleep(7 * time.Second)
		w.Incident.Since = w.Incident.Since.Add(-8 * time.Hour) // as after the step
		_, up, _ := w.Observe(resultAt(time.Now(), true), p)
		if up.Lasted != 7*time.Second {
			t.Errorf("it lasted %v", up.Lasted)
		}
	})
}

func TestIncidentIDIsThatOfItsFirstFailure(t *testing.T) {
	w := &Tracker{Subject: Subject{Key: probe.Key{Module: "m", Target: "host:1", Hostname: "h"}}}
	var i *Incident
	for n := range 3 {
		_, i, _ = w.Observe(resultAt(epoch.Add(time.Duration(n)*time.Minute), false), Policy{DownAfter: 3, UpAfter: 1})
	}
	if i == nil || i.ID != i.Key.IncidentID(epoch) {
		t.Errorf("got %+v", i)
	}
}

// TestIncidentNeverEndsBeforeItBegins by the clock that people and Alertmanager see, which may be set back meanwhile; the
// other one stands still while a machine sleeps.
func TestIncidentNeverEndsBeforeItBegins(t *testing.T) {
	w := &Tracker{Subject: Subject{Key: probe.Key{Module: "m", Target: "host:1"}}}
	p := Policy{DownAfter: 1, UpAfter: 1}
	_, down, _ := w.Observe(resultAt(time.Now(), false), p)
	if down.Since != down.Since.Round(0) {
		t.Error("an incident begins by the monotonic clock")
	}
	left := w.Abandon("", down.Since.Add(-time.Hour))
	w.latest = time.Time{} // as after a restart
	_, up, _ := w.Observe(resultAt(down.Since.Add(-time.Hour), true), p)
	if !up.Until.Equal(up.Since) || !left.Until.Equal(left.Since) {
		t.Errorf("it lasts from %v to %v or %v", up.Since, up.Until, left.Until)
	}
}

// TestFlappingIsOneIncident: the third outage in close succession begins an incident that ends when the target was up
// for the time to settle. An outage that lasts settles it, too.
func TestFlappingIsOneIncident(t *testing.T) {
	once := Policy{DownAfter: 1, UpAfter: 1}
	settling := Policy{DownAfter: 1, UpAfter: 1, Settle: 5 * time.Minute}
	twice := Policy{DownAfter: 2, UpAfter: 2, Settle: 5 * time.Minute}
	for name, c := range map[string]struct {
		policy        Policy
		results, want string
	}{
		"off":                     {once, "S F S F S F S F S", ". D U D U D U D U"},
		"the third is the last":   {settling, "S F S F S F S F S F S S S S S S S S", ". D U D U D . . . . . . . . . U . ."},
		"far apart":               {settling, "F S S S S S S F S S S S S S F S", "D U . . . . . D U . . . . . D U"},
		"it settles down":         {settling, "F S F S F F F F F F F F S", "D U D U D . . . . R . . U"},
		"it settles and is up":    {settling, "F S F S F S F F F F F F F F S", "D U D U D . . . . . . R . . U"},
		"a single result between": {twice, "F F S S F F S S F F S F F S S S S S S S S", ". D . U . D . U . D . . . . . . . . U . ."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := play(c.results, c.policy); got != c.want {
				t.Errorf("%s became\n%s, want\n%s", c.results, got, c.want)
			}
		})
	}
}

func TestFlapsAreCounted(t *testing.T) {
	tr := &Tracker{Subject: Subject{Key: probe.Key{Module: "m", Target: "host:1"}}}
	p := Policy{DownAfter: 1, UpAfter: 1, Settle: 15 * time.Minute}
	var last *Incident
	for minute := range 60 { // down for one minute of three, until the 30th
		_, i, _ := tr.Observe(resultAt(epoch.Add(time.Duration(minute)*time.Minute), minute%3 != 0 || minute > 30), p)
		if i != nil {
			last = i
		}
	}
	f := last.Flaps
	if f == nil || f.Outages != 11 || f.Down != 11*time.Minute || !f.Since.Equal(epoch) || last.Until.IsZero() {
		t.Fatalf("the incident is %+v, its outages %+v", last, f)
	}
	if got := f.Share(last.Until); got < 0.35 || got > 0.36 {
		t.Errorf("it was down for %v of the time", got)
	}
}

func TestCertificateWarningByShareOfItsLifetime(t *testing.T) {
	for days, want := range map[time.Duration]bool{1: true, 14: true, 15: false, 40: false} {
		r := resultAt(epoch, true)
		expiry := epoch.Add(days * 24 * time.Hour)
		r.TLS = &probe.TLSFacts{EarliestExpiry: expiry, EarliestStart: expiry.Add(-45 * 24 * time.Hour)}
		redirected := resultAt(epoch, true) // from https to http
		redirected.HTTP = &probe.HTTPFacts{Expiring: probe.Validity{NotBefore: r.TLS.EarliestStart, NotAfter: expiry}}
		lasting := resultAt(epoch, true) // to another certificate
		lasting.HTTP, lasting.TLS = redirected.HTTP, &probe.TLSFacts{EarliestStart: epoch, EarliestExpiry: epoch.Add(900 * 24 * time.Hour)}
		for _, r := range []*probe.Result{r, redirected, lasting} {
			i := new(Tracker).WarnOfExpiry(r, Policy{CertShare: 1. / 3})
			if got := i != nil; got != want || got && !i.Expiry.Equal(expiry) {
				t.Errorf("%d of 45 days before the expiry: warned %+v, want %t", days, i, want)
			}
		}
	}
}
