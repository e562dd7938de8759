package mail

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
)

// Down sends the old script's mail about a target that is down to one address, and returns why that failed. Nothing is
// stored and nothing is tried again.
func (m *Mailer) Down(ctx context.Context, to Address, i *incident.Incident) error {
	down := &outbox.Notification{Key: i.Key(), Outages: []outbox.Outage{{Incident: i, Down: true}}}
	msg, err := m.Compose(string(to), &outbox.Digest{News: []*outbox.Notification{down}, At: time.Now()})
	if err != nil {
		return err
	}
	return m.Deliver(ctx, string(to), msg).Err
}

// Test sends a test mail to one address and shows each step on w; what belongs to a password is not shown.
func (m *Mailer) Test(ctx context.Context, w io.Writer, to Address) error {
	talking := *m
	switch plain := m.transport.(type) {
	case *smtpServer:
		server := *plain
		server.trace = &transcript{w: w}
		talking.transport = &server
		fmt.Fprintf(w, "mail to %s by SMTP at %s (tls: %s)\n", to, plain.options.Address, plain.options.TLS)
	case *sendmail:
		fmt.Fprintf(w, "mail to %s by %s -i -f %s -- %s\n", to, plain.path, plain.from, to)
	}
	now := time.Now()
	data, err := m.encode(letter{
		to: to, at: now, messageID: rand.Text() + "@" + m.from.domain(m.host),
		subject: m.subjectPrefix + asctime(now) + ": rollcall can send mail",
		body:    "Server Monitor: This is a test. Mail about servers that are down will come like this.\n\n-- \nrollcall on " + m.host + "\n",
	})
	if err == nil {
		err = talking.transport.deliver(ctx, to, data).Err
	}
	if err != nil {
		fmt.Fprintf(w, "   failed: %v\n", err)
		return fmt.Errorf("mail to %s: %w", to, err)
	}
	fmt.Fprintf(w, "   sent\n")
	return nil
}
