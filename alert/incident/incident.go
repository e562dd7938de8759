// Package incident is the state machine of alerting: it turns the results of one target into incidents, where an incident
// is one target's time from down to up. It has no clock, no lock and no I/O, and knows no recipients.
package incident

import (
	"cmp"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/probe"
)

// Subject is what is watched, with what is known of it beside its results.
type Subject struct {
	probe.Key               // as it is stored
	Name      string        `json:"name,omitempty"`  // for people; empty: the target
	Group     string        `json:"group,omitempty"` // empty: none
	Prober    string        `json:"prober"`
	Labels    labels.Labels `json:"labels,omitzero"`
	Scheduled bool          `json:"scheduled,omitempty"` // a configured target
}

// Incident is one target's time from down to up, as it stands after one result. It is never changed once it is made, so
// that it may be read without a lock: what comes later is another Incident with the same ID.
type Incident struct {
	ID string `json:"id"`
	Subject
	Since     time.Time     `json:"since"`            // the start of the first result that was down
	Until     time.Time     `json:"until,omitzero"`   // zero: not over
	Lasted    time.Duration `json:"lasted,omitempty"` // from Since to Until; by the monotonic clock unless a restart lay between
	UpFor     time.Duration `json:"upFor,omitempty"`  // how long it had been up; 0: unknown
	Stage     probe.Stage   `json:"stage,omitempty"`
	Reason    probe.Reason  `json:"reason,omitempty"`
	Detail    string        `json:"detail,omitempty"`    // the cause in words, as the probe gave it, at most maxDetail bytes
	Recent    []Outcome     `json:"recent,omitempty"`    // oldest first
	Expiry    time.Time     `json:"expiry,omitzero"`     // not zero: this is no incident but a certificate that expires soon
	Reminded  time.Time     `json:"reminded,omitzero"`   // when the last reminder (or the beginning) was due
	Unwatched string        `json:"unwatched,omitempty"` // why it ended without a result that was up
	Flaps     *Flaps        `json:"flaps,omitempty"`     // not nil: the target flapped when it began, or has since
	Held      bool          `json:"held,omitempty"`      // it is not reported yet
	HeldUntil time.Time     `json:"heldUntil,omitzero"`  // at the latest, for a second opinion; zero: until the end of maintenance
	Scope     Scope         `json:"scope,omitempty"`
	DownFrom  []string      `json:"downFrom,omitempty"` // the witnesses that see it down
	UpFrom    []string      `json:"upFrom,omitempty"`   // and those that see it up
}

// Scope is from where a target is down, by a second opinion; empty: there is none.
type Scope string

// The scopes.
const (
	ScopeHere       Scope = "here"       // a witness sees it up
	ScopeEverywhere Scope = "everywhere" // every witness that answers sees it down, too
	ScopeUnknown    Scope = "unknown"    // no witness answers
	ScopeIsolated   Scope = "isolated"   // it is a reference, and all references fail: our own line is cut
)

// Opinion is the second opinion in words; empty: there is none.
func (i *Incident) Opinion() string {
	switch i.Scope {
	case ScopeHere:
		if len(i.DownFrom) > 0 {
			return "down from here and from " + strings.Join(i.DownFrom, ", ") + "; up from " + strings.Join(i.UpFrom, ", ")
		}
		return "down from here only; up from " + strings.Join(i.UpFrom, ", ")
	case ScopeEverywhere:
		return "down from here and from " + strings.Join(i.DownFrom, ", ")
	case ScopeUnknown:
		return "down from here; no witness answers"
	case ScopeIsolated:
		return "all references are down: our own line is cut"
	default:
		return ""
	}
}

// Changed is when the latest of an incident happened.
func (i *Incident) Changed() time.Time {
	return cmp.Or(i.Until, i.Reminded, i.Since)
}

// Flaps counts outages of a target that follow each other closely.
type Flaps struct {
	Outages int           `json:"outages"`
	Since   time.Time     `json:"since"`             // the start of the first
	Latest  time.Time     `json:"latest"`            // the start of the latest
	Down    time.Duration `json:"down"`              // how long those that are over lasted together
	Up      time.Time     `json:"up,omitzero"`       // the end of the latest; zero: it is not over
	Settled bool          `json:"settled,omitempty"` // the latest has lasted so long that the target no longer flaps
}

// Share is the share of the time in which the target was down until at, from 0 to 1.
func (f *Flaps) Share(at time.Time) float64 {
	down, whole := f.Down, at.Sub(f.Since)
	if f.Up.IsZero() {
		down += at.Sub(f.Latest)
	}
	if whole <= 0 {
		return 1
	}
	return min(1, max(0, down.Seconds()/whole.Seconds()))
}

// Outcome is one past result, small because a hundred thousand targets keep a few each.
type Outcome struct {
	At     int64         `json:"at"` // Unix nanoseconds
	Took   time.Duration `json:"took"`
	*Cause               // nil: up
}

// Cause is why a result was down.
type Cause struct {
	Stage  probe.Stage  `json:"stage,omitempty"`
	Reason probe.Reason `json:"reason,omitempty"`
}

// Event is what a result, or its absence, changed.
type Event uint8

const (
	None         Event = iota
	Down               // an incident began
	Up                 // it ended; one that is Unwatched without a result that was up
	StillDown          // a reminder is due
	CertExpiring       // the target's certificate expires soon
)
