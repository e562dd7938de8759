package schedule

import (
	"container/heap"
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/probe"
	"rollcall/redact"
)

// Scheduler probes targets, each at its own time. Its fields are set before Run and not changed afterwards.
type Scheduler struct {
	Runner *probe.Runner
	Module func(name string) (*probe.Module, error) // of the configuration in force
	Failed func(error)                              // called with the reason when a probe has no verdict; never nil
	// NoVerdict is called with each target whose turn brought no verdict: it was refused, or the exporter failed. nil: it
	// is not called. at is when the turn began.
	NoVerdict func(t *probe.Target, at time.Time)
	Logger    *slog.Logger // never nil

	running atomic.Int64 // probes that were started

	mu      sync.Mutex
	targets []Entry       // of Apply, until Run takes them over
	doubted []*item       // by probes that ended, to be probed again soon
	hurried []probe.Key   // to be probed at once
	changed chan struct{} // capacity 1: targets or doubted differ from what Run works with
	applied bool          // targets are new
	once    sync.Once
}

// grid is what due times are rounded to, so that probes start together: at hundreds a second, waking the process costs more
// than what it wakes for. At 500 probes a second, one of 10 ms takes 1.7 times the processor time, and one of 100 ms 0.9 of it
// with probes that start less regularly, because so many start at once (docs/performance.md).
const grid = 50 * time.Millisecond

// Probes that start together may be more than may run at once: they wait for each other, each no longer than fullWait, and
// are then refused. It is looked for room every roomEvery.
const (
	fullWait  = 500 * time.Millisecond
	roomEvery = 10 * time.Millisecond
)

// Apply replaces the targets, which are not changed afterwards. Those that were there before, with the same interval, keep
// their phase and state. It may be called before and during Run.
func (s *Scheduler) Apply(targets []Entry) {
	s.mu.Lock()
	s.targets, s.applied = targets, true
	s.mu.Unlock()
	s.notify()
}

func (s *Scheduler) notify() {
	select {
	case s.wake() <- struct{}{}:
	default: // Run has yet to look at the previous change, and will see this one
	}
}

func (s *Scheduler) wake() chan struct{} {
	s.once.Do(func() { s.changed = make(chan struct{}, 1) })
	return s.changed
}

// Run probes until ctx ends and returns when no probe of its own runs any more.
func (s *Scheduler) Run(ctx context.Context) {
	var probes sync.WaitGroup
	defer probes.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due queue
	start := time.Now()
	start = start.Add(-time.Duration(start.UnixNano()) % grid)
	for {
		timer.Stop()
		if len(due) > 0 {
			wait := time.Until(onGrid(due[0].due(), start))
			if s.full() {
				wait = max(wait, roomEvery)
			}
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake():
			due = s.update(due, time.Now())
		case <-timer.C:
			for now := time.Now(); len(due) > 0 && !due[0].due().After(now); {
				e := due[0]
				if s.full() && now.Sub(e.due()) < fullWait {
					break
				}
				missed := now.Sub(e.due()) > e.tolerance()
				e.advance(now)
				heap.Fix(&due, 0)
				if !missed && e.state.running.CompareAndSwap(false, true) { // its timeout is its interval, so it is the last one's end that is late
					s.running.Add(1)
					probes.Go(func() {
						defer s.running.Add(-1)
						defer e.state.running.Store(false)
						s.probe(ctx, e)
					})
				}
			}
		}
	}
}

// full reports whether as many probes run as may, with those that have just been started.
func (s *Scheduler) full() bool {
	limit := s.Runner.MaxInFlight
	return limit > 0 && max(int(s.running.Load()), s.Runner.InFlight()) >= limit
}

// onGrid is the first point of the grid from start on that is not before at. The grid has the monotonic clock: by that of
// the wall, which is always being adjusted a little, a target would be due now on one point and now on the next.
func onGrid(at, start time.Time) time.Time {
	if over := at.Sub(start) % grid; over > 0 {
		return at.Add(grid - over)
	}
	return at
}

// update takes over new targets, and what probes found doubtful.
func (s *Scheduler) update(due queue, now time.Time) queue {
	s.mu.Lock()
	targets, applied, doubted, hurried := s.targets, s.applied, s.doubted, s.hurried
	s.targets, s.applied, s.doubted, s.hurried = nil, false, nil, nil
	s.mu.Unlock()
	if applied {
		due = plan(due, targets, now)
	}
	for _, e := range doubted {
		// A reload may have put another item in its place; that one is probed again at its next time.
		if e.place < len(due) && due[e.place] == e {
			e.confirm = now.Add(e.ConfirmInterval)
			heap.Fix(&due, e.place)
		}
	}
	if len(hurried) > 0 {
		for _, e := range due {
			if slices.Contains(hurried, e.Key()) {
				e.confirm = now
			}
		}
		heap.Init(&due)
	}
	return due
}

// Hurry has a target probed now, out of its turn, because others wait for what it says. Its own turn stays. A target that
// is being probed, or is not there, is not probed once more.
func (s *Scheduler) Hurry(t probe.Key) {
	s.mu.Lock()
	if !slices.Contains(s.hurried, t) {
		s.hurried = append(s.hurried, t)
	}
	s.mu.Unlock()
	s.notify()
}

// plan makes the queue for the targets.
func plan(before queue, targets []Entry, now time.Time) queue {
	known := make(map[probe.Key]*item, len(before))
	for _, e := range before {
		known[e.Key()] = e
	}
	after := make(queue, 0, len(targets))
	for i := range targets {
		t := &targets[i]
		e := &item{Entry: t, place: len(after)}
		old := known[t.Key()]
		if old != nil {
			e.state = old.state
		} else {
			e.state = new(state)
		}
		if old != nil && old.Interval == t.Interval {
			e.next, e.confirm = old.next, old.confirm
		} else {
			e.next = Next(*t, now)
		}
		after = append(after, e)
	}
	heap.Init(&after)
	return after
}

// Next is when a target is due after now. The targets are spread over their interval by name: the same target has the
// same place in it after every restart and in every process, and a thousand of them do not start together.
func Next(t Entry, now time.Time) time.Time {
	h := fnv.New64a()
	h.Write([]byte(t.Module))
	h.Write([]byte{0})
	h.Write([]byte(t.Target.Target))
	if t.Hostname != "" {
		h.Write([]byte{0})
		h.Write([]byte(t.Hostname))
	}
	place := time.Duration(h.Sum64() % uint64(t.Interval)).Truncate(grid)
	phase := time.Duration(now.UnixNano()) % t.Interval
	return now.Add((place - phase + t.Interval) % t.Interval)
}

// probe probes one target once.
func (s *Scheduler) probe(ctx context.Context, e *item) {
	start := time.Now()
	m, err := s.Module(e.Module)
	if err != nil {
		s.Failed(err) // it cannot be used, or a reload took it away a moment ago, together with the target
		s.noVerdict(e.Target, start)
		return
	}
	timeout := min(e.Interval, probe.DefaultTimeout)
	for _, limit := range [...]time.Duration{e.Timeout, m.Timeout} {
		if limit > 0 {
			timeout = min(timeout, limit)
		}
	}
	record, err := s.Runner.Do(ctx, m, probe.Request{
		Target: e.Target.Target, Hostname: e.Hostname, Timeout: timeout, Scheduled: true,
	})
	switch {
	case err == nil:
		s.confirm(e, record.Result.Up())
	case ctx.Err() == nil:
		s.Failed(err)
		s.noVerdict(e.Target, start)
	}
	// There is no client to answer, and a target that is not probed is never down: the log says it, once.
	denied := (*probe.DeniedError)(nil)
	if refused := errors.As(err, &denied); e.state.refused.Swap(refused) != refused && refused {
		s.Logger.Warn("a target may not be probed, so it will never be reported as down", "module", m.Name, "target", redact.Target(e.Target.Target), "err", err)
	}
}

func (s *Scheduler) noVerdict(t *probe.Target, at time.Time) {
	if s.NoVerdict != nil {
		s.NoVerdict(t, at)
	}
}

// confirm has a target probed again soon while it fails and is not yet down for its alert. Only one probe of a target
// runs at a time, so its failures need no lock.
func (s *Scheduler) confirm(e *item, up bool) {
	if up {
		e.state.failures = 0
		return
	}
	e.state.failures = min(e.state.failures+1, maxThreshold)
	if e.ConfirmInterval == 0 || e.state.failures >= e.DownAfter {
		return
	}
	s.mu.Lock()
	s.doubted = append(s.doubted, e)
	s.mu.Unlock()
	s.notify()
}

// item is a target and its next time.
type item struct {
	*Entry            // never changed
	next    time.Time // of its interval
	confirm time.Time // in between, because its state is in doubt; zero: none
	place   int       // in the queue
	state   *state    // shared with the item that a reload puts in its place
}

// state is how it stands with a target.
type state struct {
	running  atomic.Bool // a probe
	refused  atomic.Bool // by the guard, the last time
	failures int         // in a row; of the running probe alone
}

func (e *item) due() time.Time {
	if !e.confirm.IsZero() && e.confirm.Before(e.next) {
		return e.confirm
	}
	return e.next
}

// tolerance is how late a turn may begin. What was missed, as while the process was stopped, is not made up for: all
// targets at once would be a burst that no server expects.
func (e *item) tolerance() time.Duration { return max(time.Second, e.Interval/10) }

// advance moves on to the time after the one that is due.
func (e *item) advance(now time.Time) {
	e.confirm = time.Time{}
	if e.next.After(now) {
		return
	}
	missed := now.Sub(e.next) / e.Interval
	e.next = e.next.Add((missed + 1) * e.Interval)
}

// queue is a heap of items, the earliest first.
type queue []*item

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due().Before(q[j].due()) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push and Pop are never called: plan makes the queue whole, and afterwards only its order changes.
func (q queue) Push(any) { panic("a queue of a fixed length") }
func (q queue) Pop() any { panic("a queue of a fixed length") }
