package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"rollcall/probe"
)

// policy is when results become news.
type policy struct {
	downAfter, upAfter int           // consecutive results
	repeatEvery        time.Duration // 0: no reminders
	certWarning        time.Duration // 0: no warnings
}

// event is what one result changed.
type event uint8

const (
	nothing event = iota
	wentDown
	cameUp
	stillDown
	certEnding
	unwatched // nobody looks any more; without an incident it was not down, and nobody need be told
)

// outcome is one past result, small because a hundred thousand targets keep a few each.
type outcome struct {
	At     int64         `json:"at"` // Unix nanoseconds
	Took   time.Duration `json:"took"`
	Stage  probe.Stage   `json:"stage,omitempty"`
	Reason probe.Reason  `json:"reason,omitempty"` // empty: up
}

// recentResults is how many past results a mail shows.
const recentResults = 5

// incident is one target's time from down to up.
type incident struct {
	ID        string            `json:"id"`
	Module    string            `json:"module"`
	Target    string            `json:"target"`
	Prober    string            `json:"prober"`
	Labels    map[string]string `json:"labels,omitempty"`
	Since     time.Time         `json:"since"`
	Until     time.Time         `json:"until,omitzero"`  // zero: not over
	LastUp    time.Time         `json:"lastUp,omitzero"` // zero: never seen up
	UpFor     time.Duration     `json:"upFor,omitempty"` // how long it had been up; 0: unknown
	Stage     probe.Stage       `json:"stage,omitempty"`
	Reason    probe.Reason      `json:"reason,omitempty"`
	Detail    string            `json:"detail,omitempty"`    // the cause in words, clean and cut
	Recent    []outcome         `json:"recent,omitempty"`    // oldest first
	Expiry    time.Time         `json:"expiry,omitzero"`     // of a certificate that ends soon
	Reminded  time.Time         `json:"reminded,omitzero"`   // when the last reminder (or the beginning) became news
	Unwatched string            `json:"unwatched,omitempty"` // why it ended without anybody seeing the target up
	Summed    int               `json:"summed,omitempty"`    // earlier incidents of the target that this one stands for, too
	SummedAll time.Time         `json:"summedAll,omitzero"`  // when the first of those began
}

// streak is a run of equal results.
type streak struct {
	Up    bool      `json:"up"`
	N     int       `json:"n"` // 0: there was no result yet; it stops counting where no threshold can tell the difference
	Since time.Time `json:"since"`
}

// watch is what is known of one (module, target). It is the whole state machine: no clock, no lock and no I/O.
type watch struct {
	Module    string                 `json:"module"`
	Target    string                 `json:"target"`
	Prober    string                 `json:"prober"`
	Labels    map[string]string      `json:"labels,omitempty"`
	Scheduled bool                   `json:"scheduled,omitempty"`
	Streak    streak                 `json:"streak"`
	UpSince   time.Time              `json:"upSince,omitzero"` // of the present time up; zero while down, or when never seen up
	LastUp    time.Time              `json:"lastUp,omitzero"`
	Warned    time.Time              `json:"warned,omitzero"` // of its certificate
	Incident  *incident              `json:"incident,omitempty"`
	Past      [recentResults]outcome `json:"past"`
	Next      int                    `json:"next"` // where the next result goes in Past

	latest  time.Time // the start of the newest result, by the monotonic clock, which has no meaning on disk
	seen    time.Time // when a result last came
	asked   time.Time // when the last one came that nobody had configured
	leaving bool      // it left the configuration, and nobody has asked for it since
	unsaved bool      // it differs from its row on disk
}

// observe folds one result in and says what it changed, with the incident as it then stood. The result may be older
// than one that came before it, for two askers overlap and a timeout takes long: the newer one is then the truth,
// and the older changes nothing.
func (w *watch) observe(r *probe.Result, p policy) (event, *incident) {
	if r.Start.Before(w.latest) {
		return nothing, nil
	}
	w.latest = r.Start
	up := r.Up()
	w.remember(r)
	w.count(up, r.Start, p)
	if up {
		w.LastUp = r.Start
		if w.UpSince.IsZero() && w.Incident == nil {
			w.UpSince = w.Streak.Since
		}
	}
	switch {
	case !up && w.Incident == nil && w.Streak.N >= p.downAfter:
		return wentDown, w.begin(r)
	case up && w.Incident != nil && w.Streak.N >= p.upAfter:
		return cameUp, w.end()
	case w.Incident != nil && !up && w.remindAt(r.Start, p):
		return stillDown, w.remind(r)
	default:
		return nothing, nil
	}
}

// warn reports whether it is time to say that the certificate ends soon: once a day at most.
func (w *watch) warn(r *probe.Result, p policy) bool {
	if p.certWarning <= 0 || r.TLS == nil || r.TLS.EarliestExpiry.IsZero() {
		return false
	}
	// The absolute value, because after a restart these are wall-clock times and that clock may have been set back.
	if r.TLS.EarliestExpiry.Sub(r.Start) >= p.certWarning || (!w.Warned.IsZero() && r.Start.Sub(w.Warned).Abs() < 24*time.Hour) {
		return false
	}
	w.Warned, w.unsaved = r.Start, true
	return true
}

// expiring is the news of an ending certificate, in the form of an incident that nobody ends.
func (w *watch) expiring(r *probe.Result) *incident {
	i := w.incident(r)
	i.ID, i.Since, i.Expiry = incidentID("cert", w.Module, w.Target, r.TLS.EarliestExpiry), r.Start, r.TLS.EarliestExpiry
	return i
}

func (w *watch) remember(r *probe.Result) {
	o := outcome{At: r.Start.UnixNano(), Took: r.Duration}
	if r.Failure != nil {
		o.Stage, o.Reason = r.Failure.Stage, r.Failure.Reason
	}
	w.Past[w.Next] = o
	w.Next = (w.Next + 1) % recentResults
}

// count extends the streak or begins a new one. Past both thresholds a longer streak is no news, so that a steady
// target never needs the disk.
func (w *watch) count(up bool, at time.Time, p policy) {
	if w.Streak.N == 0 || w.Streak.Up != up {
		w.Streak = streak{Up: up, N: 1, Since: at.Round(0)} // the wall clock, which is what people are shown
		w.unsaved = true
	} else if w.Streak.N < max(p.downAfter, p.upAfter) {
		w.Streak.N++
		w.unsaved = true
	}
}

func (w *watch) begin(r *probe.Result) *incident {
	i := w.incident(r)
	i.ID, i.Since, i.LastUp = incidentID("down", w.Module, w.Target, r.Start), w.Streak.Since, w.LastUp
	if !w.UpSince.IsZero() {
		i.UpFor = max(0, i.Since.Sub(w.UpSince))
	}
	i.Reminded = r.Start
	w.Incident, w.UpSince, w.unsaved = i, time.Time{}, true
	return i
}

// end, remind and abandon copy the incident: the one before is shared with news under way, which keep what they were told.
func (w *watch) end() *incident {
	i := *w.Incident
	i.Until, i.Recent = later(i.Since, w.Streak.Since), w.past() // the wall clock may have been set back
	w.Incident, w.UpSince, w.unsaved = nil, w.Streak.Since, true
	return &i
}

// abandon ends the incident of a target that nobody looks at any more, which says nothing of how the target is.
func (w *watch) abandon(why string, now time.Time) *incident {
	i := *w.Incident
	i.Until, i.Unwatched, i.Recent = later(i.Since, now.Round(0)), why, w.past()
	return &i
}

// remindAt reports whether a reminder is due. Only the time since the latest one counts: a machine that slept through
// ten owes one.
func (w *watch) remindAt(now time.Time, p policy) bool {
	return p.repeatEvery > 0 && now.Sub(w.Incident.Reminded).Abs() >= p.repeatEvery
}

func (w *watch) remind(r *probe.Result) *incident {
	i := *w.Incident
	i.Reminded, i.Recent = r.Start, w.past()
	i.Stage, i.Reason, i.Detail = r.Failure.Stage, r.Failure.Reason, detail(r.Failure)
	w.Incident, w.unsaved = &i, true
	return &i
}

// incident is a new one of this target, as it stands after r.
func (w *watch) incident(r *probe.Result) *incident {
	i := &incident{Module: w.Module, Target: w.Target, Prober: w.Prober, Labels: w.Labels, Recent: w.past()}
	if r.Failure != nil {
		i.Stage, i.Reason, i.Detail = r.Failure.Stage, r.Failure.Reason, detail(r.Failure)
	}
	return i
}

// past is the kept results, oldest first.
func (w *watch) past() []outcome {
	kept := make([]outcome, 0, recentResults)
	for n := range recentResults {
		if o := w.Past[(w.Next+n)%recentResults]; o.At != 0 {
			kept = append(kept, o)
		}
	}
	return kept
}

// maxDetail bounds what a remote side can put into a mail with one answer.
const maxDetail = 500

func detail(f *probe.Failure) string { return clean(f.Err.Error(), maxDetail) }

// incidentID names an incident for good: the same in every mail, over restarts.
func incidentID(kind, module, target string, at time.Time) string {
	h := sha256.New()
	for _, s := range []string{kind, module, target, at.UTC().Format(time.RFC3339Nano)} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// changed is when the latest of an incident happened.
func (i *incident) changed() time.Time {
	switch {
	case !i.Until.IsZero():
		return i.Until
	case !i.Reminded.IsZero():
		return i.Reminded
	default:
		return i.Since
	}
}
