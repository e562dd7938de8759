package alert

import (
	"context"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/witness"
	"rollcall/probe"
)

// The bounds of a second opinion.
const (
	// opinionTime is how long a notification waits for the witnesses and the references: an incident on which there is no
	// opinion by then is reported all the same.
	opinionTime  = 30 * time.Second
	maxQuestions = 100             // to each witness at once
	hurryEvery   = 2 * time.Second // while something waits for the references

	// referenceIntervals is how many intervals a result of a reference counts: one that is no longer probed must not
	// silence the others.
	referenceIntervals = 3
)

// question is a target that went down, and the incident that waits for the answer.
type question struct {
	witness.Question
	key    probe.Key
	id     string
	secret bool // the target holds a password, which no witness gets
}

// hold holds an incident that began back: in a maintenance window until its end, else until there is a second opinion.
func (e *engine) hold(t *target, rec *probe.Record, now time.Time) {
	switch {
	case e.config.inMaintenance(t, now):
		t.Hold(time.Time{})
	case e.config.ask != nil || len(e.config.references) > 0:
		t.Hold(now.Add(opinionTime))
		e.sweepBy(t.Incident.HeldUntil)
		e.questions = append(e.questions, question{
			Question: witness.Question{Module: rec.Module, Target: rec.Target, Hostname: rec.Hostname, Timeout: rec.Timeout},
			key:      t.Key, id: t.Incident.ID, secret: t.Target != rec.Target,
		})
	}
}

// consult asks the witnesses about targets that went down. Those that must wait for others may be reported before their turn.
func (e *engine) consult(ctx context.Context) {
	e.mu.Lock()
	var next []question
	for len(e.questions) > 0 && e.asking < maxQuestions {
		if q := e.questions[0]; e.waiting(q) != nil {
			next = append(next, q)
			e.asking++
		}
		e.questions = e.questions[1:]
	}
	ask, references := e.config.ask, e.config.references
	hurry := (e.hurry || len(next) > 0) && e.options.Hurry != nil
	e.hurry = false
	e.mu.Unlock()
	for _, r := range references {
		if hurry {
			e.options.Hurry(r)
		}
	}
	for _, q := range next {
		e.working.Go(func() {
			var a *witness.Answer // nil: there is no one to ask
			if ask != nil && !q.secret {
				answer := ask(ctx, q.Question)
				a = &answer
				e.options.Logger.Info("witnesses were asked about a target that is down", "module", q.Module, "target", q.key.Target,
					"down", a.Down, "up", a.Up, "err", a.Err, "incident", q.id)
			}
			e.hear(ctx, q, a, time.Now())
			e.wakeUp()
		})
	}
}

// waiting is the target of a question whose incident still waits for the answer; nil: it does not.
func (e *engine) waiting(q question) *target {
	if t := e.targets[q.key]; t != nil && t.Incident != nil && t.Incident.ID == q.id && t.Incident.Held {
		return t
	}
	return nil
}

// hear takes in what the witnesses say. When ctx has ended, the answer is not theirs.
func (e *engine) hear(ctx context.Context, q question, a *witness.Answer, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asking--
	t := e.waiting(q)
	if t == nil || ctx.Err() != nil {
		return
	}
	t.heard = q.id
	switch {
	case a == nil:
	case len(a.Up) > 0:
		t.Judge(incident.ScopeHere, a.Down, a.Up)
		t.Hold(now.Add(e.config.hold))
	case len(a.Down) > 0:
		t.Judge(incident.ScopeEverywhere, a.Down, nil)
	default:
		t.Judge(incident.ScopeUnknown, nil, nil)
	}
	e.mark(q.key, nil)
	e.reconsider(t, now)
}

// reconsider reports an incident that is held back when nothing holds it any more, or withdraws it.
func (e *engine) reconsider(t *target, now time.Time) {
	i := t.Incident
	if i == nil || !i.Held || e.config.inMaintenance(t, now) {
		return
	}
	isolated := e.isolated(now)
	switch {
	case i.HeldUntil.IsZero(): // maintenance is over
	case isolated && e.config.references[t.Key] != nil:
		t.Judge(incident.ScopeIsolated, nil, nil)
	case isolated && i.Scope != incident.ScopeEverywhere:
		e.happened(incident.None, i)
		t.Withdraw()
		e.mark(t.Key, nil)
		return
	case !now.Before(i.HeldUntil):
	case i.Scope == incident.ScopeHere || t.heard != i.ID:
		e.sweepBy(i.HeldUntil)
		return
	case !e.lineWorks(i.Reminded):
		e.hurry = true
		e.sweepBy(incident.Earlier(i.HeldUntil, now.Add(hurryEvery)))
		return
	}
	t.Release(now)
	e.mark(t.Key, nil)
	e.notify(incident.Down, t.Incident, now)
}

// sweepBy has the next sweep be at a time at the latest.
func (e *engine) sweepBy(at time.Time) { e.sweepAt = incident.Earlier(e.sweepAt, at) }

// isolated reports whether all references are down: what fails then says nothing about its target.
func (e *engine) isolated(now time.Time) bool {
	for key, r := range e.config.references {
		if t := e.targets[key]; t == nil || t.Streak.Up || now.Sub(t.Latest()) > referenceIntervals*r.Interval {
			return false
		}
	}
	return len(e.config.references) > 0
}

// lineWorks reports whether a reference was up after that time.
func (e *engine) lineWorks(since time.Time) bool {
	for key := range e.config.references {
		if t := e.targets[key]; t != nil && t.Streak.Up && !t.Latest().Before(since) {
			return true
		}
	}
	return len(e.config.references) == 0
}

// Isolated reports whether a failure of the target says nothing about it, because all references fail and it is none.
func (h *Hook) Isolated(key probe.Key) (isolated bool) {
	h.read(func(e *engine) {
		isolated = e.isolated(time.Now()) && e.config.references[key.Redacted()] == nil
	})
	return isolated
}

// Opinion is what the second opinion on the open incident of a target says; empty: there is none.
func (h *Hook) Opinion(key probe.Key) (opinion string) {
	h.read(func(e *engine) {
		if t := e.targets[key.Redacted()]; t != nil && t.Incident != nil {
			opinion = t.Incident.Opinion()
		}
	})
	return opinion
}
