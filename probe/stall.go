package probe

import (
	"context"
	"sync/atomic"
	"time"
)

// StallMeter measures for how long this process did not run though it wanted to: it was stopped (SIGSTOP, a frozen
// container), throttled (a CPU quota), starved, or its machine was asleep. A peer that answered in such a time may seem
// slow, silent or gone. Run measures; a nil meter, or one that does not run, has never stalled.
type StallMeter struct {
	recorded atomic.Int64 // nanoseconds of all stalls that are over
	ticked   atomic.Int64 // nanoseconds from started to the last tick; 0: Run has not begun
	started  time.Time    // set before the first tick
}

// stallTick is how often the meter looks. The scheduler's usual delays, below stallSlack, do not count.
const (
	stallTick  = 50 * time.Millisecond
	stallSlack = 10 * time.Millisecond
)

// Run measures until ctx is done.
func (m *StallMeter) Run(ctx context.Context) {
	m.started = time.Now()
	m.ticked.Store(1)
	ticker := time.NewTimer(stallTick)
	defer ticker.Stop()
	last := m.started
	for {
		select {
		case <-ctx.Done():
			m.ticked.Store(0)
			return
		case <-ticker.C:
		}
		now := time.Now()
		m.recorded.Add(int64(lateness(last, now)))
		m.ticked.Store(int64(now.Sub(m.started)))
		last = now
		ticker.Reset(stallTick)
	}
}

// lateness is how much later than a tick after last now is. The monotonic clock stands still while a machine sleeps, and
// the wall clock does not, so the larger of the two counts.
func lateness(last, now time.Time) time.Duration {
	late := max(now.Sub(last), now.Round(0).Sub(last.Round(0))) - stallTick
	if late < stallSlack {
		return 0
	}
	return late
}

// Total is how long all stalls were, the one that may be going on included. The difference of two totals is how long the
// process stalled between them.
func (m *StallMeter) Total() time.Duration {
	if m == nil {
		return 0
	}
	ticked := m.ticked.Load()
	if ticked == 0 {
		return 0
	}
	total := time.Duration(m.recorded.Load())
	if overdue := time.Since(m.started) - time.Duration(ticked) - stallTick; overdue >= stallSlack {
		total += overdue
	}
	return total
}
