package outbox

import (
	"cmp"
	"container/list"
	"math/rand/v2"
	"slices"
	"time"

	"rollcall/alert/incident"
	"rollcall/probe"
)

// The bounds of what one recipient has waiting, in targets. A stranger who may call /probe can invent targets for as long
// as a mail server is away; once that many wait, only configured ones get in.
const (
	maxTargets          = 100_000
	maxRequestedTargets = 10_000
)

// How attempts are repeated.
const (
	firstPause   = 5 * time.Second // doubled with each failure
	longestPause = 5 * time.Minute
	refusedPause = time.Minute // after a refusal, doubled with each
	daily        = 24 * time.Hour
)

// chunk is how much is done at once under the owner's lock, so that no probe waits for long.
const chunk = 64

// Queue is what one recipient knows and is owed. It has no lock: its owner has.
type Queue struct {
	Channel, Name string

	targets map[probe.Key]*Notification
	pending list.List // of the *Notifications of which something is owed, the oldest first
	queueRow
	RowDirty bool // queueRow differs from the disk

	sending   bool      // an attempt is under way
	limit     int       // notifications in a message; 0: any number
	failures  int       // in a row
	refusal   Verdict   // of the last attempt: Refused or NoRecipient; Delivered: it was none
	tried     time.Time // when the last attempt ended; zero: none did in this process
	notBefore time.Time // of the next attempt

	// OnChange is called with each target of which the queue's row on disk begins to differ; nil: nothing is.
	OnChange func(probe.Key)
}

// queueRow is what is kept of a queue beside its notifications.
type queueRow struct {
	Message  *Message    `json:"message,omitempty"`  // on its way; nil: none is
	Sent     []time.Time `json:"sent,omitempty"`     // messages of the last hour that cost the recipient's server something, oldest first
	Accepted time.Time   `json:"accepted,omitzero"`  // when the last one was; zero: never
	Overflow int         `json:"overflow,omitempty"` // outages that are only counted because too much waited
}

// NewQueue makes the queue of a recipient that knows nothing and is owed nothing.
func NewQueue(channel, name string) *Queue {
	return &Queue{Channel: channel, Name: name, targets: make(map[probe.Key]*Notification), refusal: Delivered}
}

// Add takes in an event. It reports whether an outage is now only counted, for want of room.
func (q *Queue) Add(e incident.Event, i *incident.Incident, now time.Time) (counted bool) {
	key := i.Key
	n := q.targets[key]
	switch {
	case n != nil:
	case !q.full(i.Scheduled):
		n = &Notification{Key: key}
	case e == incident.Up:
		q.Overflow++
		q.RowDirty = true
		return true
	default: // what is still down is added again when there is room (see Knows), and a reminder comes again by itself
		return false
	}
	if !n.owed() {
		n.since = now
	}
	n = n.add(e, i)
	if len(n.Outages) > maxOutages {
		if n, counted = n.drop(q.says); counted {
			q.Overflow++
			q.RowDirty = true
		}
	}
	q.put(n)
	if e == incident.Down {
		q.Hasten()
	}
	return counted
}

// Hasten has a recipient that refused the last message tried again soon: something happened, or another's was accepted.
func (q *Queue) Hasten() {
	if q.refusal == Refused {
		q.notBefore = incident.Earlier(q.notBefore, q.tried.Add(longestPause))
	}
}

// Delay has the next attempt wait as after many failures.
func (q *Queue) Delay(now time.Time) { q.notBefore = now.Add(longestPause) }

// Retry has the next attempt made at once, whatever the last ones came to: the configuration may be mended.
func (q *Queue) Retry() {
	q.failures, q.notBefore, q.limit, q.refusal = 0, time.Time{}, 0, Delivered
}

func (q *Queue) full(scheduled bool) bool {
	return len(q.targets) >= maxTargets || (!scheduled && len(q.targets) >= maxRequestedTargets)
}

// Knows reports whether the recipient got a message about the incident, or is owed one. A recipient that was given up need know
// none.
func (q *Queue) Knows(key probe.Key, id string) bool {
	n := q.targets[key]
	return q.refusal == NoRecipient || n != nil && n.find(id) >= 0
}

// says reports whether the message on its way is about the incident.
func (q *Queue) says(id string) bool {
	return q.Message != nil && slices.ContainsFunc(q.Message.Says, func(s Said) bool { return s.ID == id })
}

// put has n, which is new, take the place of what was known of its target.
func (q *Queue) put(n *Notification) {
	if q.OnChange != nil {
		q.OnChange(n.Key)
	}
	n.place = nil
	if old := q.targets[n.Key]; old != nil {
		n.place = old.place
	}
	switch {
	case n.owed() && n.place == nil:
		n.place = q.pending.PushBack(n)
	case n.owed():
		n.place.Value = n
	case n.place != nil:
		q.pending.Remove(n.place)
		n.place = nil
	}
	if q.targets[n.Key] = n; len(n.Outages) == 0 && !n.owed() {
		delete(q.targets, n.Key)
	}
}

// oldest is what has been owed for the longest time; nil: nothing is owed.
func (q *Queue) oldest() *Notification {
	if e := q.pending.Front(); e != nil {
		return e.Value.(*Notification)
	}
	return nil
}

// Pacing is how often a recipient gets messages.
type Pacing struct {
	Wait     time.Duration // of the first notification for others
	Interval time.Duration // between two messages
	PerHour  int           // 0: no limit
}

// Due is when the next attempt may begin; ok is false when nothing is owed or an attempt is under way.
func (q *Queue) Due(p Pacing, now time.Time) (at time.Time, ok bool) {
	if q.sending || (q.Message == nil && q.Pending() == 0) {
		return time.Time{}, false
	}
	at = q.notBefore
	if q.Message != nil {
		return at, true // no new message: the same one again
	}
	if n := q.oldest(); n != nil && !n.since.IsZero() {
		at = incident.Later(at, n.since.Add(p.Wait))
	}
	q.Sent = slices.DeleteFunc(q.Sent, func(t time.Time) bool {
		return now.Sub(t) >= time.Hour || t.After(now) // a time to come is what a clock that was set back leaves behind
	})
	if !q.Accepted.After(now) { // what is refused has pauses of its own, which a reload or restart ends
		at = incident.Later(at, q.Accepted.Add(p.Interval))
	}
	if n := len(q.Sent); p.PerHour > 0 && n >= p.PerHour {
		at = incident.Later(at, q.Sent[n-p.PerHour].Add(time.Hour))
	}
	return at, true
}

// Sending reports whether an attempt is under way.
func (q *Queue) Sending() bool { return q.sending }

// Tried is when the last attempt ended.
func (q *Queue) Tried() time.Time { return q.tried }

// Refused reports whether the last attempt was refused.
func (q *Queue) Refused() bool { return q.refusal != Delivered }

// Cursor is how far what is owed was read. The zero Cursor is at the beginning.
type Cursor struct {
	last *list.Element
	read int
}

// Read returns the next part of what is owed, as much as is fit to be read under a lock; none at the end. Nothing is
// removed while it is read in parts: only the outcome of an attempt does that.
func (q *Queue) Read(c *Cursor) (part []*Notification) {
	for len(part) < chunk && (q.limit == 0 || c.read < q.limit) {
		next := q.pending.Front()
		if c.last != nil {
			next = c.last.Next()
		}
		if next == nil {
			break
		}
		c.last = next
		c.read++
		part = append(part, next.Value.(*Notification))
	}
	return part
}

// Begin notes that an attempt begins to deliver m, which is the present message or a new one.
func (q *Queue) Begin(m *Message) {
	if q.Message != m {
		q.Message, q.RowDirty = m, m.ID != "" || q.RowDirty
	}
	q.sending = true
}

// Accept takes in a part of what a delivered message says, from the nth on, and returns where to go on; more is false at
// the end.
func (q *Queue) Accept(from int) (next int, more bool) {
	if q.Message == nil {
		return 0, false
	}
	next = min(from+chunk, len(q.Message.Says))
	for _, s := range q.Message.Says[from:next] {
		if n := q.targets[s.Key]; n != nil {
			q.put(n.notified(s, q.Message.ID))
		}
	}
	return next, next < len(q.Message.Says)
}

// Settle takes in how an attempt ended, after Accept for one that was delivered or rejected.
func (q *Queue) Settle(v Verdict, now time.Time) {
	m := q.Message
	q.sending, q.tried = false, now
	if m == nil {
		return
	}
	if v == TooLarge && q.limit != 1 && len(m.Says) > 1 && !m.doubt {
		notified := q.pending.Len()
		if q.limit > 0 {
			notified = min(notified, q.limit)
		}
		q.limit = max(1, notified/2)
		q.Message, q.RowDirty = nil, true
		return
	}
	q.failures++
	q.notBefore = now.Add(pause(v, q.failures))
	switch v {
	case InDoubt:
		m.doubt = true
		return // the same bytes again, under the same ID
	case Postponed:
		if m.doubt {
			return
		}
	case Delivered, Rejected:
		q.failures, q.notBefore, q.limit, q.Accepted = 0, time.Time{}, 0, now
		q.Overflow -= m.Overflow
		q.refusal = Delivered
	case NoRecipient:
		q.refusal = NoRecipient
		q.forget(func(*Notification) bool { return true })
	default:
		q.refusal = Refused
		// What is over for a day is no longer worth a message that is refused.
		q.forget(func(n *Notification) bool { return now.Sub(n.changed()) > daily && !n.open() })
	}
	if v != Postponed && m.ID != "" {
		q.Sent = append(q.Sent, now) // what is refused costs the mail server, and our name there, as much as a mail
	}
	q.Message, q.RowDirty = nil, true
}

// forget gives up what is owed of the targets that which picks.
func (q *Queue) forget(which func(*Notification) bool) {
	for e := q.pending.Front(); e != nil; {
		n := e.Value.(*Notification)
		if e = e.Next(); which(n) {
			q.put(&Notification{Key: n.Key})
		}
	}
}

// pause is how long to wait after the nth failure in a row: twice as long each time, half of it by chance, so that many
// exporters do not return to a mail server together.
func pause(v Verdict, failures int) time.Duration {
	d := min(firstPause<<min(failures, 16), longestPause)
	switch v {
	case Refused, TooLarge:
		d = min(refusedPause<<min(failures-1, 16), daily)
	case NoRecipient:
		return daily
	}
	return d/2 + rand.N(d/2+1)
}

func (n *Notification) open() bool {
	return len(n.Outages) > 0 && n.Outages[len(n.Outages)-1].Incident.Until.IsZero()
}

// changed is when the latest of what is known happened.
func (n *Notification) changed() time.Time {
	var at time.Time
	for _, o := range n.Outages {
		at = incident.Later(at, o.Incident.Changed())
	}
	if n.Cert != nil {
		at = incident.Later(at, n.Cert.Since)
	}
	return at
}

// Pending is how many targets the recipient has yet to be notified of, and outages that are only counted.
func (q *Queue) Pending() int { return q.pending.Len() + q.Overflow }

// Oldest is since when the oldest of it waits; zero: nothing does. The wall clock is asked only for what an earlier
// process left behind.
func (q *Queue) Oldest() time.Time {
	if n := q.oldest(); n != nil {
		return cmp.Or(n.since, n.changed())
	}
	return time.Time{}
}
