// Package mail notifies by mail: it composes a message from what a recipient is owed and hands it to a mail server by
// SMTP, or to the local sendmail. It keeps nothing and repeats nothing; the outbox does.
package mail

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"strings"

	gomail "github.com/wneessen/go-mail"

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

// encode makes the letter a message for the wire. What it quotes is data: incident.Clean has taken the control characters
// out, headers are encoded words and the body is quoted-printable.
func (m *Mailer) encode(l letter) ([]byte, error) {
	msg := gomail.NewMsg(gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingQP), gomail.WithNoDefaultUserAgent())
	from := m.from.header(m.host)
	from.Name = "Rollcall"
	msg.FromMailAddress(from)
	msg.ToMailAddress(l.to.header(m.host))
	// Its own folding, because go-mail's loses one of two spaces where it breaks a line, and asctime has two.
	msg.SetGenHeaderPreformatted(gomail.HeaderSubject, fold(mime.QEncoding.Encode("utf-8", notEncoded(l.subject)), len("Subject: ")))
	msg.SetDateWithValue(l.at)
	msg.SetMessageIDWithValue(l.messageID)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation replies
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")  // the same for Exchange
	if len(l.references) > 0 {
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+l.references[0]+">")
		msg.SetGenHeader(gomail.HeaderReferences, "<"+strings.Join(l.references, "> <")+">")
	}
	msg.SetBodyString(gomail.TypeTextPlain, l.body)
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("composing a mail: %w", err)
	}
	return b.Bytes(), nil
}

// notEncoded keeps a reader from taking a target that looks like an encoded word (RFC 2047) for one. go-mail, like
// mime.WordEncoder, leaves ASCII as it is.
func notEncoded(s string) string {
	if strings.Contains(s, "?=") {
		return strings.ReplaceAll(s, "=?", "= ?")
	}
	return s
}

// fold breaks a header into lines of about 76 bytes (RFC 5322, 2.2.3); used is what stands before s on the first line.
// It breaks at single spaces only, because some readers make one space of all that is around a break.
func fold(s string, used int) string {
	var b strings.Builder
	for len(s) > 0 {
		end := len(s) // of the spaces and the word that come next
		word := len(s) - len(strings.TrimLeft(s, " "))
		if i := strings.IndexByte(s[word:], ' '); i >= 0 {
			end = word + i
		}
		if word == 1 && b.Len() > 0 && used+end > 76 {
			b.WriteString("\r\n")
			used = 0
		}
		b.WriteString(s[:end])
		if used += end; strings.Contains(s[:end], "\r\n") { // encoded words come folded
			used = end - strings.LastIndex(s[:end], "\n")
		}
		s = s[end:]
	}
	return b.String()
}
