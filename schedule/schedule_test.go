package schedule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/probe"
)

// log keeps when each target was probed, and how long each probe takes.
type log struct {
	mu    sync.Mutex
	times map[string][]time.Time
	takes time.Duration
	last  probe.Request
	fails atomic.Bool

	verdicts int // observed
}

// Observe implements probe.Observer.
func (l *log) Observe(*probe.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.verdicts++
}

func (l *log) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	l.mu.Lock()
	l.times[req.Target] = append(l.times[req.Target], time.Now())
	l.last = req
	takes := l.takes
	l.mu.Unlock()
	// Not time.After: with the race detector of Go 1.26, ten thousand channels of timers in a bubble now and then crash the runtime.
	over, cancel := context.WithTimeout(ctx, takes)
	defer cancel()
	<-over.Done()
	switch {
	case ctx.Err() != nil:
		return probe.Result{Failure: &probe.Failure{Stage: probe.StageConnect, Reason: probe.ReasonTimeout, Err: ctx.Err()}}, nil
	case l.fails.Load():
		return probe.Result{Failure: &probe.Failure{Stage: probe.StageConnect, Reason: probe.ReasonConnectionRefused}}, nil
	default:
		return probe.Result{}, nil
	}
}

func (l *log) of(target string) []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.times[target])
}

func every(interval time.Duration, targets ...string) []Entry {
	var all []Entry
	for _, t := range targets {
		all = append(all, Entry{Target: &probe.Target{Target: t, Module: "m", Interval: interval}})
	}
	return all
}

// run starts a scheduler in the bubble; stop ends it.
func run(t *testing.T, l *log, targets []Entry) (s *Scheduler, stop func()) {
	t.Helper()
	l.times = make(map[string][]time.Time)
	s = &Scheduler{
		Runner: &probe.Runner{Observers: []probe.Observer{l}},
		Module: func(name string) (*probe.Module, error) {
			if name != "m" {
				return nil, errors.New("unknown module")
			}
			return &probe.Module{Name: name, Prober: l, Timeout: 10 * time.Second}, nil
		},
		Failed: func(err error) { t.Errorf("a probe failed: %v", err) },
		Logger: slog.New(slog.DiscardHandler),
	}
	return s, start(t, s, targets)
}

// start has a scheduler probe targets; stop ends it.
func start(t *testing.T, s *Scheduler, targets []Entry) (stop func()) {
	s.Apply(targets)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// TestTurnWithoutVerdictIsReported: a target whose probe fails because of us is named, with the time of its turn.
func TestTurnWithoutVerdictIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type turn struct {
			module, target string
			at             time.Time
		}
		var turns []turn
		failing := failingProber{}
		s := &Scheduler{
			Runner: new(probe.Runner),
			Module: func(name string) (*probe.Module, error) {
				return &probe.Module{Name: name, Prober: failing, Timeout: 10 * time.Second}, nil
			},
			Failed:    func(error) {},
			NoVerdict: func(tg *probe.Target, at time.Time) { turns = append(turns, turn{tg.Module, tg.Target, at}) },
			Logger:    slog.New(slog.DiscardHandler),
		}
		s.Apply(every(time.Minute, "a:1"))
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(90*time.Second, cancel)
		s.Run(ctx)
		if len(turns) == 0 || turns[0].module != "m" || turns[0].target != "a:1" || turns[0].at.Before(began) || turns[0].at.After(began.Add(time.Minute)) {
			t.Errorf("%+v", turns)
		}
	})
}

type failingProber struct{}

func (failingProber) Probe(ctx context.Context, _ probe.Request) (probe.Result, error) {
	time.Sleep(time.Second)
	return probe.Result{}, &probe.ExporterError{Fault: probe.FaultDescriptors, Err: errors.New("too many open files")}
}

func TestEachTargetKeepsItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		targets := append(every(time.Minute, "a:1"), every(15*time.Second, "b:1")...)
		_, stop := run(t, l, targets)
		time.Sleep(10 * time.Minute)
		stop()
		for target, want := range map[string]int{"a:1": 10, "b:1": 40} {
			times := l.of(target)
			if len(times) != want {
				t.Errorf("%s was probed %d times in ten minutes, want %d", target, len(times), want)
			}
			for i := 2; i < len(times); i++ {
				if times[i].Sub(times[i-1]) != times[1].Sub(times[0]) {
					t.Errorf("%s was probed %v after the one before", target, times[i].Sub(times[i-1]))
				}
			}
		}
		if !l.last.Scheduled || l.last.Timeout != 10*time.Second {
			t.Errorf("the request was %+v", l.last)
		}
	})
}

func TestTargetsAreSpreadOverTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		var names []string
		for n := range 600 {
			names = append(names, fmt.Sprintf("host-%d:80", n))
		}
		_, stop := run(t, l, every(time.Minute, names...))
		begin := time.Now()
		time.Sleep(time.Minute)
		stop()
		perSecond := make(map[int]int)
		for _, name := range names {
			times := l.of(name)
			if len(times) != 1 {
				t.Fatalf("%s was probed %d times in the first minute, want once", name, len(times))
			}
			perSecond[int(times[0].Sub(begin)/time.Second)]++
		}
		for second, n := range perSecond {
			if n > 40 { // ten on average
				t.Errorf("%d targets were probed in second %d", n, second)
			}
		}
	})
}

func TestReloadKeepsTheRhythmOfWhatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		s, stop := run(t, l, every(time.Minute, "stays:1", "goes:1"))
		for range 50 {
			time.Sleep(13 * time.Second)
			s.Apply(every(time.Minute, "stays:1", "comes:1"))
		}
		stop()
		times := l.of("stays:1")
		for i := 1; i < len(times); i++ {
			if d := times[i].Sub(times[i-1]); d != time.Minute {
				t.Errorf("after a reload the next probe came after %v", d)
			}
		}
		if n := len(l.of("goes:1")); n > 1 {
			t.Errorf("a target that is gone was probed %d times", n)
		}
		if n := len(l.of("comes:1")); n < 9 {
			t.Errorf("a new target was probed %d times in ten minutes", n)
		}
	})
}

func TestMissedTimesAreNotMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{takes: 9 * time.Second}
		_, stop := run(t, l, every(5*time.Second, "slow:1")) // the timeout is then the interval
		time.Sleep(time.Minute)
		stop()
		if n := len(l.of("slow:1")); n < 6 || n > 12 {
			t.Errorf("a probe that takes its whole interval ran %d times in a minute", n)
		}
	})
}

func TestStopEndsProbesAndIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{takes: time.Hour}
		_, stop := run(t, l, every(time.Minute, "a:1"))
		for len(l.of("a:1")) == 0 {
			time.Sleep(time.Second)
		}
		begin := time.Now()
		stop()
		if took := time.Since(begin); took != 0 {
			t.Errorf("stopping took %v", took)
		}
		if l.verdicts != 0 {
			t.Error("a probe that was stopped became a verdict")
		}
	})
}

// refusing is a prober whose guard says no while denies is set.
type refusing struct{ denies atomic.Bool }

func (r *refusing) Probe(context.Context, probe.Request) (probe.Result, error) {
	if r.denies.Load() {
		return probe.Result{}, &probe.DeniedError{Err: errors.New("10.0.0.1:25 is denied")}
	}
	return probe.Result{}, nil
}

func TestATargetThatTheGuardRefusesIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		prober := new(refusing)
		s := &Scheduler{
			Runner: new(probe.Runner),
			Module: func(string) (*probe.Module, error) { return &probe.Module{Name: "m", Prober: prober}, nil },
			Failed: func(error) {},
			Logger: slog.New(slog.NewTextHandler(&said, nil)),
		}
		s.Apply(every(time.Second, "http://u:secret@mail.example.com"))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		for _, denies := range []bool{true, false, true} {
			prober.denies.Store(denies)
			time.Sleep(10 * time.Second)
		}
		cancel()
		running.Wait()
		if n := strings.Count(said.String(), "may not be probed"); n != 2 {
			t.Errorf("two times of refusal were logged %d times:\n%s", n, &said)
		}
		if !strings.Contains(said.String(), "10.0.0.1:25 is denied") || strings.Contains(said.String(), "secret") {
			t.Errorf("the log says %s", &said)
		}
	})
}

// TestConfirmInterval: a target that fails is probed faster until its alert's threshold is reached, and its own times stay
// as they are.
func TestConfirmInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		target := Entry{Target: &probe.Target{Target: "a:1", Module: "m", Interval: time.Minute}, ConfirmInterval: 5 * time.Second, DownAfter: 3}
		_, stop := run(t, l, []Entry{target})
		l.fails.Store(true)
		time.Sleep(3 * time.Minute)
		stop()
		var after []time.Duration
		times := l.of("a:1")
		for i := 1; i < len(times); i++ {
			after = append(after, times[i].Sub(times[i-1]))
		}
		want := []time.Duration{5 * time.Second, 5 * time.Second, 50 * time.Second, time.Minute}
		if !slices.Equal(after, want) {
			t.Errorf("probed again after %v, want %v", after, want)
		}
	})
}

func TestHurriedTargetIsProbedOutOfTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		s, stop := run(t, l, every(time.Hour, "a:1", "b:1"))
		time.Sleep(90 * time.Minute)
		a, b := l.of("a:1"), l.of("b:1")
		begin := time.Now()
		s.Hurry(probe.Key{Module: "m", Target: "a:1"})
		s.Hurry(probe.Key{Module: "m", Target: "gone:1"})
		time.Sleep(time.Second)
		now := l.of("a:1")
		if len(now) != len(a)+1 || now[len(a)].Sub(begin) > grid || len(l.of("b:1")) != len(b) {
			t.Errorf("probed at %v", now)
		}
		time.Sleep(time.Hour - time.Second)
		if all := l.of("a:1"); len(all) != len(now)+1 || all[len(now)].Sub(a[len(a)-1])%time.Hour != 0 {
			t.Errorf("its own turns are lost: %v", all)
		}
		stop()
	})
}

// TestProbesStartOnAGrid: there are at most twenty wake-ups a second.
func TestProbesStartOnAGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		var names []string
		for n := range 100 {
			names = append(names, fmt.Sprintf("host-%d:80", n))
		}
		_, stop := run(t, l, every(1234567*time.Microsecond, names...))
		time.Sleep(10 * time.Second)
		stop()
		for _, name := range names {
			for _, at := range l.of(name) {
				if at.UnixNano()%int64(50*time.Millisecond) != 0 {
					t.Fatalf("%s was probed at %v", name, at)
				}
			}
		}
	})
}

// TestProbesWaitForRoom: of probes that start together more than may run at once, all run, at their own times again and again.
func TestProbesWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{takes: 20 * time.Millisecond, times: make(map[string][]time.Time)}
		var names []string
		for n := range 100 {
			names = append(names, fmt.Sprintf("host-%d:80", n))
		}
		s := &Scheduler{
			Runner: &probe.Runner{MaxInFlight: 3},
			Module: func(name string) (*probe.Module, error) { return &probe.Module{Name: name, Prober: l}, nil },
			Failed: func(err error) { t.Errorf("a probe failed: %v", err) },
			Logger: slog.New(slog.DiscardHandler),
		}
		stop := start(t, s, every(time.Second, names...))
		time.Sleep(10*time.Second + fullWait)
		for _, name := range names {
			if n := len(l.of(name)); n < 10 {
				t.Errorf("%s was probed %d times in 10 s", name, n)
			}
		}
		// When nothing ends, they are refused, and not put off for ever.
		stop()
		var refused atomic.Int64
		l.takes = time.Hour
		s.Failed = func(error) { refused.Add(1) }
		stop = start(t, s, every(time.Second, names...))
		time.Sleep(900*time.Millisecond + fullWait)
		if n := refused.Load(); n < 50 {
			t.Errorf("%d probes were refused", n)
		}
		stop()
	})
}

// TestSwapOf10000Targets: what stays is probed at its own times and never twice, whatever is added and removed beside it.
func TestSwapOf10000Targets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		names := func(from, to int) (all []string) {
			for n := from; n < to; n++ {
				all = append(all, fmt.Sprintf("host-%d:80", n))
			}
			return all
		}
		s, stop := run(t, l, every(time.Minute, names(0, 10_000)...))
		time.Sleep(90 * time.Second)
		s.Apply(every(time.Minute, names(5_000, 15_000)...))
		time.Sleep(90 * time.Second)
		stop()
		for _, name := range names(5_000, 10_000) {
			times := l.of(name)
			if len(times) < 3 {
				t.Fatalf("%s, which stays, was probed at %v", name, times)
			}
			for i := 1; i < len(times); i++ {
				if times[i].Sub(times[i-1]) != time.Minute {
					t.Fatalf("%s, which stays, was probed at %v", name, times)
				}
			}
		}
	})
}

// TestLateTurnsAreLeftOut: turns that are late by more than a tenth of the interval are left out.
func TestLateTurnsAreLeftOut(t *testing.T) {
	e := &item{Entry: &Entry{Target: &probe.Target{Interval: time.Minute}}}
	if e.tolerance() != 6*time.Second {
		t.Errorf("tolerance %v", e.tolerance())
	}
	now := time.Now()
	e.next = now.Add(-150 * time.Second)
	e.advance(now)
	if want := now.Add(30 * time.Second); !e.next.Equal(want) {
		t.Errorf("the next turn is in %v", e.next.Sub(now))
	}
}

func TestVirtualHostsOfOneAddressAreTwoTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		targets := every(time.Minute, "192.0.2.1:443", "192.0.2.1:443")
		targets[0].Hostname, targets[1].Hostname = "a.example", "b.example"
		s, stop := run(t, l, targets)
		time.Sleep(time.Minute)
		s.Apply(targets)
		time.Sleep(time.Minute)
		stop()
		if n := len(l.of("192.0.2.1:443")); n != 4 || l.last.Hostname == "" {
			t.Errorf("two hosts were probed %d times in two minutes, the last as %q", n, l.last.Hostname)
		}
	})
}
