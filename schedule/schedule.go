package schedule

import (
	"container/heap"
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
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
	// NoVerdict is called with each target whose turn brought none: it was refused, or the exporter failed. Nil: no one
	// wants to know. At is when the turn began.
	NoVerdict func(module, target string, at time.Time)
	Logger    *slog.Logger // never nil

	mu      sync.Mutex
	targets []TargetOptions
	changed chan struct{} // capacity 1: targets differ from what Run works with
	once    sync.Once
}

// Apply replaces the targets. Those that were there before, with the same interval, keep their rhythm. It may be
// called before and during Run.
func (s *Scheduler) Apply(targets []TargetOptions) {
	s.mu.Lock()
	s.targets = targets
	s.mu.Unlock()
	select {
	case s.wake() <- struct{}{}:
	default: // Run has yet to look at the previous ones, and will see these
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
	for {
		if len(due) > 0 {
			timer.Reset(time.Until(due[0].next))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake():
			due = s.plan(due, time.Now())
		case <-timer.C:
			for now := time.Now(); len(due) > 0 && !due[0].next.After(now); {
				e := due[0]
				if e.state.running.CompareAndSwap(false, true) { // its timeout is its interval, so it is the last one's end that is late
					probes.Go(func() {
						defer e.state.running.Store(false)
						s.probe(ctx, e.TargetOptions, e.state)
					})
				}
				// What was missed, as while the machine slept, is not made up for.
				missed := now.Sub(e.next) / e.interval()
				e.next = e.next.Add((missed + 1) * e.interval())
				heap.Fix(&due, 0)
			}
		}
	}
}

// plan makes the queue for the present targets.
func (s *Scheduler) plan(before queue, now time.Time) queue {
	s.mu.Lock()
	targets := s.targets
	s.mu.Unlock()
	known := make(map[string]*entry, len(before))
	for _, e := range before {
		known[e.name()] = e
	}
	after := make(queue, 0, len(targets))
	for _, t := range targets {
		e := &entry{TargetOptions: t, state: new(state)}
		if old := known[e.name()]; old != nil && old.Interval == t.Interval {
			e.next, e.state = old.next, old.state
		} else {
			e.next = firstTime(t, now)
		}
		after = append(after, e)
	}
	heap.Init(&after)
	return after
}

// firstTime spreads the targets over their interval by name: the same target has the same place in it after every
// restart, and a thousand of them do not start together.
func firstTime(t TargetOptions, now time.Time) time.Time {
	h := fnv.New64a()
	h.Write([]byte(t.ModuleName()))
	h.Write([]byte{0})
	h.Write([]byte(t.Target))
	interval := time.Duration(t.Interval)
	place := time.Duration(h.Sum64() % uint64(interval))
	phase := time.Duration(now.UnixNano()) % interval
	return now.Add((place - phase + interval) % interval)
}

// probe probes one target once.
func (s *Scheduler) probe(ctx context.Context, t TargetOptions, state *state) {
	start := time.Now()
	m, err := s.Module(t.ModuleName())
	if err != nil {
		s.Failed(err) // a reload took it away a moment ago, together with the target
		return
	}
	timeout := time.Duration(t.Interval)
	if m.Timeout > 0 {
		timeout = min(timeout, m.Timeout)
	}
	_, err = s.Runner.Do(ctx, m, probe.Request{
		Target: t.Target, Timeout: min(timeout, probe.DefaultTimeout), Scheduled: true, Labels: t.Labels,
	})
	if err != nil && ctx.Err() == nil {
		s.Failed(err)
		if s.NoVerdict != nil {
			s.NoVerdict(m.Name, t.Target, start)
		}
	}
	// There is no client to answer, and a target that is not probed is never down: the log says it, once.
	denied := (*probe.DeniedError)(nil)
	if refused := errors.As(err, &denied); state.refused.Swap(refused) != refused && refused {
		s.Logger.Warn("a target may not be probed, so it will never be reported as down", "module", m.Name, "target", redact.Target(t.Target), "err", err)
	}
}

// entry is a target and its next time.
type entry struct {
	TargetOptions
	next  time.Time
	state *state // shared with the entry that a reload puts in its place
}

// state is how it stands with a target.
type state struct {
	running atomic.Bool // a probe
	refused atomic.Bool // by the guard, the last time
}

func (e *entry) name() string            { return e.ModuleName() + "\x00" + e.Target }
func (e *entry) interval() time.Duration { return time.Duration(e.Interval) }

// queue is a heap of entries, the earliest first.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*entry)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
