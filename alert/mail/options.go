package mail

import (
	"fmt"
	"maps"
	"net"
	"slices"
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
	To            []Address            `yaml:"to"` // addresses, or names of Groups
	Groups        map[string][]Address `yaml:"groups,omitempty"`
	From          Address              `yaml:"from,omitempty"` // empty: rollcall@<host name>
	SMTP          *SMTPOptions         `yaml:"smtp,omitempty"`
	Sendmail      string               `yaml:"sendmail,omitempty"`
	Subject       SubjectStyle         `yaml:"subject,omitempty"`
	SubjectPrefix string               `yaml:"subject_prefix,omitempty"`
}

// SetDefaults puts in what the section says when it does not mention an option.
func (o *Options) SetDefaults() { o.Sendmail, o.Subject = defaultSendmail, SubjectScript }

// SubjectStyle is how subjects are written.
type SubjectStyle string

// The styles.
const (
	SubjectScript SubjectStyle = "script" // as the old script: the time, the test, the server, "is down"
	SubjectShort  SubjectStyle = "short"  // the state and the name first, which is what fits on a phone
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *SubjectStyle) UnmarshalText(text []byte) error {
	switch v := SubjectStyle(text); v {
	case SubjectScript, SubjectShort:
		*s = v
		return nil
	default:
		return fmt.Errorf("%q is unknown; accepted: script, short", text)
	}
}

// Expand returns the addresses that names stand for, each once: a group's members, or the address itself.
func (o *Options) Expand(names []Address) []Address {
	var all []Address
	for _, name := range names {
		members, isGroup := o.Groups[string(name)]
		if !isGroup {
			members = []Address{name}
		}
		for _, to := range members {
			if !slices.Contains(all, to) {
				all = append(all, to)
			}
		}
	}
	return all
}

// CheckRecipient reports what is wrong with a recipient beside its form, which ParseAddress judges.
func (o *Options) CheckRecipient(to Address) error {
	if _, isGroup := o.Groups[string(to)]; o.SMTP == nil || !to.Local() || isGroup {
		return nil
	}
	accepted := "user@domain"
	if len(o.Groups) > 0 {
		accepted += ", or one of groups: " + strings.Join(slices.Sorted(maps.Keys(o.Groups)), ", ")
	}
	return fmt.Errorf("%q is a local user name, which a mail server reached by smtp does not know; accepted: %s", to, accepted)
}

// SMTPOptions says how to reach the mail server.
type SMTPOptions struct {
	Address      string           `yaml:"address"`
	TLS          TLSMode          `yaml:"tls,omitempty"`
	TLSConfig    config.TLSConfig `yaml:"tls_config,omitempty"`
	Username     string           `yaml:"username,omitempty"`
	Password     config.Secret    `yaml:"password,omitempty"`
	PasswordFile string           `yaml:"password_file,omitempty"`
	OAuth2       *config.OAuth2   `yaml:"oauth2,omitempty"` // in place of a password, by XOAUTH2
	Hello        string           `yaml:"hello,omitempty"`  // empty: the host name
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

// Check returns every error in the options, joined *option.Errors.
func (o *Options) Check() error {
	var errs option.Collector
	if len(o.To) == 0 {
		errs.Addf("to", "is empty; accepted: a list of user@domain, or local user names when sendmail delivers")
	}
	if n := max(len(o.To), len(o.Expand(o.To))); n > maxRecipients {
		errs.Addf("to", "has %d addresses; accepted: at most %d, use a mailing list beyond that", n, maxRecipients)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Groups)) {
		path := "groups." + name
		if a, err := ParseAddress(name); err != nil || !a.Local() {
			errs.Addf(path, "%q is not a group's name; accepted: letters, digits, - and _", name)
		}
		if len(o.Groups[name]) == 0 {
			errs.Addf(path, "is empty; accepted: a list of addresses")
		}
		for n, to := range o.Groups[name] {
			if _, isGroup := o.Groups[string(to)]; isGroup {
				errs.Addf(option.Index(path, n), "%q is a group; accepted: addresses", to)
			} else {
				errs.Add(option.Index(path, n), o.CheckRecipient(to))
			}
		}
	}
	seen := make(map[Address]bool)
	for i, to := range o.To {
		path := option.Index("to", i)
		switch {
		case to == "":
			errs.Addf(path, "is empty; accepted: user@domain, or a local user name when sendmail delivers")
		case seen[to]:
			errs.Addf(path, "%q is there twice", to)
		default:
			errs.Add(path, o.CheckRecipient(to))
		}
		seen[to] = true
	}
	errs.Add("subject_prefix", OneLine(o.SubjectPrefix, 100))
	if o.SMTP == nil {
		if !strings.HasPrefix(o.Sendmail, "/") {
			errs.Addf("sendmail", "%q is not an absolute path; accepted: e.g. %s", o.Sendmail, defaultSendmail)
		}
		return errs.Err()
	}
	errs.Join(option.Under("smtp", o.SMTP.validate()))
	if o.From != "" && o.From.Local() {
		errs.Addf("from", "%q has no domain; accepted: user@domain", o.From)
	}
	return errs.Err()
}

func (o *SMTPOptions) validate() error {
	var errs option.Collector
	host, port, err := net.SplitHostPort(o.Address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || n == 0 || OneLine(o.Address, 300) != nil {
		errs.Addf("address", "%q is not host:port; accepted: e.g. mail.example.com:587", o.Address)
	}
	if o.TLS == TLSNone && (o.Username != "" || o.Password != "" || o.PasswordFile != "" || o.OAuth2 != nil) {
		errs.Addf("tls", "none would send the password in clear; accepted with a username: starttls, implicit")
	}
	if port == "465" && o.TLS == TLSStart {
		errs.Addf("tls", "starttls does not work on port 465, where the connection is encrypted from the first byte; accepted: implicit, or another port, e.g. 587")
	}
	if o.Password != "" && o.PasswordFile != "" {
		errs.Addf("password_file", "cannot stand beside password")
	} else {
		_, err := o.password()
		errs.Add("password_file", err)
	}
	hasPassword := o.Password != "" || o.PasswordFile != ""
	if (hasPassword || o.OAuth2 != nil) != (o.Username != "") {
		errs.Addf("username", "goes together with password, password_file or oauth2: both or neither")
	}
	if o.OAuth2 != nil {
		if hasPassword {
			errs.Addf("oauth2", "cannot stand beside password or password_file")
		}
		client := config.HTTPClientConfig{OAuth2: o.OAuth2}
		errs.Add("oauth2", client.Validate())
		_, err := o.clientSecret()
		errs.Add("oauth2", err)
	}
	errs.Add("username", OneLine(o.Username, 300))
	if err := OneLine(o.Hello, 255); err != nil || strings.ContainsAny(o.Hello, " \t") {
		errs.Addf("hello", "%q is not a host name", o.Hello)
	}
	errs.Add("tls_config", ValidateTLS(&o.TLSConfig))
	return errs.Err()
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
func ValidateTLS(c *config.TLSConfig) error {
	if c.Validate() != nil {
		return nil
	}
	_, err := config.NewTLSConfig(c)
	return err
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
