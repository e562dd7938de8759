package probe_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// late finds that the time is up so much later than it was.
type late time.Duration

func (l late) Probe(ctx context.Context, _ probe.Request) (probe.Result, error) {
	<-ctx.Done()
	time.Sleep(time.Duration(l))
	return probe.Result{Failure: probe.Failf(probe.StageResponse, probe.ReasonTimeout, "waiting for the answer: %w", ctx.Err())}, nil
}

func TestATimeoutThatIsNoticedFarTooLateSaysNothingAboutTheTarget(t *testing.T) {
	for name, c := range map[string]struct {
		overdue time.Duration
		stalled bool
	}{
		"at once":                 {0, false},
		"on a busy machine":       {900 * time.Millisecond, false},
		"after the machine slept": {2 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				record, err := new(probe.Runner).Do(t.Context(), &probe.Module{Timeout: time.Second, Prober: late(c.overdue)}, probe.Request{})
				var fault *probe.ExporterError
				if stalled := errors.As(err, &fault) && fault.Fault == probe.FaultStalled; stalled != c.stalled {
					t.Errorf("got %v and %v", record.Result.Failure, err)
				}
			})
		})
	}
}

// TestTheTimeThatARequestWaited counts as the target's only as far as it can make no difference.
func TestTheTimeThatARequestWaited(t *testing.T) {
	for name, c := range map[string]struct {
		late  time.Duration
		takes time.Duration // until the target answers
		fault probe.Fault   // "": a verdict
		after time.Duration
	}{
		"little, no answer":     {late: time.Second, takes: time.Hour, after: 9 * time.Second},
		"much, no answer":       {late: time.Second + 1, takes: time.Hour, fault: probe.FaultStalled, after: 9*time.Second - 1},
		"much, an answer":       {late: 9 * time.Second, takes: time.Second / 2, after: time.Second / 2},
		"all":                   {late: 10 * time.Second, takes: 0, fault: probe.FaultBusy},
		"more than there is":    {late: time.Minute, takes: 0, fault: probe.FaultBusy},
		"none, answered at 9.9": {takes: 9900 * time.Millisecond, after: 9900 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				prober := proberFunc(func(ctx context.Context, _ probe.Request) (probe.Result, error) {
					select {
					case <-ctx.Done():
						return probe.Result{Failure: probe.Failf(probe.StageResponse, probe.ReasonTimeout, "waiting for the answer: %w", ctx.Err())}, nil
					case <-time.After(c.takes):
						return probe.Result{}, nil
					}
				})
				start := time.Now()
				record, err := new(probe.Runner).Do(t.Context(), &probe.Module{Prober: prober}, probe.Request{Timeout: 10 * time.Second, Late: c.late})
				if took := time.Since(start); took != c.after {
					t.Errorf("it took %v, want %v", took, c.after)
				}
				if c.fault != "" {
					probetest.WantExporterError(t, err, c.fault)
				} else if down := record.Result.Failure != nil; err != nil || down != (c.takes == time.Hour) {
					t.Errorf("got %v and %v", record.Result.Failure, err)
				}
			})
		})
	}
}

// proberFunc is a prober by its one method.
type proberFunc func(context.Context, probe.Request) (probe.Result, error)

func (f proberFunc) Probe(ctx context.Context, r probe.Request) (probe.Result, error) {
	return f(ctx, r)
}

// told counts what observers receive.
type told int

func (n *told) Observe(*probe.Record) { *n++ }

func TestRunnerTellsObserversOfVerdictsOnly(t *testing.T) {
	down := probe.Result{Failure: probe.Failf(probe.StageConnect, probe.ReasonConnectionRefused, "refused")}
	for name, c := range map[string]struct {
		result probe.Result
		err    error
		panics bool
		gone   bool // the caller, before the probe ends
		want   error
	}{
		"up":              {},
		"down":            {result: down},
		"a fault of ours": {err: &probe.ExporterError{Fault: probe.FaultMemory, Err: down.Failure}, want: &probe.ExporterError{Fault: probe.FaultMemory}},
		"a panic":         {panics: true, want: &probe.ExporterError{Fault: probe.FaultPanic}},
		"no caller":       {result: down, gone: true, want: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			prober := proberFunc(func(context.Context, probe.Request) (probe.Result, error) {
				if c.panics {
					panic("a bug")
				}
				if c.gone {
					hangUp()
				}
				return c.result, c.err
			})
			var heard told
			r := probe.Runner{Observers: []probe.Observer{&heard}}
			_, err := r.Do(ctx, &probe.Module{Name: "m", Prober: prober}, probe.Request{Target: "x"})
			if (heard == 1) != (c.want == nil) {
				t.Errorf("the observer heard %d times", heard)
			}
			got, _ := errors.AsType[*probe.ExporterError](err)
			want, _ := errors.AsType[*probe.ExporterError](c.want)
			switch {
			case want != nil && (got == nil || got.Fault != want.Fault), want == nil && !errors.Is(err, c.want):
				t.Errorf("the error is %v, want %v", err, c.want)
			case r.InFlight() != 0:
				t.Errorf("%d probes are in flight afterwards", r.InFlight())
			}
		})
	}
}

func TestRunnerKeepsTheDurationThatAProberMeasured(t *testing.T) {
	for _, measured := range []time.Duration{0, time.Hour} {
		m := &probe.Module{Prober: proberFunc(func(context.Context, probe.Request) (probe.Result, error) {
			return probe.Result{Duration: measured}, nil
		})}
		record, err := new(probe.Runner).Do(t.Context(), m, probe.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if got := record.Result.Duration; measured > 0 && got != measured || got <= 0 {
			t.Errorf("Duration = %v, the Prober said %v", got, measured)
		}
	}
}

func TestRunnerRefusesWhatIsTooMuchOrTooLate(t *testing.T) {
	wait, enter := make(chan struct{}), make(chan struct{})
	m := &probe.Module{Name: "m", Prober: proberFunc(func(context.Context, probe.Request) (probe.Result, error) {
		enter <- struct{}{}
		<-wait
		return probe.Result{}, nil
	})}
	r := probe.Runner{MaxInFlight: 1}
	var first sync.WaitGroup
	first.Go(func() {
		if _, err := r.Do(t.Context(), m, probe.Request{}); err != nil {
			t.Errorf("the probe in flight ends with %v", err)
		}
	})
	<-enter
	_, err := r.Do(t.Context(), m, probe.Request{})
	probetest.WantExporterError(t, err, probe.FaultBusy)
	r.Close()
	close(wait)
	first.Wait()
	_, err = r.Do(t.Context(), m, probe.Request{})
	probetest.WantExporterError(t, err, probe.FaultShutdown)
}

// TestScheduledProbeKeepsStepsOfAFailure: they are the evidence of an incident; those of a good probe are not kept.
func TestScheduledProbeKeepsStepsOfAFailure(t *testing.T) {
	var up bool
	var made int
	module := &probe.Module{Timeout: time.Second, Prober: proberFunc(func(_ context.Context, r probe.Request) (probe.Result, error) {
		r.Trace.Later(func() []string { made++; return []string{"a step"} })
		if up {
			return probe.Result{}, nil
		}
		return probe.Result{Failure: probe.Failf(probe.StageCheck, probe.ReasonStatusCode, "503")}, nil
	})}
	for _, c := range []struct {
		scheduled, up bool
		steps         int
	}{{true, false, 1}, {true, true, 0}, {false, false, 0}} {
		up, made = c.up, 0
		record, err := new(probe.Runner).Do(t.Context(), module, probe.Request{Scheduled: c.scheduled})
		if made != c.steps { // what keeps the record keeps text, and not the answer that it is made of
			t.Errorf("%+v: lines were made %d times", c, made)
		}
		if err != nil || len(record.Trace.Steps()) != c.steps {
			t.Errorf("%+v: %d steps: %v", c, len(record.Trace.Steps()), err)
		}
	}
}
