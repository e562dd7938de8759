// Package mail notifies by mail: it composes a message from what a recipient is owed and hands it to a mail server by
// SMTP, or to the local sendmail. It keeps nothing and repeats nothing; the outbox does.
package mail

import (
	"context"

	"rollcall/alert/outbox"
)

// Mailer composes and delivers. It is an outbox.Notifier whose recipients are addresses.
type Mailer struct {
	host          string // this machine
	from          Address
	subjectPrefix string
	transport     transport
}

// transport hands a message over to a mail system.
type transport interface {
	// deliver returns once the outcome is known, or ctx or a time limit of its own ends it. data has CRLF line ends.
	deliver(ctx context.Context, to Address, data []byte) outbox.Outcome
}

// New makes a mailer of options that Validate has nothing against.
func New(o *Options) *Mailer {
	host := hostname()
	m := &Mailer{host: host, from: o.From, subjectPrefix: o.SubjectPrefix}
	if m.from == "" {
		m.from = Address("rollcall@" + qualified(host))
	}
	if o.SMTP == nil {
		m.transport = &sendmail{path: o.Sendmail, from: m.from, timeout: sendmailTimeout}
	} else {
		m.transport = &smtpServer{options: *o.SMTP, from: m.from, host: host, limits: rfcLimits}
	}
	return m
}

// Local is a mailer without options: the local sendmail delivers.
func Local() *Mailer {
	o := new(Options)
	o.SetDefaults()
	return New(o)
}

// Compose implements outbox.Notifier.
func (m *Mailer) Compose(to string, d *outbox.Digest) (*outbox.Message, error) {
	l := m.write(Address(to), d)
	data, err := m.encode(l)
	if err != nil {
		return nil, err
	}
	return &outbox.Message{ID: l.messageID, Parts: [][]byte{data}, Says: l.says, Overflow: d.Overflow}, nil
}

// Deliver implements outbox.Notifier.
func (m *Mailer) Deliver(ctx context.Context, to string, msg *outbox.Message) outbox.Outcome {
	return m.transport.deliver(ctx, Address(to), msg.Parts[0])
}
