package alert

import (
	"context"
	"slices"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

// How often run does what no event demands.
const (
	saveInterval  = 30 * time.Second // for what changed without an event
	sweepInterval = time.Minute
	storeRetry    = 10 * time.Second
)

// run does everything that waits, until ctx ends, and with it the questions to witnesses: what is not answered by then is
// reported after a restart. The deliveries that it starts end by delivering.
func (e *engine) run(ctx, delivering context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-e.wake:
		case <-ctx.Done():
			return
		}
		timer.Reset(e.turn(delivering, time.Now()))
		e.consult(ctx)
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
	composed, next := e.compose(now)
	e.save(now)
	for _, d := range composed {
		e.working.Go(func() {
			e.settle(d.to, d.notifier.Deliver(ctx, d.to.Name, d.message), time.Now())
			e.wakeUp()
		})
	}
	e.log()
	return e.wait(now, next)
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

// wait is how long there will be nothing to do that no event announces; next is when a message is due.
func (e *engine) wait(now, next time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := incident.Earlier(e.sweepAt, next)
	if len(e.dirty) > 0 {
		at = incident.Earlier(at, now.Add(saveInterval))
	}
	if e.storeFails {
		at = incident.Earlier(at, e.retryStore)
	}
	return max(0, at.Sub(now))
}

// delivery is a message that is to leave.
type delivery struct {
	to       *recipient
	notifier outbox.Notifier
	message  *outbox.Message
}

// compose makes the messages that are due. From here until the outcome is known they count as being on their way.
func (e *engine) compose(now time.Time) (composed []delivery, next time.Time) {
	due, next := e.due(now)
	for _, r := range due {
		e.mu.Lock()
		d := delivery{r, r.channel.notifier, r.Message}
		resend := r.channel.resend > 0 && !now.Before(r.nextResend)
		if resend {
			r.nextResend = now.Add(r.channel.resend)
		}
		e.mu.Unlock()
		if d.message == nil {
			digest := e.digest(r, resend, now)
			if len(digest.Notifications)+len(digest.Open)+digest.Overflow == 0 {
				continue // nothing is down that would be said again
			}
			var err error
			if d.message, err = d.notifier.Compose(r.Name, digest); err != nil {
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
	return composed, next
}

// due are the recipients whose turn it is, those first that waited the longest, as many as may be served at once; next is
// when another's turn comes by itself.
func (e *engine) due(now time.Time) (due []*recipient, next time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next = now.Add(sweepInterval)
	busy := make(map[string]int) // messages on their way, by channel
	for _, r := range e.recipients {
		if r.Sending() {
			busy[r.Channel]++
			continue
		}
		at, ok := r.Due(r.channel.pacing, now)
		if r.channel.resend > 0 && (!ok || r.nextResend.Before(at)) {
			at, ok = r.nextResend, true
		}
		switch {
		case !ok:
		case now.Before(at):
			next = incident.Earlier(next, at)
		default:
			due = append(due, r)
		}
	}
	slices.SortStableFunc(due, func(a, b *recipient) int { return a.Tried().Compare(b.Tried()) })
	return slices.DeleteFunc(due, func(r *recipient) bool {
		busy[r.Channel]++
		return busy[r.Channel] > r.channel.sessions
	}), next
}

// digest is what a message to r has to say. It is read in parts, so that no probe waits for all of it.
func (e *engine) digest(r *recipient, all bool, now time.Time) *outbox.Digest {
	d := &outbox.Digest{ExternalURL: e.options.ExternalURL, At: now, Reasons: make(map[probe.Reason]int), Groups: make(map[string]int)}
	e.mu.Lock()
	d.Overflow, d.Targets = r.Overflow, len(e.all)
	e.mu.Unlock()
	var read outbox.Cursor
	for more := true; more; {
		e.mu.Lock()
		part := r.Read(&read)
		e.mu.Unlock()
		d.Notifications = append(d.Notifications, part...)
		more = len(part) > 0
	}
	e.eachOpen(func(i *incident.Incident) {
		d.Down++
		d.Reasons[i.Reason]++
		if i.Group != "" {
			d.Groups[i.Group]++
		}
		if all && !i.Held {
			d.Open = append(d.Open, i)
		}
	})
	return d
}

// eachOpen calls f with every open incident, under the lock, and in parts, too.
func (e *engine) eachOpen(f func(i *incident.Incident)) {
	for from, more := 0, true; more; from += visits {
		e.mu.Lock()
		for n := from; n < from+visits && n < len(e.all); n++ {
			if i := e.all[n].Incident; i != nil {
				f(i)
			}
		}
		more = from+visits < len(e.all)
		e.mu.Unlock()
	}
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
	overflow := r.Overflow > 0 && !r.warned
	r.warned = r.Overflow > 0
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
		switch i := h.incident; {
		case h.event == incident.Down:
			l.Info("a target is down", "module", i.Module, "target", i.Target, "stage", i.Stage, "reason", i.Reason, "incident", i.ID)
		case h.event == incident.Up && i.Unwatched != "":
			l.Warn("a target that was down is no longer watched", "module", i.Module, "target", i.Target, "why", i.Unwatched, "incident", i.ID)
		case h.event == incident.Up:
			l.Info("a target is up again", "module", i.Module, "target", i.Target, "after", i.Lasted.Round(time.Millisecond), "incident", i.ID)
		case h.event == incident.None:
			l.Warn("a target that failed is not reported, because all references fail", "module", i.Module, "target", i.Target, "incident", i.ID)
		}
	}
	if full {
		l.Warn("too many targets are watched for alerts; results of further ones are ignored here",
			"limit", maxWatched, "limit_of_probe_requests", maxRequested)
	}
}

// close ends run and the deliveries under way, the latter when ctx ends, and writes down what is pending.
func (e *engine) close(ctx context.Context) error {
	e.stop()
	stop := context.AfterFunc(ctx, e.cancel)
	e.working.Wait()
	stop()
	e.cancel()
	e.storeFails = false // one more attempt
	e.save(time.Now())
	e.log()
	return e.store.Close()
}
