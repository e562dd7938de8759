package mail

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/prometheus/common/config"

	"rollcall/alert/incident"
	"rollcall/probe/option"
)

// defaultSendmail is where Unix systems have the program that takes mail for the local mail system.
const defaultSendmail = "/usr/sbin/sendmail"

// Options is the `email:` section: who gets mail and how it leaves, by SMTP when that section is there, else by the
// local sendmail.
type Options struct {
	To            []Address    `yaml:"to"`
	From          Address      `yaml:"from,omitempty"` // empty: rollcall@<host name>
	SMTP          *SMTPOptions `yaml:"smtp,omitempty"`
	Sendmail      string       `yaml:"sendmail,omitempty"`
	SubjectPrefix string       `yaml:"subject_prefix,omitempty"`
}

// SetDefaults puts in what the section says when it does not mention an option.
func (o *Options) SetDefaults() { o.Sendmail = defaultSendmail }

// SMTPOptions says how to reach the mail server.
type SMTPOptions struct {
	Address      string           `yaml:"address"`
	TLS          TLSMode          `yaml:"tls,omitempty"`
	TLSConfig    config.TLSConfig `yaml:"tls_config,omitempty"`
	Username     string           `yaml:"username,omitempty"`
	Password     config.Secret    `yaml:"password,omitempty"`
	PasswordFile string           `yaml:"password_file,omitempty"`
	Hello        string           `yaml:"hello,omitempty"` // empty: the host name
}

// SetDefaults puts in what the section says when it does not mention an option.
func (o *SMTPOptions) SetDefaults() { o.TLS = TLSStart }

// TLSMode is how the connection to the mail server is encrypted.
type TLSMode string

// The modes.
const (
	TLSStart    TLSMode = "starttls" // upgraded, and refused when the server does not offer it
	TLSImplicit TLSMode = "implicit" // from the first byte
	TLSNone     TLSMode = "none"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *TLSMode) UnmarshalText(text []byte) error {
	switch v := TLSMode(text); v {
	case TLSStart, TLSImplicit, TLSNone:
		*m = v
		return nil
	default:
		return fmt.Errorf("%q is unknown; accepted: starttls, implicit, none", text)
	}
}

// maxRecipients bounds what a configuration may ask for: each recipient costs a transaction per mail.
const maxRecipients = 100

// Report takes one error in the options: where, as a path from the section downwards, and what is accepted there.
type Report func(path, format string, args ...any)

// Validate reports every error in the options.
func (o *Options) Validate(report Report) {
	if len(o.To) == 0 {
		report("to", "is empty; accepted: a list of user@domain, or local user names when sendmail delivers")
	}
	if len(o.To) > maxRecipients {
		report("to", "has %d addresses; accepted: at most %d, use a mailing list beyond that", len(o.To), maxRecipients)
	}
	seen := make(map[Address]bool)
	for i, to := range o.To {
		path := fmt.Sprintf("to[%d]", i)
		switch {
		case to == "":
			report(path, "is empty; accepted: user@domain, or a local user name when sendmail delivers")
		case seen[to]:
			report(path, "%q is there twice", to)
		case o.SMTP != nil && to.Local():
			report(path, "%q is a local user name, which a mail server reached by smtp does not know; accepted: user@domain", to)
		}
		seen[to] = true
	}
	if err := OneLine(o.SubjectPrefix, 100); err != nil {
		report("subject_prefix", "%w", err)
	}
	if o.SMTP == nil {
		if !strings.HasPrefix(o.Sendmail, "/") {
			report("sendmail", "%q is not an absolute path; accepted: e.g. %s", o.Sendmail, defaultSendmail)
		}
		return
	}
	o.SMTP.validate(func(path, format string, args ...any) { report("smtp."+path, format, args...) })
	if o.From != "" && o.From.Local() {
		report("from", "%q has no domain; accepted: user@domain", o.From)
	}
}

func (o *SMTPOptions) validate(report Report) {
	host, port, err := net.SplitHostPort(o.Address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || n == 0 || OneLine(o.Address, 300) != nil {
		report("address", "%q is not host:port; accepted: e.g. mail.example.com:587", o.Address)
	}
	if o.TLS == TLSNone && (o.Username != "" || o.Password != "" || o.PasswordFile != "") {
		report("tls", "none would send the password in clear; accepted with a username: starttls, implicit")
	}
	if port == "465" && o.TLS == TLSStart {
		report("tls", "starttls does not work on port 465, where the connection is encrypted from the first byte; accepted: implicit, or another port, e.g. 587")
	}
	if o.Password != "" && o.PasswordFile != "" {
		report("password_file", "cannot stand beside password")
	} else if _, err := o.password(); err != nil {
		report("password_file", "%w", err)
	}
	if hasPassword := o.Password != "" || o.PasswordFile != ""; hasPassword != (o.Username != "") {
		report("username", "goes together with password or password_file: both or neither")
	}
	if err := OneLine(o.Username, 300); err != nil {
		report("username", "%w", err)
	}
	if err := OneLine(o.Hello, 255); err != nil || strings.ContainsAny(o.Hello, " \t") {
		report("hello", "%q is not a host name", o.Hello)
	}
	ValidateTLS(&o.TLSConfig, report)
}

// password is read anew for every session, so that a changed file needs no reload.
func (o *SMTPOptions) password() (string, error) {
	if o.PasswordFile == "" {
		return string(o.Password), nil
	}
	b, err := option.ReadFile(o.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("reading the mail server's password: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// ValidateTLS reads the files that the options name. Options that contradict each other judge themselves when they are
// decoded, and are not reported twice.
func ValidateTLS(c *config.TLSConfig, report Report) {
	if c.Validate() != nil {
		return
	}
	if _, err := config.NewTLSConfig(c); err != nil {
		report("tls_config", "%w", err)
	}
}

// OneLine refuses what could break out of a header or a command: control characters, and more than limit bytes.
func OneLine(s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("is %d bytes long; accepted: at most %d", len(s), limit)
	}
	if i := strings.IndexFunc(s, incident.IsControl); i >= 0 {
		return fmt.Errorf("%q holds a control character; accepted: one line of text", s)
	}
	return nil
}
