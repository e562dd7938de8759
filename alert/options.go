// Package alert is the down-notification hook: it watches every probe.Record, decides when an incident begins and
// ends, and tells people by mail and Alertmanager. The way of a result through it:
//
//	Record ─▶ watch (state machine, in memory, no I/O) ─▶ queue per destination ─▶ store (fsync) ─▶ channel ─▶ SMTP,
//	sendmail, Alertmanager
//
// It never blocks a probe: Observe folds the result into memory and returns. Everything that touches the disk or the
// network belongs to the keeper's goroutine and to one goroutine per channel. What Alertmanager is for (silences,
// inhibition, escalation, chat) stays there.
package alert

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"rollcall/probe/option"
)

// Options is the `alert:` section of the configuration file.
type Options struct {
	Email             *EmailOptions        `yaml:"email,omitempty"`
	Alertmanager      *AlertmanagerOptions `yaml:"alertmanager,omitempty"`
	DownAfter         int                  `yaml:"down_after"`
	UpAfter           int                  `yaml:"up_after"`
	RepeatEvery       Span                 `yaml:"repeat_every"`
	GroupWait         Span                 `yaml:"group_wait"`
	GroupInterval     Span                 `yaml:"group_interval"`
	MaxMailsPerHour   int                  `yaml:"max_mails_per_hour"`
	CertExpiryWarning Span                 `yaml:"cert_expiry_warning"`
	ProbeRequests     bool                 `yaml:"probe_requests"`
}

// SetDefaults puts in what the section says when it does not mention an option.
func (o *Options) SetDefaults() {
	o.DownAfter, o.UpAfter = 1, 1
	o.GroupWait = Span(10 * time.Second)
	o.GroupInterval = Span(time.Minute)
	o.MaxMailsPerHour = 60
	o.ProbeRequests = true
}

// EmailOptions says who gets mail and how it leaves: by SMTP when that section is there, else by the local sendmail.
type EmailOptions struct {
	To            []Address    `yaml:"to"`
	From          Address      `yaml:"from,omitempty"` // empty: rollcall@<host name>
	SMTP          *SMTPOptions `yaml:"smtp,omitempty"`
	Sendmail      string       `yaml:"sendmail,omitempty"`
	SubjectPrefix string       `yaml:"subject_prefix,omitempty"`
}

// SetDefaults puts in what the section says when it does not mention an option.
func (o *EmailOptions) SetDefaults() { o.Sendmail = defaultSendmail }

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

// AlertmanagerOptions names the Alertmanagers; every one gets every alert.
type AlertmanagerOptions struct {
	URLs      []string          `yaml:"urls"`
	BasicAuth *config.BasicAuth `yaml:"basic_auth,omitempty"`
	TLSConfig config.TLSConfig  `yaml:"tls_config,omitempty"`
	Labels    map[string]string `yaml:"labels,omitempty"`
}

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

// Span is a time span like probe.Duration that may also be 0, which turns its option off.
type Span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(text []byte) error {
	v, err := model.ParseDuration(string(text))
	span := time.Duration(v)
	if err != nil {
		if span, err = time.ParseDuration(string(text)); err != nil || span < 0 {
			return fmt.Errorf("%q is not a duration; accepted: a number with a unit, as 10s, 1m30s, 14d, or 0s", text)
		}
	}
	*s = Span(span)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// The bounds of what a configuration may ask for. A recipient costs a transaction per mail, a label a few bytes in
// every alert.
const (
	maxRecipients    = 100
	maxAlertmanagers = 16
	maxThreshold     = 1000
	maxMailsPerHour  = 3600
)

// faults collects what is wrong with the options, each with its path.
type faults []error

func (f *faults) add(path, format string, args ...any) {
	*f = append(*f, &option.Error{Path: path, Err: fmt.Errorf(format, args...)})
}

// validate reports every fault in the options as joined *probe.OptionErrors, with paths relative to the section.
func (o *Options) validate() error {
	var f faults
	if o.Email == nil && o.Alertmanager == nil {
		f.add("", "names nobody to tell; accepted: email, alertmanager, or both")
	}
	for _, threshold := range []struct {
		name string
		n    int
	}{{"down_after", o.DownAfter}, {"up_after", o.UpAfter}} {
		if threshold.n < 1 || threshold.n > maxThreshold {
			f.add(threshold.name, "%d is out of range; accepted: 1 to %d consecutive results", threshold.n, maxThreshold)
		}
	}
	if v := o.MaxMailsPerHour; v < 1 || v > maxMailsPerHour {
		f.add("max_mails_per_hour", "%d is out of range; accepted: 1 to %d", v, maxMailsPerHour)
	}
	if o.RepeatEvery != 0 && time.Duration(o.RepeatEvery) < time.Minute {
		f.add("repeat_every", "%s is too often; accepted: 0s (no reminders), or at least 1m", time.Duration(o.RepeatEvery))
	}
	if o.Email != nil {
		o.Email.validate(&f)
	}
	if o.Alertmanager != nil {
		o.Alertmanager.validate(&f)
	}
	return errors.Join(f...)
}

func (o *EmailOptions) validate(f *faults) {
	if len(o.To) == 0 {
		f.add("email.to", "is empty; accepted: a list of user@domain, or local user names when sendmail delivers")
	}
	if len(o.To) > maxRecipients {
		f.add("email.to", "has %d addresses; accepted: at most %d, use a mailing list beyond that", len(o.To), maxRecipients)
	}
	seen := make(map[Address]bool)
	for i, to := range o.To {
		path := fmt.Sprintf("email.to[%d]", i)
		switch {
		case to == "":
			f.add(path, "is empty; accepted: user@domain, or a local user name when sendmail delivers")
		case seen[to]:
			f.add(path, "%q is there twice", to)
		case o.SMTP != nil && to.local():
			f.add(path, "%q is a local user name, which a mail server reached by smtp does not know; accepted: user@domain", to)
		}
		seen[to] = true
	}
	if err := oneLine(o.SubjectPrefix, 100); err != nil {
		f.add("email.subject_prefix", "%w", err)
	}
	if o.SMTP == nil {
		if !strings.HasPrefix(o.Sendmail, "/") {
			f.add("email.sendmail", "%q is not an absolute path; accepted: a path as %s", o.Sendmail, defaultSendmail)
		}
		return
	}
	o.SMTP.validate(f)
	if o.From != "" && o.From.local() {
		f.add("email.from", "%q has no domain; accepted: user@domain", o.From)
	}
}

func (o *SMTPOptions) validate(f *faults) {
	host, port, err := net.SplitHostPort(o.Address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || n == 0 || oneLine(o.Address, 300) != nil {
		f.add("email.smtp.address", "%q is not host:port; accepted: as mail.example.com:587", o.Address)
	}
	if o.TLS == TLSNone && (o.Username != "" || o.Password != "" || o.PasswordFile != "") {
		f.add("email.smtp.tls", "none would send the password in clear; accepted with a username: starttls, implicit")
	}
	if o.Password != "" && o.PasswordFile != "" {
		f.add("email.smtp.password_file", "cannot stand beside password")
	} else if _, err := o.password(); err != nil {
		f.add("email.smtp.password_file", "%w", err)
	}
	if hasPassword := o.Password != "" || o.PasswordFile != ""; hasPassword != (o.Username != "") {
		f.add("email.smtp.username", "goes together with password or password_file: both or neither")
	}
	if err := oneLine(o.Username, 300); err != nil {
		f.add("email.smtp.username", "%w", err)
	}
	if err := oneLine(o.Hello, 255); err != nil || strings.ContainsAny(o.Hello, " \t") {
		f.add("email.smtp.hello", "%q is not a host name", o.Hello)
	}
	checkTLS(f, "email.smtp.tls_config", &o.TLSConfig)
}

func (o *AlertmanagerOptions) validate(f *faults) {
	if len(o.URLs) == 0 {
		f.add("alertmanager.urls", "is empty; accepted: a list as http://127.0.0.1:9093")
	}
	if len(o.URLs) > maxAlertmanagers {
		f.add("alertmanager.urls", "has %d addresses; accepted: at most %d", len(o.URLs), maxAlertmanagers)
	}
	seen := make(map[string]bool)
	for i, s := range o.URLs {
		path := fmt.Sprintf("alertmanager.urls[%d]", i)
		u, err := url.Parse(s)
		switch {
		case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
			f.add(path, "is not an http or https address; accepted: as http://127.0.0.1:9093")
		case u.User != nil:
			f.add(path, "holds a user name; accepted: basic_auth beside it")
		case seen[s]:
			f.add(path, "%q is there twice", s)
		}
		seen[s] = true
	}
	for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
		value := o.Labels[name]
		if !model.LegacyValidation.IsValidLabelName(name) {
			f.add("alertmanager.labels."+name, "%q is not a label name; accepted: letters, digits and _", name)
		}
		if name == "alertname" || name == "target" || name == "module" {
			f.add("alertmanager.labels."+name, "is set by rollcall")
		}
		if err := oneLine(value, 1000); err != nil {
			f.add("alertmanager.labels."+name, "%w", err)
		}
	}
	checkTLS(f, "alertmanager.tls_config", &o.TLSConfig)
	client := config.HTTPClientConfig{BasicAuth: o.BasicAuth}
	if err := client.Validate(); err != nil {
		f.add("alertmanager.basic_auth", "%w", err)
	}
}

// checkTLS reads the files that the options name. Options that contradict each other judge themselves when they are
// decoded, and are not reported twice.
func checkTLS(f *faults, path string, c *config.TLSConfig) {
	if c.Validate() != nil {
		return
	}
	if _, err := config.NewTLSConfig(c); err != nil {
		f.add(path, "%w", err)
	}
}

// oneLine refuses what could break out of a header or a command: control characters, and more than limit bytes.
func oneLine(s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("is %d bytes long; accepted: at most %d", len(s), limit)
	}
	if i := strings.IndexFunc(s, isControl); i >= 0 {
		return fmt.Errorf("%q holds a control character; accepted: one line of text", s)
	}
	return nil
}
