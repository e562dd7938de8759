package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/wneessen/go-mail/smtp"

	"rollcall/alert/outbox"
	"rollcall/probe"
	"rollcall/redact"
)

// smtpServer delivers by SMTP, one session for each message. It leads the dialogue itself, command by command, with
// go-mail's smtp.Client, because go-mail's own Client takes a failing RSET after an accepted DATA for a failure, does not
// let its context reach the socket after the dial, and has one time limit for all commands.
type smtpServer struct {
	options SMTPOptions
	from    Address
	host    string // this machine, for EHLO unless the options name another
	limits  limits
}

// limits is how long each step may take.
type limits struct {
	connect, greeting, command, data, block, dot time.Duration
}

// rfcLimits are those of RFC 5321, 4.5.3.2; block is for each three minutes' worth of the message. A server that checks
// the message before it answers the final dot takes its time, and sending the message again meanwhile would double it.
var rfcLimits = limits{
	connect: 30 * time.Second, greeting: 5 * time.Minute, command: 5 * time.Minute,
	data: 2 * time.Minute, block: 3 * time.Minute, dot: 10 * time.Minute,
}

// maxDialogue bounds what a mail server may say in one session.
const maxDialogue = 1 << 20

func (s *smtpServer) describe(Address) string {
	return fmt.Sprintf("SMTP at %s (tls: %s)", s.options.Address, s.options.TLS)
}

// deliver leads one session.
func (s *smtpServer) deliver(ctx context.Context, to Address, data []byte, shown io.Writer) outbox.Outcome {
	session, err := s.open(ctx, shown)
	if err != nil {
		// Also a 5xx is only postponed here: it judges this machine, its password or the server's state, not the
		// message, and the operator who mends it should find the mail still waiting.
		return outbox.Outcome{Err: err}
	}
	defer session.close()
	return session.send(s.from, to, data)
}

// secrets are what the server knows from this session, or an earlier one, and may repeat.
func (s *smtpServer) secrets() []string {
	password, err := s.options.password()
	if err != nil || password == "" {
		return nil
	}
	return loginForms(s.options.Username, password)
}

// open returns a session that is ready for MAIL. A server that answers 504 to a way to log in is tried with the next.
func (s *smtpServer) open(ctx context.Context, shown io.Writer) (*smtpSession, error) {
	var unusable []string
	for {
		session, mechanism, err := s.connect(ctx, shown, unusable)
		if reply, ok := errors.AsType[*textproto.Error](err); ok && mechanism != "" && reply.Code == 504 {
			unusable = append(unusable, mechanism)
			continue
		}
		return session, err
	}
}

// connect dials, encrypts and logs in. It also returns the mechanism that it logged in with, or tried to.
func (s *smtpServer) connect(ctx context.Context, shown io.Writer, unusable []string) (_ *smtpSession, mechanism string, err error) {
	host, _, err := net.SplitHostPort(s.options.Address)
	if err != nil {
		return nil, "", fmt.Errorf("the mail server's address: %w", err)
	}
	tlsConfig, err := config.NewTLSConfig(&s.options.TLSConfig)
	if err != nil {
		return nil, "", fmt.Errorf("the mail server's tls_config: %w", err)
	}
	tlsConfig.ServerName = cmp.Or(tlsConfig.ServerName, host)

	dialer := net.Dialer{Timeout: s.limits.connect}
	conn, err := dialer.DialContext(ctx, "tcp", s.options.Address)
	if err != nil {
		return nil, "", fmt.Errorf("connecting to the mail server: %w", err)
	}
	trace := &transcript{w: shown, secrets: s.secrets()}
	session := &smtpSession{conn: conn, limits: s.limits, trace: trace, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	if err = s.greet(ctx, session, host, tlsConfig); err == nil {
		mechanism, err = s.authenticate(ctx, session, host, unusable)
	}
	if err != nil {
		trace.refusal(err)
		session.stop()
		conn.Close()
		return nil, mechanism, redact.Error(err, trace.secrets...)
	}
	return session, mechanism, nil
}

// greet takes the session from the connection to an answered EHLO, encrypted as the options want it.
func (s *smtpServer) greet(ctx context.Context, session *smtpSession, host string, tlsConfig *tls.Config) error {
	var conn net.Conn = &boundedConn{Conn: session.conn, left: maxDialogue}
	session.within(s.limits.greeting)
	if s.options.TLS == TLSImplicit {
		secure := tls.Client(conn, tlsConfig)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("encrypting the connection to the mail server: %w", withHint(err))
		}
		session.trace.note("encrypted from the first byte, %s", tls.VersionName(secure.ConnectionState().Version))
		conn = secure
	}
	client, err := smtp.NewClient(conn, host)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && s.options.TLS != TLSImplicit {
		return fmt.Errorf("waiting for the mail server's greeting: %w; one that is encrypted from the first byte, e.g. on port 465, waits for us: tls: implicit", err)
	}
	if err != nil {
		return fmt.Errorf("waiting for the mail server's greeting: %w", err)
	}
	session.client = client
	session.trace.note("the server greets")
	client.SkipSMTPUTF8(true) // addresses are ASCII here
	client.SetLogger(session.trace)
	client.SetDebugLog(true)
	session.within(s.limits.command)
	if err := client.Hello(cmp.Or(s.options.Hello, hello(s.host, session.conn))); err != nil {
		return fmt.Errorf("introducing ourselves to the mail server: %w", err)
	}
	if s.options.TLS != TLSStart {
		return nil
	}
	if _, ok := session.trace.offered["STARTTLS"]; !ok {
		return errors.New("the mail server does not offer STARTTLS, which tls: starttls requires (a device in between may have removed it); one that is encrypted from the first byte wants tls: implicit, one on this machine may do with none")
	}
	session.within(s.limits.command)
	if err := client.StartTLS(tlsConfig); err != nil {
		return fmt.Errorf("encrypting the connection to the mail server: %w", withHint(err))
	}
	if state, ok := client.TLSConnectionState(); ok {
		session.trace.note("encrypted, %s", tls.VersionName(state.Version))
	}
	return nil
}

// smtpSession is one conversation with a server.
type smtpSession struct {
	client *smtp.Client
	conn   net.Conn
	limits limits
	trace  *transcript
	stop   func() bool // releases the watch on the context
	broken bool        // nothing more can be sent
}

// within gives the next step its time.
func (s *smtpSession) within(d time.Duration) {
	_ = s.conn.SetDeadline(time.Now().Add(d)) // fails only on a closed connection, which the next read reports
}

// send is one transaction.
func (s *smtpSession) send(from, to Address, data []byte) outbox.Outcome {
	if size, err := strconv.Atoi(strings.TrimSpace(s.trace.offered["SIZE"])); err == nil && size > 0 && len(data) > size {
		return outbox.Outcome{Verdict: outbox.TooLarge, Err: fmt.Errorf("the mail server takes messages of at most %d bytes, and this one has %d", size, len(data))}
	}
	s.within(s.limits.command)
	if err := s.client.Mail("<" + string(from) + ">"); err != nil {
		return s.failed("MAIL FROM", to, err)
	}
	s.within(s.limits.command)
	if err := s.client.Rcpt("<" + string(to) + ">"); err != nil {
		outcome := s.failed("RCPT TO", to, err)
		if reply, ok := errors.AsType[*textproto.Error](err); ok && outcome.Verdict == outbox.Refused && strings.HasPrefix(reply.Msg, "5.1.") {
			outcome.Verdict = outbox.NoRecipient
		}
		return outcome
	}
	s.within(s.limits.data)
	w, err := s.client.Data()
	if err != nil {
		return s.failed("DATA", to, err)
	}
	s.trace.note("%d bytes of message and a final dot", len(data))
	for len(data) > 0 {
		part := data[:min(len(data), 16<<10)]
		s.within(s.limits.block)
		if _, err := w.Write(part); err != nil {
			s.broken = true // without the final dot nothing was handed over
			return outbox.Outcome{Err: fmt.Errorf("sending the message for %s: %w", to, err)}
		}
		data = data[len(part):]
	}
	s.within(s.limits.dot)
	if err := w.Close(); err != nil {
		if probe.Is[*textproto.Error](err) {
			return s.failed("the message", to, err)
		}
		s.broken = true
		return outbox.Outcome{Verdict: outbox.InDoubt, Err: fmt.Errorf("waiting for the mail server to accept the message for %s: %w", to, err)}
	}
	if answered, ok := w.(*smtp.DataCloser); ok {
		s.trace.note("accepted: %s", cleanText(redact.Text(answered.ServerResponse(), s.trace.secrets...)))
	}
	return outbox.Outcome{Verdict: outbox.Delivered}
}

// failed judges the error of a command.
func (s *smtpSession) failed(command string, to Address, err error) outbox.Outcome {
	s.trace.refusal(err)
	outcome := outbox.Outcome{Err: fmt.Errorf("%s for %s: %w", command, to, redactReply(err, s.trace.secrets))}
	reply, ok := errors.AsType[*textproto.Error](err)
	switch {
	case !ok, reply.Code == 421: // 421: the server closes the connection
		s.broken = true
	case reply.Code < 500:
	// 552 is also what a mailbox without room answers, with 5.2.2 (RFC 3463).
	case reply.Code == 552 && !strings.HasPrefix(reply.Msg, "5.2.2"), strings.HasPrefix(reply.Msg, "5.3.4"), strings.HasPrefix(reply.Msg, "5.2.3"):
		outcome.Verdict = outbox.TooLarge
	default:
		outcome.Verdict = outbox.Refused
	}
	return outcome
}

// close ends the session; whatever the answer is, it changes nothing.
func (s *smtpSession) close() {
	if !s.broken {
		s.within(time.Second)
		_ = s.client.Quit()
	}
	s.stop()
	s.conn.Close()
}

// boundedConn ends a dialogue in which the other side never stops talking.
type boundedConn struct {
	net.Conn
	left int
}

var errTooMuch = fmt.Errorf("the mail server said more than %d bytes", maxDialogue)

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
