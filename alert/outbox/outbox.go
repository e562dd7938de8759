// Package outbox keeps what recipients have yet to be notified of, in memory and in one file on disk. It has a Queue for
// each recipient, which says what is owed, when the next message may leave, and what an attempt to deliver it changed; and
// the Store, which has it all on disk before a message leaves. It composes and delivers nothing: a Notifier does.
package outbox

import (
	"context"
	"io"
	"time"

	"rollcall/alert/incident"
	"rollcall/probe"
)

// Notifier is one way to notify recipients: mail, Alertmanager.
type Notifier interface {
	// Compose makes the one message that says all of the digest. It does no I/O.
	Compose(to string, d *Digest) (*Message, error)
	// Deliver hands the message over. It returns when the outcome is known or ctx ends, and has time limits of its own.
	// It may be called concurrently, for different recipients.
	Deliver(ctx context.Context, to string, m *Message) Outcome
	// Test delivers a message that says that it is a test, and shows each step on w.
	Test(ctx context.Context, w io.Writer, to string) error
}

// Digest is what a message has to say.
type Digest struct {
	Notifications []*Notification
	Overflow      int                  // outages that are over and only counted, because too much waited to name them
	Open          []*incident.Incident // all that are open, for a Notifier that repeats them
	Down          int                  // targets that are down now
	Targets       int                  // targets that are watched
	Reasons       map[probe.Reason]int // of those that are down
	Groups        map[string]int       // of those that are down and have a group
	ExternalURL   string               // of the exporter's pages, without a slash at the end; empty: unknown
	At            time.Time
}

// Message is a message for one recipient. Once it is on disk and until the outcome is known, it may have been delivered;
// should the process die meanwhile, the same bytes leave again under the same ID.
type Message struct {
	ID       string   `json:"id,omitempty"` // the Message-ID; empty: there are no threads to keep, and the message need not be on disk
	Parts    [][]byte `json:"parts"`        // one for a mail
	Says     []Said   `json:"says"`
	Overflow int      `json:"overflow,omitempty"`

	doubt bool // an earlier attempt, or an earlier process, may have delivered it
}

// Said is what a message says of one incident.
type Said struct {
	Key      probe.Key `json:"key"`
	ID       string    `json:"id,omitempty"` // of the incident; empty: of none
	Down     bool      `json:"down,omitempty"`
	Up       bool      `json:"up,omitempty"`
	Reminded time.Time `json:"reminded,omitzero"` // a reminder
	Cert     time.Time `json:"cert,omitzero"`     // when the notice of the certificate was due
}

// Verdict is how the attempt to deliver a message to one recipient ended.
type Verdict uint8

const (
	Postponed   Verdict = iota // certainly not delivered; worth another attempt soon
	Delivered                  // the other side is responsible for it now
	InDoubt                    // it was handed over, and the answer got lost
	Refused                    // certainly not delivered, by a verdict about this message, this set-up or this hour: it stays owed
	TooLarge                   // a smaller message may be accepted
	Rejected                   // certainly not delivered, and this content never will be
	NoRecipient                // there is no such recipient
)

// Outcome is a Verdict with its cause. Err is nil when the message was delivered.
type Outcome struct {
	Verdict Verdict
	Err     error
}

// Name is the verdict's name in metrics.
func (v Verdict) Name() string {
	switch v {
	case Delivered:
		return "sent"
	case InDoubt:
		return "in_doubt"
	case Postponed, TooLarge:
		return "retried"
	default:
		return "refused"
	}
}
