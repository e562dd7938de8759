package alert

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/wneessen/go-mail/smtp"

	"rollcall/redact"
)

// smtpServer delivers by SMTP. It leads the dialogue itself, command by command, with go-mail's smtp.Client, because
// go-mail's own Client does not do three things that are needed here: one refused recipient makes it reset the
// transaction for all of them, a failing RSET after an accepted DATA counts as a failure to it, and after the dial
// its context no longer reaches the socket.
type smtpServer struct {
	options SMTPOptions
	from    Address
	hello   string
	timeout time.Duration
	trace   *transcript // nil: the dialogue is not shown
}

// maxDialogue bounds what a mail server may say in one session.
const maxDialogue = 1 << 20

// deliver leads one session in which every recipient has a transaction of his own.
func (s *smtpServer) deliver(ctx context.Context, envelopes []envelope) []result {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	session, err := s.open(ctx)
	if err != nil {
		// Also a 5xx is only postponed here: it judges this machine, its password or the server's state, not the
		// message, and the operator who mends it should find the news still waiting.
		return all(envelopes, result{postponed, err})
	}
	defer session.close()
	results := make([]result, len(envelopes))
	for i, e := range envelopes {
		if results[i] = session.send(s.from, e); session.broken {
			for j := i + 1; j < len(envelopes); j++ {
				results[j] = result{postponed, fmt.Errorf("the session ended early: %w", results[i].err)}
			}
			break
		}
	}
	return results
}

// smtpSession is a connection that is ready for MAIL.
type smtpSession struct {
	client *smtp.Client
	trace  *transcript
	conn   net.Conn
	stop   func() bool // releases the watch on the context
	broken bool        // nothing more can be sent
}

// open dials, encrypts and authenticates. The session's deadline and end are those of ctx.
func (s *smtpServer) open(ctx context.Context) (*smtpSession, error) {
	host, _, err := net.SplitHostPort(s.options.Address)
	if err != nil {
		return nil, fmt.Errorf("the mail server's address: %w", err)
	}
	tlsConfig, err := config.NewTLSConfig(&s.options.TLSConfig)
	if err != nil {
		return nil, fmt.Errorf("the mail server's tls_config: %w", err)
	}
	tlsConfig.ServerName = cmp.Or(tlsConfig.ServerName, host)

	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.options.Address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the mail server: %w", err)
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // fails only on a closed connection, which the next read reports
	session := &smtpSession{conn: conn, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	if err := s.prepare(ctx, session, host, tlsConfig); err != nil {
		s.trace.refusal(err)
		session.stop()
		conn.Close()
		return nil, err
	}
	return session, nil
}

func (s *smtpServer) prepare(ctx context.Context, session *smtpSession, host string, tlsConfig *tls.Config) error {
	bounded := &boundedConn{Conn: session.conn, left: maxDialogue}
	var conn net.Conn = bounded
	if s.options.TLS == TLSImplicit {
		secure := tls.Client(bounded, tlsConfig)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("encrypting the connection to the mail server: %w", withHint(err))
		}
		s.trace.note("encrypted from the first byte, %s", tls.VersionName(secure.ConnectionState().Version))
		conn = secure
	}
	client, err := smtp.NewClient(conn, host)
	// The socket's deadline and the context's end are the same instant, and either may come first.
	late := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded)
	if err != nil && late && s.options.TLS != TLSImplicit {
		return fmt.Errorf("waiting for the mail server's greeting: %w; one that is encrypted from the first byte, as on port 465, waits for us: tls: implicit", err)
	}
	if err != nil {
		return fmt.Errorf("waiting for the mail server's greeting: %w", err)
	}
	session.client, session.trace = client, s.trace
	s.trace.note("the server greets")
	client.SkipSMTPUTF8(true) // addresses are ASCII here
	if s.trace != nil {
		client.SetLogger(s.trace) // it hides what belongs to AUTH
		client.SetDebugLog(true)
	}
	if err := client.Hello(s.hello); err != nil {
		return fmt.Errorf("introducing ourselves to the mail server: %w", err)
	}
	if s.options.TLS == TLSStart {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return errors.New("the mail server does not offer STARTTLS, which tls: starttls requires (somebody in between may have removed it)")
		}
		if err := client.StartTLS(tlsConfig); err != nil {
			return fmt.Errorf("encrypting the connection to the mail server: %w", withHint(err))
		}
	}
	if state, ok := client.TLSConnectionState(); ok && s.options.TLS == TLSStart {
		s.trace.note("encrypted, %s", tls.VersionName(state.Version))
	}
	return s.authenticate(client, host)
}

// withHint adds which option helps when a connection does not become encrypted.
func withHint(err error) error {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w; a server that begins in clear wants tls: starttls", err)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%w; one of your own is named by tls_config: ca_file", err)
	}
	return err
}

// authenticate logs in with the first mechanism that both sides know. The connection is encrypted here: a
// configuration with a user name and tls: none does not load.
func (s *smtpServer) authenticate(client *smtp.Client, host string) error {
	if s.options.Username == "" {
		return nil
	}
	password, err := s.options.password()
	if err != nil {
		return err
	}
	ok, offered := client.Extension("AUTH")
	if !ok {
		return errors.New("the mail server does not offer AUTH, and a username is configured")
	}
	var auth smtp.Auth
	for _, mechanism := range strings.Fields(strings.ToUpper(offered)) {
		switch {
		case mechanism == "PLAIN":
			auth = smtp.PlainAuth("", s.options.Username, password, host, false)
		case mechanism == "LOGIN" && auth == nil:
			auth = smtp.LoginAuth(s.options.Username, password, host, false)
		}
	}
	if auth == nil && strings.Contains(strings.ToUpper(offered), "CRAM-MD5") {
		auth = smtp.CRAMMD5Auth(s.options.Username, password)
	}
	if auth == nil {
		return fmt.Errorf("the mail server offers AUTH %s; known here: PLAIN, LOGIN, CRAM-MD5", clean(offered, 100))
	}
	if s.trace != nil { // refusal has no other place to learn it
		s.trace.secrets = loginForms(s.options.Username, password)
	}
	if err := client.Auth(auth); err != nil {
		return fmt.Errorf("logging in to the mail server as %q: %w", s.options.Username, hushReply(err, loginForms(s.options.Username, password)))
	}
	return nil
}

// loginForms are the forms in which a password goes to a server, which may repeat them; PLAIN has one of its own.
func loginForms(username, password string) []string {
	return []string{"\x00" + username + "\x00" + password, password}
}

// send is one transaction.
func (s *smtpSession) send(from Address, e envelope) result {
	if err := s.client.Mail("<" + string(from) + ">"); err != nil {
		return s.failed("MAIL FROM", e.to, err)
	}
	if err := s.client.Rcpt("<" + string(e.to) + ">"); err != nil {
		return s.failed("RCPT TO", e.to, err)
	}
	w, err := s.client.Data()
	if err != nil {
		return s.failed("DATA", e.to, err)
	}
	s.trace.note("%d bytes of message and a final dot", len(e.data))
	if _, err := w.Write(e.data); err != nil {
		s.broken = true // without the final dot nothing was handed over
		return result{postponed, fmt.Errorf("sending the message for %s: %w", e.to, err)}
	}
	if err := w.Close(); err != nil {
		if reply := (*textproto.Error)(nil); errors.As(err, &reply) {
			return s.failed("the message", e.to, err)
		}
		s.broken = true
		return result{inDoubt, fmt.Errorf("waiting for the mail server to accept the message for %s: %w", e.to, err)}
	}
	if answered, ok := w.(*smtp.DataCloser); ok {
		s.trace.note("accepted: %s", clean(answered.ServerResponse(), maxDetail))
	}
	return result{verdict: delivered}
}

// failed judges a command's error and makes the session ready for the next recipient.
func (s *smtpSession) failed(command string, to Address, err error) result {
	s.trace.refusal(err)
	r := result{postponed, fmt.Errorf("%s for %s: %w", command, to, cleanReply(err))}
	reply := (*textproto.Error)(nil)
	if !errors.As(err, &reply) || reply.Code == 421 { // 421: the server closes the connection
		s.broken = true
		return r
	}
	if reply.Code >= 500 {
		r.verdict = refused
	}
	if err := s.client.Reset(); err != nil {
		s.broken = true
	}
	return r
}

// close says goodbye; whatever the answer is, it changes nothing.
func (s *smtpSession) close() {
	if !s.broken {
		_ = s.conn.SetDeadline(time.Now().Add(time.Second))
		_ = s.client.Quit()
	}
	s.stop()
	s.conn.Close()
}

// hushReply is cleanReply for a server that knows a secret.
func hushReply(err error, secrets []string) error {
	if reply := (*textproto.Error)(nil); errors.As(err, &reply) {
		return &textproto.Error{Code: reply.Code, Msg: clean(redact.Text(reply.Msg, secrets...), maxDetail)}
	}
	return errors.New(redact.Text(err.Error(), secrets...))
}

// cleanReply makes the server's words fit for a log.
func cleanReply(err error) error {
	if reply := (*textproto.Error)(nil); errors.As(err, &reply) {
		return &textproto.Error{Code: reply.Code, Msg: clean(reply.Msg, maxDetail)}
	}
	return err
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
