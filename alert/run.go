package alert

import (
	"context"
	"time"

	"rollcall/alert/incident"
)

// How often run does what no event demands.
const (
	saveInterval  = 30 * time.Second // for what changed without an event
	sweepInterval = time.Minute
	storeRetry    = 10 * time.Second
)

// run does everything that waits, until close. The deliveries that it starts end by ctx.
func (e *engine) run(ctx context.Context) {
	defer close(e.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-e.wake:
		case <-e.stopping:
			return
		}
		timer.Reset(e.turn(ctx, time.Now()))
	}
}

// turn does everything that is due and returns how long nothing else is: what left is forgotten, what is due is
// composed, all that changed is written, and only then the messages leave.
func (e *engine) turn(ctx context.Context, now time.Time) time.Duration {
	if e.sweepDue(now) {
		for from, more := 0, true; more; {
			from, more = e.sweepPart(from, now)
		}
	}
	composed := e.compose(now)
	e.save(now)
	for _, d := range composed {
		e.start(ctx, d)
	}
	e.log()
	return e.wait(now)
}

func (e *engine) sweepDue(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	due := !now.Before(e.sweepAt)
	if due {
		e.sweepAt = now.Add(sweepInterval)
	}
	return due
}

// wait is how long there will be nothing to do that no event announces.
func (e *engine) wait(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.sweepAt
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	if len(e.dirty) > 0 {
		sooner(now.Add(saveInterval))
	}
	if e.storeFails {
		sooner(e.retryStore)
	}
	busy := e.busy()
	for _, r := range e.recipients {
		if t, due := e.due(r, now); due && busy[r.Channel] < r.channel.sessions {
			sooner(t)
		}
	}
	return max(0, at.Sub(now))
}

// log writes what happened. It may wait for the log, and so may all that waits for run, but no probe.
func (e *engine) log() {
	e.mu.Lock()
	journal := e.journal
	e.journal = nil
	full := e.refused > 0 && !e.warnedOfFull
	e.warnedOfFull = e.warnedOfFull || full
	e.mu.Unlock()
	l := e.options.Logger
	for _, h := range journal {
		switch i := h.incident; h.event {
		case incident.Down:
			l.Info("a target is down", "module", i.Module, "target", i.Target, "stage", i.Stage, "reason", i.Reason, "incident", i.ID)
		case incident.Up:
			l.Info("a target is up again", "module", i.Module, "target", i.Target, "after", i.Lasted.Round(time.Millisecond), "incident", i.ID)
		case incident.Unwatched:
			l.Warn("a target that was down is no longer watched", "module", i.Module, "target", i.Target, "why", i.Unwatched, "incident", i.ID)
		}
	}
	if full {
		l.Warn("too many targets are watched for alerts; results of further ones are ignored here",
			"limit", maxWatched, "limit_of_probe_requests", maxRequested)
	}
}

// close ends run and the deliveries under way, the latter when ctx ends, and writes down what is pending.
func (e *engine) close(ctx context.Context) error {
	close(e.stopping)
	<-e.stopped
	stop := context.AfterFunc(ctx, e.cancel)
	e.deliveries.Wait()
	stop()
	e.cancel()
	e.storeFails = false // one more attempt
	e.save(time.Now())
	e.log()
	return e.store.Close()
}
