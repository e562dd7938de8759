package mail

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"
)

// Test implements outbox.Notifier. What belongs to a password is not shown.
func (m *Mailer) Test(ctx context.Context, w io.Writer, to string) error {
	fmt.Fprintf(w, "mail to %s by %s\n", to, m.transport.describe(Address(to)))
	now := time.Now()
	data, err := m.encode(letter{
		to: Address(to), at: now, messageID: rand.Text() + "@" + m.from.domain(m.host),
		subject: m.subjectPrefix + asctime(now) + ": rollcall can send mail",
		body:    "Server Monitor: This is a test. Mail about servers that are down will come like this.\n\n-- \nrollcall on " + m.host + "\n",
	})
	if err == nil {
		err = m.transport.deliver(ctx, Address(to), data, w).Err
	}
	if err != nil {
		fmt.Fprintf(w, "   failed: %v\n", err)
		return fmt.Errorf("mail to %s: %w", to, err)
	}
	fmt.Fprintf(w, "   sent\n")
	return nil
}
