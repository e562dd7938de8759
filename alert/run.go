package alert

import (
	"context"
	"maps"
	"slices"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
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
	asking, stopAsking := context.WithCancel(ctx)
	defer stopAsking() // what is not answered by then is reported after a restart
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
		e.consult(asking)
	}
}

// turn does everything that is due and returns how long nothing else is: what left is forgotten, what is due is
// composed, all that changed is written, and only then the messages leave.
func (e *engine) turn(ctx context.Context, now time.Time) time.Duration {
	if e.sweepDue(now) {
		e.restore()
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

// delivery is a message that is to leave.
type delivery struct {
	to       *recipient
	notifier outbox.Notifier
	message  *outbox.Message
}

// due is when the next message to a recipient may leave; ok is false when there is none, or one is on its way.
func (e *engine) due(r *recipient, now time.Time) (at time.Time, ok bool) {
	at, ok = r.Due(r.channel.pacing, now)
	if r.channel.resend > 0 && e.down > 0 && !r.Sending() && (!ok || r.nextResend.Before(at)) {
		return r.nextResend, true
	}
	return at, ok
}

// busy is how many messages are on their way, by channel.
func (e *engine) busy() map[string]int {
	busy := make(map[string]int)
	for _, r := range e.recipients {
		if r.Sending() {
			busy[r.Channel]++
		}
	}
	return busy
}

// compose makes the messages that are due. From here until the outcome is known they count as being on their way.
func (e *engine) compose(now time.Time) []delivery {
	var composed []delivery
	for _, r := range e.dueRecipients(now) {
		e.mu.Lock()
		d := delivery{r, r.channel.notifier, r.Message()}
		resend := r.channel.resend > 0 && !now.Before(r.nextResend)
		if resend {
			r.nextResend = now.Add(r.channel.resend)
		}
		e.mu.Unlock()
		if d.message == nil {
			var err error
			if d.message, err = d.notifier.Compose(r.Name, e.digest(r, resend, now)); err != nil {
				e.options.Logger.Error("a message cannot be composed; this is a bug in rollcall", "channel", r.Channel, "to", r.Name, "err", err)
				e.mu.Lock()
				r.Delay(now)
				e.mu.Unlock()
				continue
			}
		}
		e.mu.Lock()
		if !r.removed {
			r.Begin(d.message)
			composed = append(composed, d)
		}
		e.mu.Unlock()
	}
	return composed
}

// dueRecipients are those whose turn it is, those first that waited the longest, as many as may be served at once.
func (e *engine) dueRecipients(now time.Time) []*recipient {
	e.mu.Lock()
	defer e.mu.Unlock()
	var due []*recipient
	for _, r := range e.recipients {
		if at, ok := e.due(r, now); ok && !now.Before(at) {
			due = append(due, r)
		}
	}
	slices.SortStableFunc(due, func(a, b *recipient) int { return a.Tried().Compare(b.Tried()) })
	busy := e.busy()
	return slices.DeleteFunc(due, func(r *recipient) bool {
		busy[r.Channel]++
		return busy[r.Channel] > r.channel.sessions
	})
}

// digest is what a message to r has to say. It is read in parts, so that no probe waits for all of it.
func (e *engine) digest(r *recipient, all bool, now time.Time) *outbox.Digest {
	d := &outbox.Digest{ExternalURL: e.options.ExternalURL, At: now}
	e.mu.Lock()
	d.Overflow, d.Down, d.Targets = r.Overflow(), e.down, len(e.all)
	d.Reasons, d.Groups = maps.Clone(e.reasons), maps.Clone(e.groups)
	e.mu.Unlock()
	var read outbox.Cursor
	for more := true; more; {
		e.mu.Lock()
		part := r.Read(&read)
		e.mu.Unlock()
		d.Notifications = append(d.Notifications, part...)
		more = len(part) > 0
	}
	for from, more := 0, all; more; from += visits {
		e.mu.Lock()
		for n := from; n < from+visits && n < len(e.all); n++ {
			if i := e.all[n].Incident; i != nil && !i.Held {
				d.Open = append(d.Open, i)
			}
		}
		more = from+visits < len(e.all)
		e.mu.Unlock()
	}
	return d
}

// start delivers a message on a goroutine of its own.
func (e *engine) start(ctx context.Context, d delivery) {
	e.deliveries.Go(func() {
		e.settle(d.to, d.notifier.Deliver(ctx, d.to.Name, d.message), time.Now())
		e.wakeUp()
	})
}

// settle takes in how a delivery ended.
func (e *engine) settle(r *recipient, o outbox.Outcome, now time.Time) {
	if o.Verdict == outbox.Delivered || o.Verdict == outbox.Rejected {
		for from, more := 0, true; more; {
			e.mu.Lock()
			from, more = r.Accept(from)
			e.mu.Unlock()
		}
	}
	e.mu.Lock()
	r.Settle(o.Verdict, now)
	stats := e.channelStats(r.Channel)
	stats.Attempts[o.Verdict.Name()]++
	overflow := r.Overflow() > 0 && !r.warned
	r.warned = r.Overflow() > 0
	if o.Verdict == outbox.Delivered {
		stats.LastSuccess = now
		for _, other := range e.recipients { // what it was refused for may be mended
			if other.Channel == r.Channel && other != r {
				other.Hasten()
			}
		}
	}
	e.mu.Unlock()
	e.logOutcome(r, o)
	if overflow {
		e.options.Logger.Warn("too much waits to be delivered: of what ends meanwhile, only the number will be sent", "channel", r.Channel, "to", r.Name)
	}
}

func (e *engine) logOutcome(r *recipient, o outbox.Outcome) {
	l := e.options.Logger.With("channel", r.Channel, "to", r.Name, "err", o.Err)
	switch o.Verdict {
	case outbox.Refused:
		l.Error("a notification was refused; it stays owed, and is tried again ever more rarely, and at once after a reload")
	case outbox.NoRecipient:
		l.Error("the mail server has no such recipient; it is given up until a reload, and tried once a day")
	case outbox.Rejected:
		l.Error("a notification was refused for good")
	case outbox.InDoubt:
		l.Warn("it is not known whether a notification arrived; it is sent again under the same Message-ID")
	case outbox.TooLarge:
		l.Warn("a notification was too large; it is sent in parts")
	case outbox.Postponed:
		l.Warn("a notification could not be sent; it is tried again")
	}
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
		case incident.None:
			l.Warn("a target that failed is not reported, because all references fail", "module", i.Module, "target", i.Target, "incident", i.ID)
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
