package probe

import (
	"context"
	"sync"
	"time"
)

// Limit is the context of one probe: the caller's, until a deadline. Most probes only set that deadline on their connection,
// and the connection follows the caller's context, so a Limit needs no timer and no place among the caller's children until
// Done is called. A few thousand probes that time out at once would otherwise start as many goroutines for their timers.
type Limit struct {
	context.Context // the caller's
	deadline        time.Time

	mu     sync.Mutex
	timed  context.Context // what Done belongs to; nil until it is asked for
	cancel context.CancelFunc
	over   bool
	memory *Memory // nil: no bound
	begun  int64   // of memory, from the beginning until Release
	grown  int64   // of memory, since

	nameServer string // host:port; empty: the system's
}

// NewLimit limits caller to span from now. Call release when the probe is over.
func NewLimit(caller context.Context, span time.Duration) *Limit {
	deadline := time.Now().Add(span)
	if sooner, ok := caller.Deadline(); ok && sooner.Before(deadline) {
		deadline = sooner
	}
	return &Limit{Context: caller, deadline: deadline}
}

// Release ends the context, as the function that context.WithDeadline returns does.
func (l *Limit) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.memory != nil {
		l.memory.grown.Add(-l.grown)
		l.memory.Give(l.begun + l.grown)
		l.begun, l.grown = 0, 0
	}
	if l.cancel != nil {
		l.cancel()
	}
}

// Deadline implements context.Context.
func (l *Limit) Deadline() (time.Time, bool) { return l.deadline, true }

// Done implements context.Context; the first call starts a timer.
func (l *Limit) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timed == nil {
		l.timed, l.cancel = context.WithDeadline(l.Context, l.deadline)
		if l.over {
			l.cancel()
		}
	}
	return l.timed.Done()
}

// Err implements context.Context.
func (l *Limit) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.timed != nil:
		return l.timed.Err()
	case l.Context.Err() != nil:
		return l.Context.Err()
	case l.over:
		return context.Canceled
	case !time.Now().Before(l.deadline):
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Value finds the same as the caller's context does. Package context asks it for the one that Done belongs to, in
// order to tell the contexts below without a goroutine.
func (l *Limit) Value(key any) any {
	if key == (limitKey{}) {
		return l
	}
	l.mu.Lock()
	timed := l.timed
	l.mu.Unlock()
	if timed != nil {
		return timed.Value(key)
	}
	return l.Context.Value(key)
}

// Caller is the context of the caller of the probe that ctx limits: it ends when the result is no longer wanted, and not when
// the time is up, which a deadline on a connection sees to. A context that is no Limit is its own.
func Caller(ctx context.Context) context.Context {
	if l, ok := ctx.(*Limit); ok {
		return l.Context
	}
	return ctx
}
