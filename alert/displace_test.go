package alert

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"rollcall/probe"
)

// requests is an engine with a clock that /probe is requested from.
type requests struct {
	*engine
	now time.Time
}

func (r *requests) ask(target string) {
	rec := &probe.Record{Module: "m", Prober: "tcp", Target: target, Result: *resultAt(r.now, true)}
	r.observe(rec, r.now)
}

// invent requests n targets that are never requested again, within span.
func (r *requests) invent(n int, span time.Duration) {
	for range n {
		r.now = r.now.Add(span / time.Duration(n))
		r.ask(fmt.Sprintf("invented-%d:1", rand.Uint64()))
	}
}

func (r *requests) watches(target string) bool {
	return r.targets[probe.Key{Module: "m", Target: target}.Redacted()] != nil
}

func TestInventedTargetsKeepNoNewOneFromBeingWatched(t *testing.T) {
	r := &requests{configured(0), time.Now()}
	r.invent(maxRequested, 3*time.Second)
	r.ask("new:1")
	r.now = r.now.Add(time.Minute)
	if r.ask("new:1"); !r.watches("new:1") {
		t.Error("a target that is requested every minute is not watched after a burst of invented ones")
	}
}

// TestWhatIsRequestedSteadilyIsWatched floods the hook with invented targets for hours, at any rate, and with targets that
// are configured. What is requested every minute comes to be watched and stays so.
func TestWhatIsRequestedSteadilyIsWatched(t *testing.T) {
	for range 2 {
		r := &requests{configured(500), time.Now()}
		for n := range 500 {
			r.observe(record(fmt.Sprintf("configured-%d:1", n), true, true), r.now)
		}
		old, fresh := 1+rand.IntN(200), 1+rand.IntN(200)
		steady := func(kind string, n int) {
			for i := range n {
				r.ask(fmt.Sprintf("%s-%d:1", kind, i))
			}
		}
		steady("old", old)
		for minute := range 15 {
			r.invent(rand.IntN(60_000), 50*time.Second)
			r.now = r.now.Add(10 * time.Second)
			steady("old", old)
			if minute > 1 {
				steady("fresh", fresh)
			}
			if len(r.all) > maxRequested+500 || r.requested > maxRequested || r.requested != len(r.all)-500 {
				t.Fatalf("%d are watched, %d of them for requests", len(r.all), r.requested)
			}
			for i := range old {
				if minute > 0 && !r.watches(fmt.Sprintf("old-%d:1", i)) {
					t.Fatalf("old-%d is displaced after %d minutes", i, minute)
				}
			}
		}
		missing := 0
		for i := range fresh {
			if !r.watches(fmt.Sprintf("fresh-%d:1", i)) {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("%d of %d new targets are not watched after 13 minutes", missing, fresh)
		}
		for n := range 500 {
			if !r.watches(fmt.Sprintf("configured-%d:1", n)) {
				t.Errorf("configured-%d is not watched", n)
			}
		}
	}
}

// TestWhatIsNoLongerRequestedMakesRoom: that invented targets are requested twice does not keep others out for a day.
func TestWhatIsNoLongerRequestedMakesRoom(t *testing.T) {
	r := &requests{configured(0), time.Now()}
	for range 2 {
		for n := range maxRequested {
			r.ask(fmt.Sprintf("invented-%d:1", n))
		}
		r.now = r.now.Add(time.Second)
	}
	for minute := 0; !r.watches("new:1"); minute++ {
		if minute > 11 {
			t.Fatalf("not watched after %d minutes", minute)
		}
		r.now = r.now.Add(time.Minute)
		r.ask("new:1")
	}
}
