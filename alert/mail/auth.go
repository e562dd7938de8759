package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"github.com/wneessen/go-mail/smtp"

	"rollcall/alert/incident"
	"rollcall/probe"
	"rollcall/redact"
)

// mechanisms are the ways to log in that are known here, the preferred first.
var mechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5"}

// authenticate logs in with the first mechanism that both sides know and that is not unusable, and returns its name. The
// connection is encrypted here: a configuration with a user name and tls: none does not load.
func (s *smtpServer) authenticate(ctx context.Context, session *smtpSession, host string, unusable []string) (mechanism string, err error) {
	if s.options.Username == "" {
		return "", nil
	}
	known, secret := mechanisms, s.options.password
	if s.options.OAuth2 != nil {
		known, secret = []string{"XOAUTH2"}, func() (string, error) { return s.options.token(ctx) }
	}
	password, err := secret()
	if err != nil {
		return "", err
	}
	offered := session.mechanisms()
	if len(offered) == 0 {
		return "", errors.New("the mail server does not offer AUTH, and a username is configured")
	}
	for _, m := range known {
		if slices.Contains(offered, m) && !slices.Contains(unusable, m) {
			mechanism = m
			break
		}
	}
	var auth smtp.Auth
	switch mechanism {
	case "PLAIN":
		auth = smtp.PlainAuth("", s.options.Username, password, host, false)
	case "LOGIN":
		auth = smtp.LoginAuth(s.options.Username, password, host, false)
	case "XOAUTH2":
		auth = smtp.XOAuth2Auth(s.options.Username, password)
	case "CRAM-MD5":
		auth = smtp.CRAMMD5Auth(s.options.Username, password)
	default:
		return "", fmt.Errorf("the mail server offers AUTH %s, and it refused %q of it; known here: %s",
			incident.Clean(strings.Join(offered, " "), 100), unusable, strings.Join(known, ", "))
	}
	session.trace.secrets = append(session.trace.secrets, loginForms(s.options.Username, password)...)
	session.within(s.limits.command)
	if err := session.client.Auth(auth); err != nil {
		return mechanism, fmt.Errorf("logging in to the mail server as %q: %w", s.options.Username, redactReply(err, session.trace.secrets))
	}
	return mechanism, nil
}

// mechanisms are the ways to log in that the server offers, also as servers before RFC 2554 wrote them: AUTH=LOGIN PLAIN.
func (s *smtpSession) mechanisms() []string {
	offered := s.trace.offered["AUTH"]
	for _, m := range mechanisms {
		if rest, ok := s.trace.offered["AUTH="+m]; ok {
			offered += " " + m + " " + rest
		}
	}
	return strings.Fields(strings.ToUpper(offered))
}

// loginForms are the forms in which a password goes to a server, which may repeat them; PLAIN and XOAUTH2 have ones of their own.
func loginForms(username, password string) []string {
	return []string{"\x00" + username + "\x00" + password, "user=" + username + "\x01auth=Bearer " + password + "\x01\x01", password}
}

// withHint adds which option helps when a connection does not become encrypted.
func withHint(err error) error {
	switch {
	case probe.Is[tls.RecordHeaderError](err):
		return fmt.Errorf("%w; a server that begins in clear wants tls: starttls", err)
	case probe.Is[x509.UnknownAuthorityError](err):
		return fmt.Errorf("%w; one of your own is named by tls_config: ca_file", err)
	case probe.Is[x509.HostnameError](err):
		return fmt.Errorf("%w; the name to expect is set by tls_config: server_name", err)
	default:
		return err
	}
}

// redactReply makes the server's words fit for a log, without the secrets that it may repeat.
func redactReply(err error, secrets []string) error {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return &textproto.Error{Code: reply.Code, Msg: cleanText(redact.Text(reply.Msg, secrets...))}
	}
	return redact.Error(err, secrets...)
}

// maxAnswer bounds what an answer of a mail system takes in a log, in bytes.
const maxAnswer = 500

func cleanText(s string) string { return incident.Clean(s, maxAnswer) }
