package alert

import (
	"strings"
	"time"

	"rollcall/alert/incident"
	"rollcall/probe"
)

// The bounds of what is watched. A stranger who may call /probe can invent targets; those have a share of their own,
// so that they crowd out no configured one.
const (
	maxWatched   = 100_000
	maxRequested = 10_000
	forgetAfter  = 24 * time.Hour  // without a result; a configured target, whose interval may be as long, after twice that
	askedLately  = 5 * time.Minute // a target that is asked for less often than this is not watched by that

	// maxJournal bounds what waits to be logged while the disk or the log hangs; of more, nothing is logged.
	maxJournal = 10_000
)

// observe takes in a record: it makes events of it and puts them into the recipients' queues. It reports whether there is
// something to do at once.
func (e *engine) observe(rec *probe.Record, now time.Time) (urgent bool) {
	if rec.Debug {
		return false // a person tries something
	}
	key := rec.Key().Redacted()
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.targets[key]
	switch {
	case !rec.Scheduled && !e.config.probeRequests:
		return false
	case !rec.Scheduled && e.config.schedules(key):
		if t != nil {
			t.request(rec.Result.Start) // it stays watched when it leaves the configuration
		}
		return false
	case rec.Scheduled && (t == nil || !t.Scheduled) && e.config.targets[key] == nil:
		return false // a probe of before the reload
	case t == nil:
		if t = e.admit(key, rec.Scheduled, now); t == nil {
			e.refused++
			return false
		}
	}
	e.note(t, rec)
	if !rec.Scheduled && t.isHasty(rec, now) {
		return false
	}
	policy := e.config.policyOf(key)
	event, i, changed := t.Observe(&rec.Result, policy)
	if changed {
		e.mark(t.Key, nil)
	}
	if event == incident.Down {
		e.hold(t, rec, now)
		i = t.Incident
	}
	if event != incident.None {
		e.report(t, event, i, now)
	}
	warned := t.Warned
	expiring := t.WarnOfExpiry(&rec.Result, policy)
	if expiring != nil && e.config.inMaintenance(t, now) {
		expiring, t.Warned = nil, warned
	}
	if expiring != nil {
		e.mark(t.Key, nil)
		e.notify(incident.CertExpiring, expiring, now)
	}
	return event != incident.None || expiring != nil
}

// isHasty reports whether rec is a timeout that says nothing about the target: the request had less than half of the time that
// another one had lately, which a target that answers may need.
func (t *target) isHasty(rec *probe.Record, now time.Time) bool {
	r := t.requests
	if rec.Timeout >= r.patience || now.Sub(r.patienceAt) >= askedLately {
		r.patience, r.patienceAt = rec.Timeout, now
	}
	f := rec.Result.Failure
	return f != nil && f.Reason == probe.ReasonTimeout && rec.Timeout < r.patience/2
}

// request notes that /probe asked for the target.
func (t *target) request(at time.Time) {
	if t.requests == nil {
		t.requests = new(requested)
	}
	t.requests.again, t.requests.latest = !t.requests.latest.IsZero(), at
}

// requestedSince reports whether /probe asked for the target within d before now.
func (t *target) requestedSince(d time.Duration, now time.Time) bool {
	return t.requests != nil && now.Sub(t.requests.latest) < d
}

// schedules reports whether the schedule probes the target of a request: callers of /probe must not change its state by a
// short timeout or another hostname.
func (c *Config) schedules(key probe.Key) bool {
	if c.targets[key] != nil {
		return true
	}
	key.Hostname = ""
	return c.targets[key] != nil
}

// admit begins to watch a target, or returns nil when there is no room.
func (e *engine) admit(key probe.Key, scheduled bool, now time.Time) *target {
	if full := !scheduled && e.requested >= maxRequested; full && !e.makeRoom(key, now) || len(e.all) >= maxWatched {
		return nil
	}
	// The record's strings may be parts of a request that would stay in memory with them.
	t := new(target)
	t.Key = probe.Key{Module: strings.Clone(key.Module), Target: strings.Clone(key.Target), Hostname: strings.Clone(key.Hostname)}
	t.Scheduled = scheduled
	e.insert(t)
	return t
}

func (e *engine) insert(t *target) {
	e.all = append(e.all, t)
	e.targets[t.Key] = t
	if !t.Scheduled {
		e.requested++
	}
}

// note keeps what a record says of its target beside the result.
func (e *engine) note(t *target, rec *probe.Record) {
	t.Prober, t.seen = rec.Prober, rec.Result.Start
	if !rec.Scheduled {
		t.request(rec.Result.Start)
		if t.leaving { // on as one that is only asked for
			t.leaving = false
			e.mark(t.Key, nil)
		}
		return
	}
	if !t.Scheduled {
		t.Scheduled = true
		e.requested--
	}
	t.leaving = false
	if w := e.config.targets[t.Key]; w != nil {
		t.Name, t.Group, t.Labels = w.Name, w.Group, w.Labels
	}
}

// report notifies of an event, unless its incident is held back (see hold): then it is not reported at all when it ends
// before. What was reported before a maintenance window has its end in any case, and no reminders.
func (e *engine) report(t *target, event incident.Event, i *incident.Incident, now time.Time) {
	e.happened(event, i)
	switch {
	case i.Held, event == incident.StillDown && e.config.inMaintenance(t, now):
	default:
		e.notify(event, i, now)
	}
}

// happened has an event logged.
func (e *engine) happened(event incident.Event, i *incident.Incident) {
	if len(e.journal) < maxJournal {
		e.journal = append(e.journal, happening{event, i})
	}
}

// notify puts an event into the recipients' queues.
func (e *engine) notify(event incident.Event, i *incident.Incident, now time.Time) {
	for _, r := range e.recipients {
		if event == incident.CertExpiring && r.channel.resend > 0 {
			continue // it is no incident, and there is no end to post
		}
		if !e.config.sendsTo(r.Queue, i.Key) && !(event == incident.Up && r.Knows(i.Key, i.ID)) {
			continue
		}
		if r.Add(event, i, now) {
			e.channelStats(r.Channel).Summed++
		}
	}
}

// The most that is done under the lock at once, in rows and visited targets.
const (
	visits = 256
	copies = 20
)

// sweepPart looks at a part of the targets, from the nth on, and returns where to go on; more is false at the end. It
// drops those that get no results any more, and has each recipient owed every open incident that it does not know.
func (e *engine) sweepPart(from int, now time.Time) (next int, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	work := 0
	for next = from; next < len(e.all) && work < visits; work++ {
		t := e.all[next]
		if why := e.over(t, now); why != "" {
			e.drop(t, next, why, now)
			work += visits / copies
			continue
		}
		next++
		e.reconsider(t, now)
		if t.Incident == nil || t.Incident.Held {
			continue
		}
		for _, r := range e.recipients {
			if work++; r.channel.resend == 0 && e.config.sendsTo(r.Queue, t.Key) && !r.Knows(t.Key, t.Incident.ID) {
				r.Add(incident.Down, t.Incident, now)
			}
		}
	}
	return next, next < len(e.all)
}

// drop ends the watching of the target at that place. Recipients that know it as down learn that it is no longer
// watched; how it is, is not known.
func (e *engine) drop(t *target, place int, why string, now time.Time) {
	last := len(e.all) - 1
	e.all[place] = e.all[last]
	e.all = e.all[:last]
	delete(e.targets, t.Key)
	if !t.Scheduled {
		e.requested--
	}
	e.mark(t.Key, nil)
	if i := t.Abandon(why, now); i != nil {
		e.report(t, incident.Up, i, now)
	}
}

// over says why a target is no longer watched; empty: it is. One that left the configuration may still be asked for by
// /probe; whether it is shows within the time between two scrapes.
func (e *engine) over(t *target, now time.Time) (why string) {
	if t.Scheduled && e.config.targets[t.Key] == nil && !e.config.Incomplete {
		t.Scheduled, t.leaving = false, true
		e.requested++
	}
	switch {
	case t.leaving && (!e.config.probeRequests || !t.requestedSince(askedLately, now)):
		return "it left the configuration"
	case now.Sub(t.seen) >= 2*forgetAfter, !t.Scheduled && now.Sub(t.seen) >= forgetAfter:
		return "it had no result for a day"
	default:
		return ""
	}
}
