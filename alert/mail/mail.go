// Package mail notifies by mail: it composes a message from what a recipient is owed and hands it to a mail server by
// SMTP, or to the local sendmail. It keeps nothing and repeats nothing; the outbox does.
package mail

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"rollcall/alert/outbox"
)

// Mailer composes and delivers. It is an outbox.Notifier whose recipients are addresses.
type Mailer struct {
	host          string // this machine
	from          Address
	subjectPrefix string
	short         bool // SubjectShort
	transport     transport
}

// transport hands a message over to a mail system.
type transport interface {
	// deliver returns once the outcome is known, or ctx or a time limit of its own ends it. data has CRLF line ends.
	// What there is of a dialogue goes to shown.
	deliver(ctx context.Context, to Address, data []byte, shown io.Writer) outbox.Outcome
	// describe says for a person how a message gets to the recipient.
	describe(to Address) string
}

// New makes a mailer of options that Check has nothing against.
func New(o *Options) *Mailer {
	host := hostname()
	m := &Mailer{host: host, from: o.From, subjectPrefix: o.SubjectPrefix, short: o.Subject == SubjectShort}
	switch {
	case m.from != "":
	case o.SMTP == nil: // the local mail system completes a name that is not full
		m.from = Address("rollcall@" + qualified(host))
	default:
		m.from = Address("rollcall@" + senderDomain(host))
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
	return m.transport.deliver(ctx, Address(to), msg.Parts[0], io.Discard)
}

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

// encode makes the letter a message for the wire. What it quotes is data: incident.Clean has taken the control characters
// out and headers are encoded words. A body of plain ASCII goes as it is, which every reader shows; else it is
// quoted-printable.
func (m *Mailer) encode(l letter) ([]byte, error) {
	encoding, body := gomail.EncodingQP, l.body
	if is7bit(body) {
		encoding, body = gomail.NoEncoding, strings.ReplaceAll(body, "\n", "\r\n")
	}
	msg := gomail.NewMsg(gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(encoding), gomail.WithNoDefaultUserAgent())
	from := m.from.header(m.host)
	from.Name = "Rollcall"
	msg.FromMailAddress(from)
	msg.ToMailAddress(l.to.header(m.host))
	// Its own folding, because go-mail's loses one of two spaces where it breaks a line, and asctime has two.
	msg.SetGenHeaderPreformatted(gomail.HeaderSubject, fold(encodeSubject(l.subject), len("Subject: ")))
	msg.SetDateWithValue(l.at)
	msg.SetMessageIDWithValue(l.messageID)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation replies
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")  // the same for Exchange
	if len(l.references) > 0 {
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+l.references[0]+">")
		msg.SetGenHeader(gomail.HeaderReferences, "<"+strings.Join(l.references, "> <")+">")
	}
	msg.SetBodyString(gomail.TypeTextPlain, body)
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("composing a mail: %w", err)
	}
	if encoding == gomail.NoEncoding { // go-mail knows only "8bit" for what it leaves as it is
		return bytes.Replace(b.Bytes(), []byte("Content-Transfer-Encoding: 8bit\r\n"), []byte("Content-Transfer-Encoding: 7bit\r\n"), 1), nil
	}
	return b.Bytes(), nil
}

// maxLine is how long a line of a mail may be, in bytes (RFC 5322, 2.1.1).
const maxLine = 998

// is7bit reports whether the text may be sent without an encoding.
func is7bit(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > maxLine || strings.ContainsFunc(line, func(r rune) bool { return r >= 0x80 || r < ' ' }) {
			return false
		}
	}
	return true
}

// encodeSubject makes a subject ASCII. The first word stays as it is where it can: the encoded words after it then fit
// into the 76 columns that RFC 2047 gives a line, which "Subject: " before them would exceed. A first word that looks like
// the start of an encoded word is encoded too: some readers would take all that follows for its content.
func encodeSubject(s string) string {
	s = notEncoded(s)
	encoded := mime.QEncoding.Encode("utf-8", s)
	first, rest, _ := strings.Cut(s, " ")
	if encoded == s || first == "" || rest == "" || strings.Contains(first, "=?") ||
		mime.QEncoding.Encode("utf-8", first) != first || mime.QEncoding.Encode("utf-8", rest) == rest {
		return encoded
	}
	return first + " " + mime.QEncoding.Encode("utf-8", rest)
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
		used += end
		s = s[end:]
	}
	return b.String()
}
