package alert

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/probe"
)

// longest is the most that a thread ran for one call, whatever else took the processor away from it.
type longest struct{ time.Duration }

// measure calls f and returns how long it took by the clock. The caller keeps the goroutine on its thread.
func (l *longest) measure(t *testing.T, f func()) time.Duration {
	begin, ran := time.Now(), threadTime(t)
	f()
	took := time.Since(begin)
	l.Duration = max(l.Duration, threadTime(t)-ran)
	return took
}

// threadTime is how long this thread has run, in the program and in the kernel for it.
func threadTime(t *testing.T) time.Duration {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at); err != nil {
		t.Error(err)
	}
	return time.Duration(at.Nano())
}

// patiently tries a measurement again, for what the machine adds by chance does not come each time.
func patiently(t *testing.T, measure func() (busy time.Duration)) {
	t.Helper()
	var busy time.Duration
	for range 5 {
		if busy = measure(); busy <= time.Millisecond {
			return
		}
	}
	t.Errorf("a probe is kept busy for %v each time", busy)
}

// TestMailServerThatHangsDelaysNoProbe is in real time: the mail server answers nothing, the disk is real, and targets
// go down and up all the while. Each result is news, which is a thousand times what a probe meets, and three goroutines
// want two processors: now and then one of them, or what else the machine runs, makes another wait for tens of
// milliseconds. A loop that calls no hook sees the same. So what the hook itself needs is measured for every call, and
// the clock for all but a few.
func TestMailServerThatHangsDelaysNoProbe(t *testing.T) {
	patiently(t, func() (busy time.Duration) {
		p := &postman{t: t, takes: time.Hour}
		h := openHook(t, t.TempDir(), settings(p, func(c *Config) { c.groupWait = 0 }))
		const results, probers = 20_000, 2
		took := make([]time.Duration, results)
		var most [probers]longest
		var probes sync.WaitGroup
		for n := range probers {
			probes.Go(func() {
				runtime.LockOSThread()
				for i := n; i < results; i += probers {
					r := probe.Record{Module: "m", Prober: "tcp", Target: fmt.Sprintf("host-%d:80", i%500), Result: *resultAt(time.Now(), i/500%2 == 0)}
					took[i] = most[n].measure(t, func() { h.Observe(r) })
				}
			})
		}
		probes.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		slices.Sort(took)
		if worst := took[results*99/100]; worst > time.Millisecond {
			t.Errorf("one probe of a hundred waits %v or longer", worst)
		}
		if p.tries != 0 {
			t.Error("the mail server did not hang")
		}
		busy = max(most[0].Duration, most[1].Duration)
		t.Logf("median %v, 99%% %v, slowest %v; busy for at most %v", took[results/2], took[results*99/100], took[results-1], busy)
		return busy
	})
}

// TestNothingHoldsTheRegisterForLong: a probe that comes while the keeper fetches or sweeps waits for a part of it, also
// when as much is watched as can be.
func TestNothingHoldsTheRegisterForLong(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	patiently(t, func() (busy time.Duration) {
		r := configured(maxWatches)
		var observing, fetching, sweeping longest
		for n := range maxWatches {
			rec := record(fmt.Sprintf("configured-%d:1", n), true, n%10 != 0)
			observing.measure(t, func() { r.observe(rec) })
		}
		rows := 0
		for more := true; more; {
			fetching.measure(t, func() {
				var part []watch
				_, part, more = r.fetch(true)
				rows += len(part)
			})
		}
		r.configure(&Config{probeRequests: true}) // all of them leave
		for more := true; more; {
			sweeping.measure(t, func() { more = r.sweep(time.Now()) })
			r.fetch(false)
		}
		if rows != maxWatches || len(r.all) != 0 {
			t.Fatalf("%d rows were fetched, and %d watches are left", rows, len(r.all))
		}
		t.Logf("busy for at most %v observing, %v fetching, %v sweeping", observing, fetching, sweeping)
		return max(observing.Duration, fetching.Duration, sweeping.Duration)
	})
}
