package probe

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLatenessCountsWhatTheSchedulerDoesNotExplain(t *testing.T) {
	last := time.Now()
	for late, want := range map[time.Duration]time.Duration{
		0: 0, stallSlack - 1: 0, stallSlack: stallSlack, time.Second: time.Second, -stallTick: 0,
	} {
		if got := lateness(last, last.Add(stallTick+late)); got != want {
			t.Errorf("%v late: %v, want %v", late, got, want)
		}
	}
	// While the machine sleeps, only the wall clock goes on.
	asleep := lateness(last.Round(0), last.Round(0).Add(time.Hour))
	if asleep != time.Hour-stallTick {
		t.Errorf("after an hour of sleep: %v", asleep)
	}
}

func TestStallMeterCountsTheStallThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m StallMeter
		m.started = time.Now()
		m.ticked.Store(1)
		m.recorded.Store(int64(time.Second))
		time.Sleep(stallTick)
		if got := m.Total(); got != time.Second {
			t.Errorf("in time: %v", got)
		}
		time.Sleep(3 * time.Second) // no tick comes
		if got := m.Total(); got < 4*time.Second-stallSlack {
			t.Errorf("three seconds later: %v", got)
		}
	})
	if got := (*StallMeter)(nil).Total(); got != 0 {
		t.Errorf("a nil meter: %v", got)
	}
}

func TestFailureIsDoubtedWhenItMayBeOurs(t *testing.T) {
	future := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		reason  Reason
		took    time.Duration
		stalled time.Duration
		built   time.Time
		cut     bool
		want    Fault // empty: it is the target's
	}{
		"a reset":                               {reason: ReasonConnectionReset, took: time.Second},
		"a reset after a stall":                 {reason: ReasonConnectionReset, took: 3 * time.Second, stalled: 2 * time.Second, want: FaultStalled},
		"no match after a stall":                {reason: ReasonNoMatch, took: 3 * time.Second, stalled: 2 * time.Second, want: FaultStalled},
		"a timeout with a short stall":          {reason: ReasonTimeout, took: 4 * time.Second, stalled: time.Second / 2},
		"a timeout throttled for a quarter":     {reason: ReasonTimeout, took: 4 * time.Second, stalled: time.Second, want: FaultStalled},
		"a timeout that was noticed late":       {reason: ReasonTimeout, took: 6 * time.Second, want: FaultStalled},
		"not yet valid, by a clock that is off": {reason: ReasonCertificateNotYetValid, built: future, want: FaultClock},
		"not yet valid":                         {reason: ReasonCertificateNotYetValid, built: time.Now().Add(-time.Hour)},
		"refused while our line is cut":         {reason: ReasonConnectionRefused, cut: true, want: FaultIsolated},
		"refused, by a clock that is off":       {reason: ReasonConnectionRefused, built: future},
	} {
		t.Run(name, func(t *testing.T) {
			r := Runner{Built: c.built, Isolated: func(k Key) bool { return c.cut && k == Key{"m", "t", "h"} }}
			result := Result{Duration: c.took, Failure: Failf(StageConnect, c.reason, "x")}
			err := r.doubt("m", &result, Request{Target: "t", Hostname: "h", Timeout: 4 * time.Second}, c.stalled)
			var e *ExporterError
			if errors.As(err, &e); c.want == "" && err != nil || c.want != "" && (e == nil || e.Fault != c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
