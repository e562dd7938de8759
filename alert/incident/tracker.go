package incident

import (
	"time"

	"rollcall/probe"
)

// Policy is when results become events.
type Policy struct {
	DownAfter, UpAfter int           // consecutive results, at least 1
	RepeatEvery        time.Duration // 0: no reminders
	CertWarning        time.Duration // before a certificate's expiry; 0: no warnings
	CertShare          float64       // of a certificate's lifetime, in place of CertWarning; 0: CertWarning counts
	// Settle is for how long a target that flaps is up before its incident ends: it flaps from its third outage on, when
	// each came sooner than that after the one before. 0: each outage is an incident of its own.
	Settle time.Duration
}

// flappingOutages is how many outages in close succession make one incident of all.
const flappingOutages = 3

// recentResults is how many past results a notification shows.
const recentResults = 5

// Tracker follows one target. Its exported fields are what a restart keeps.
type Tracker struct {
	Subject
	Flaps    *Flaps                 `json:"flaps,omitempty"` // never changed; nil: none
	Streak   Streak                 `json:"streak"`
	UpSince  time.Time              `json:"upSince,omitzero"` // of the present time up; zero while down, or when never seen up
	Warned   time.Time              `json:"warned,omitzero"`  // of its certificate
	Incident *Incident              `json:"incident,omitempty"`
	Past     [recentResults]Outcome `json:"past"`
	Next     uint                   `json:"next"` // where the next result goes in Past

	latest time.Time // the start of the newest result
	down   time.Time // Incident.Since with the monotonic clock; zero after a restart
}

// Streak is a run of equal results. Its times have the monotonic clock, too, until a restart: what lasts is measured by it.
type Streak struct {
	Up    bool      `json:"up"`
	N     int       `json:"n"` // 0: there was no result yet; it stops counting past both thresholds
	Since time.Time `json:"since"`
}

// Latest is when the newest result began; zero: none came since a restart.
func (t *Tracker) Latest() time.Time { return t.latest }

// Observe takes in one result. It returns what that changed, with the incident as it then stands, and whether the tracker
// now differs from what a restart would need to know. A result that began before the newest one changes nothing: two
// callers overlap and a timeout takes long, and the newer result is the truth.
func (t *Tracker) Observe(r *probe.Result, p Policy) (e Event, i *Incident, changed bool) {
	if r.Start.Before(t.latest) {
		return None, nil, false
	}
	t.latest = r.Start
	up := r.Up()
	t.remember(r)
	changed = t.count(up, r.Start, p)
	if up && t.UpSince.IsZero() && t.Incident == nil {
		t.UpSince = t.Streak.Since
	}
	changed = t.followFlaps(up, p) || changed
	switch i := t.Incident; {
	case !up && i == nil && t.Streak.N >= p.DownAfter:
		return Down, t.begin(r, p), true
	case up && i != nil && t.Streak.N >= p.UpAfter && (i.Flaps == nil || i.Flaps.Settled || r.Start.Sub(t.Streak.Since) >= p.Settle):
		return Up, t.end(), true
	case !up && i != nil && i.Flaps != nil && !i.Flaps.Settled && i.Flaps.Up.IsZero() && r.Start.Sub(t.Streak.Since) >= p.Settle:
		settled := *i.Flaps
		settled.Settled = true
		t.Flaps = &settled
		return StillDown, t.remind(r), true
	case !up && i != nil && t.remindAt(r.Start, p):
		return StillDown, t.remind(r), true
	default:
		return None, nil, changed
	}
}

// followFlaps counts the outages that come in close succession, and reports whether one began or ended.
func (t *Tracker) followFlaps(up bool, p Policy) bool {
	at, f := t.Streak.Since, Flaps{}
	if t.Flaps != nil {
		f = *t.Flaps
	}
	switch isDown := f.Outages > 0 && f.Up.IsZero(); {
	case p.Settle <= 0:
		return false
	case up && isDown && t.Streak.N >= p.UpAfter:
		f.Up = at
		f.Down += max(0, at.Sub(f.Latest))
	case !up && !isDown && t.Streak.N >= p.DownAfter:
		if f.Outages == 0 || at.Sub(f.Up).Abs() >= p.Settle {
			f = Flaps{Since: at}
		}
		f.Outages++
		f.Latest, f.Up, f.Settled = at, time.Time{}, false
	default:
		return false
	}
	next := f // f itself would be on the heap for every result
	t.Flaps = &next
	if t.Incident != nil && t.Incident.Flaps != nil {
		t.change(func(i *Incident) { i.Flaps = t.Flaps })
	}
	return true
}

// change has a changed one take the place of the open incident, which itself never changes.
func (t *Tracker) change(f func(i *Incident)) *Incident {
	i := *t.Incident
	f(&i)
	t.Incident = &i
	return &i
}

// Hold has the open incident held back, until a time at the latest if that is not zero.
func (t *Tracker) Hold(until time.Time) {
	t.change(func(i *Incident) { i.Held, i.HeldUntil = true, until })
}

// Release ends that, as if the incident had begun now.
func (t *Tracker) Release(now time.Time) {
	t.change(func(i *Incident) { i.Held, i.HeldUntil, i.Reminded = false, time.Time{}, now })
}

// Judge notes the second opinion on the open incident.
func (t *Tracker) Judge(s Scope, downFrom, upFrom []string) {
	t.change(func(i *Incident) { i.Scope, i.DownFrom, i.UpFrom = s, downFrom, upFrom })
}

// Withdraw takes the open incident and the results that led to it back: they said nothing about the target.
func (t *Tracker) Withdraw() {
	if i := t.Incident; i.UpFor > 0 {
		t.UpSince = i.Since.Add(-i.UpFor)
	}
	t.Incident, t.Streak, t.Flaps, t.down = nil, Streak{}, nil, time.Time{}
}

// WarnOfExpiry returns a notice when a certificate that r saw, at any hop of a redirect, expires soon and the last notice is a day old; else nil.
func (t *Tracker) WarnOfExpiry(r *probe.Result, p Policy) *Incident {
	cert := r.Expiring()
	if (p.CertWarning <= 0 && p.CertShare <= 0) || cert.NotAfter.IsZero() {
		return nil
	}
	warning := p.CertWarning
	if p.CertShare > 0 && !cert.NotBefore.IsZero() {
		warning = time.Duration(p.CertShare * float64(cert.NotAfter.Sub(cert.NotBefore)))
	}
	// The absolute value, because after a restart these are wall-clock times and that clock may have been set back.
	if cert.NotAfter.Sub(r.Start) >= warning || (!t.Warned.IsZero() && r.Start.Sub(t.Warned).Abs() < 24*time.Hour) {
		return nil
	}
	t.Warned = r.Start
	i := t.incident(r)
	i.Since, i.Expiry = r.Start.Round(0), cert.NotAfter
	return i
}

// Abandon ends the incident of a target that gets no results any more, which says nothing of how the target is. It
// returns nil when the target was not down.
func (t *Tracker) Abandon(why string, now time.Time) *Incident {
	if t.Incident == nil {
		return nil
	}
	i := t.ended(now)
	i.Unwatched = why
	return i
}

func (t *Tracker) remember(r *probe.Result) {
	o := Outcome{At: r.Start.UnixNano(), Took: r.Duration}
	if f := r.Failure; f != nil {
		if o.Cause = t.Past[(t.Next+recentResults-1)%recentResults].Cause; o.Cause == nil || *o.Cause != (Cause{f.Stage, f.Reason}) {
			o.Cause = &Cause{f.Stage, f.Reason}
		}
	}
	t.Past[t.Next%recentResults] = o
	t.Next = (t.Next + 1) % recentResults
}

// count extends the streak or begins a new one, and reports whether that matters after a restart. Past both thresholds a
// longer streak does not, so that a steady target never needs the disk.
func (t *Tracker) count(up bool, at time.Time, p Policy) (changed bool) {
	switch {
	case t.Streak.N == 0 || t.Streak.Up != up:
		t.Streak = Streak{Up: up, N: 1, Since: at}
		return true
	case t.Streak.N < max(p.DownAfter, p.UpAfter):
		t.Streak.N++
		return true
	default:
		return false
	}
}

func (t *Tracker) begin(r *probe.Result, p Policy) *Incident {
	i := t.incident(r)
	if p.Settle > 0 && t.Flaps != nil && t.Flaps.Outages >= flappingOutages {
		i.Flaps = t.Flaps
	}
	i.Since, t.down = t.Streak.Since.Round(0), t.Streak.Since // the wall clock is what people are shown
	i.ID = t.IncidentID(i.Since)
	if !t.UpSince.IsZero() {
		i.UpFor = max(0, t.down.Sub(t.UpSince))
	}
	i.Reminded = r.Start
	t.Incident, t.UpSince = i, time.Time{}
	return i
}

func (t *Tracker) end() *Incident {
	i := t.ended(t.Streak.Since)
	t.Incident, t.UpSince = nil, t.Streak.Since
	return i
}

// ended is the open incident with its end. The wall clock may have been set back meanwhile.
func (t *Tracker) ended(at time.Time) *Incident {
	i := *t.Incident
	i.Until, i.Recent = Later(i.Since, at.Round(0)), t.past()
	i.Lasted = i.Until.Sub(i.Since)
	if !t.down.IsZero() {
		i.Lasted = max(0, at.Sub(t.down))
	}
	return &i
}

// remindAt reports whether a reminder is due. Only the time since the latest one counts: a machine that slept through
// ten owes one.
func (t *Tracker) remindAt(now time.Time, p Policy) bool {
	return p.RepeatEvery > 0 && now.Sub(t.Incident.Reminded).Abs() >= p.RepeatEvery
}

func (t *Tracker) remind(r *probe.Result) *Incident {
	return t.change(func(i *Incident) {
		if i.Flaps != nil {
			i.Flaps = t.Flaps
		}
		i.Reminded, i.Recent = r.Start, t.past()
		i.Stage, i.Reason, i.Detail = r.Failure.Stage, r.Failure.Reason, detail(r.Failure)
	})
}

// incident is a new one of this target, as it stands after r.
func (t *Tracker) incident(r *probe.Result) *Incident {
	i := &Incident{Subject: t.Subject, Recent: t.past()}
	if r.Failure != nil {
		i.Stage, i.Reason, i.Detail = r.Failure.Stage, r.Failure.Reason, detail(r.Failure)
	}
	return i
}

// past is the kept results, oldest first.
func (t *Tracker) past() []Outcome {
	kept := make([]Outcome, 0, recentResults)
	for n := range uint(recentResults) {
		if o := t.Past[(t.Next+n)%recentResults]; o.At != 0 {
			kept = append(kept, o)
		}
	}
	return kept
}

// Earlier returns the earlier of two times, a if they are equal.
func Earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Later returns the later of two times, a if they are equal.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
