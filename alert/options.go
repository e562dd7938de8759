package alert

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"rollcall/alert/alertmanager"
	"rollcall/alert/incident"
	"rollcall/alert/mail"
	"rollcall/alert/maintenance"
	"rollcall/alert/outbox"
	"rollcall/alert/witness"
	"rollcall/probe"
	"rollcall/probe/option"
)

// Options is the `alert:` section of the configuration file.
type Options struct {
	Email             *EmailOptions         `yaml:"email,omitempty"`
	Alertmanager      *alertmanager.Options `yaml:"alertmanager,omitempty"`
	DownAfter         int                   `yaml:"down_after"`
	UpAfter           int                   `yaml:"up_after"`
	RepeatEvery       Span                  `yaml:"repeat_every"`
	GroupWait         Span                  `yaml:"group_wait"`
	GroupInterval     Span                  `yaml:"group_interval"`
	MaxMailsPerHour   int                   `yaml:"max_mails_per_hour"`
	SettleAfter       Span                  `yaml:"settle_after"`
	CertExpiryWarning ExpiryWarning         `yaml:"cert_expiry_warning"`
	ProbeRequests     bool                  `yaml:"probe_requests"`
	Maintenance       []maintenance.Options `yaml:"maintenance,omitempty"`
	Witnesses         []witness.Options     `yaml:"witnesses,omitempty"`
	References        []string              `yaml:"references,omitempty"` // names of configured targets, or the targets
	Hold              Span                  `yaml:"hold"`
}

// EmailOptions is the `email:` section.
type EmailOptions = mail.Options

// SetDefaults puts in what the section says when it does not mention an option.
func (o *Options) SetDefaults() {
	o.DownAfter, o.UpAfter = 1, 1
	o.GroupWait = Span(10 * time.Second)
	o.GroupInterval = Span(time.Minute)
	o.MaxMailsPerHour = 60
	o.SettleAfter = Span(15 * time.Minute)
	o.ProbeRequests = true
	o.Hold = Span(10 * time.Minute)
}

// Address is a mail address.
type Address = mail.Address

// ParseAddress reads an address as a person writes it.
func ParseAddress(s string) (Address, error) { return mail.ParseAddress(s) }

// Span is a time span like option.Duration that may also be 0, which turns its option off.
type Span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(text []byte) error {
	v, err := model.ParseDuration(string(text))
	span := time.Duration(v)
	if err != nil {
		if span, err = time.ParseDuration(string(text)); err != nil || span < 0 {
			return fmt.Errorf("%q is not a duration; accepted: a number with a unit, e.g. 10s, 1m30s, 14d, or 0s", text)
		}
	}
	*s = Span(span)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// ExpiryWarning is how long before its expiry a certificate is reported: a span, or a share of its lifetime, which suits
// certificates of 90 days and of 6 alike.
type ExpiryWarning struct {
	Before Span
	Share  float64 // 0: Before counts
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *ExpiryWarning) UnmarshalText(text []byte) error {
	percent, isShare := strings.CutSuffix(string(text), "%")
	if !isShare {
		*w = ExpiryWarning{}
		return w.Before.UnmarshalText(text)
	}
	n, err := strconv.ParseFloat(percent, 64)
	if err != nil || !(n > 0 && n < 100) {
		return fmt.Errorf("%q is no share of a certificate's lifetime; accepted: above 0%% and below 100%%, e.g. 33%%, or a duration, e.g. 14d", text)
	}
	*w = ExpiryWarning{Share: n / 100}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (w ExpiryWarning) MarshalText() ([]byte, error) {
	if w.Share > 0 {
		return []byte(strconv.FormatFloat(math.Round(w.Share*1e6)/1e4, 'f', -1, 64) + "%"), nil
	}
	return w.Before.MarshalText()
}

// The bounds of what a configuration may ask for.
const (
	maxThreshold    = 1000
	maxMailsPerHour = 3600
)

// Config is a compiled `alert:` section: valid, complete, and never changed after it is applied.
type Config struct {
	// Incomplete says that not all configured targets are known yet, because a source of targets has not answered. Incidents
	// of those that are missing go on. Compile leaves it false.
	Incomplete bool

	policy        incident.Policy
	probeRequests bool
	targets       map[probe.Key]*watched // the configured ones
	to            map[string]bool        // the addresses that get mails about targets that name none; nil: all
	windows       []*maintenance.Window
	channels      []channel
	mailer        *mail.Mailer                                           // nil: no mail
	ask           func(context.Context, witness.Question) witness.Answer // of the witnesses; nil: there are none
	references    map[probe.Key]*probe.Target                            // the targets that stand for our own line
	hold          time.Duration
}

// channel is one way to notify, with its recipients.
type channel struct {
	name       string // "email", "alertmanager"
	notifier   outbox.Notifier
	recipients []string
	pacing     outbox.Pacing
	sessions   int           // deliveries at once
	resend     time.Duration // how often what is open is said again; 0: never, for each recipient keeps what it got
}

// The channels' names.
const (
	channelMail         = "email"
	channelAlertmanager = "alertmanager"
)

// maxSessions is how many mails leave at once: a recipient whose mail hangs does not hold up the others, and a hundred
// recipients are not a hundred connections or processes.
const maxSessions = 8

// Compile makes the section ready for use beside the configured targets. g judges the addresses of witnesses; nil allows
// all. Its errors are joined *option.Errors, one for each error, with paths relative to the section.
func (o Options) Compile(targets []Target, g probe.Guard) (*Config, error) {
	c := &Config{
		policy: incident.Policy{
			DownAfter: o.DownAfter, UpAfter: o.UpAfter,
			RepeatEvery: time.Duration(o.RepeatEvery), Settle: time.Duration(o.SettleAfter),
			CertWarning: time.Duration(o.CertExpiryWarning.Before), CertShare: o.CertExpiryWarning.Share,
		},
		probeRequests: o.ProbeRequests,
		targets:       make(map[probe.Key]*watched, len(targets)),
		hold:          time.Duration(o.Hold),
	}
	errs := o.validate()
	for n, options := range o.Maintenance {
		w, err := options.Compile()
		errs.Join(option.Under(option.Index("maintenance", n), err))
		c.windows = append(c.windows, w)
	}
	panel, err := witness.New(o.Witnesses, g)
	errs.Join(err)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	if len(panel) > 0 {
		c.ask = panel.Ask
	}
	more, err := c.compileTargets(&o, targets)
	if err != nil {
		return nil, err
	}
	if o.Email != nil {
		c.mailer = mail.New(o.Email)
		ch := channel{
			name: channelMail, notifier: c.mailer, sessions: maxSessions,
			pacing: outbox.Pacing{Wait: time.Duration(o.GroupWait), Interval: time.Duration(o.GroupInterval), PerHour: o.MaxMailsPerHour},
		}
		own := o.Email.Expand(o.Email.To)
		c.to = set(own)
		for _, to := range o.Email.Expand(append(own, more...)) {
			ch.recipients = append(ch.recipients, string(to))
		}
		c.channels = append(c.channels, ch)
	}
	if o.Alertmanager != nil {
		ch := channel{name: channelAlertmanager, sessions: len(o.Alertmanager.URLs), resend: alertmanager.ResendInterval}
		poster, urls, err := alertmanager.New(o.Alertmanager)
		if err != nil {
			return nil, err
		}
		ch.notifier, ch.recipients = poster, urls
		c.channels = append(c.channels, ch)
	}
	return c, nil
}

func (o *Options) validate() (errs option.Collector) {
	if o.Email == nil && o.Alertmanager == nil {
		errs.Addf("", "names no recipients; accepted: email, alertmanager, or both")
	}
	for name, n := range map[string]int{"down_after": o.DownAfter, "up_after": o.UpAfter} {
		if n < 1 || n > maxThreshold {
			errs.Addf(name, "%d is out of range; accepted: 1 to %d consecutive results", n, maxThreshold)
		}
	}
	if v := o.MaxMailsPerHour; v < 1 || v > maxMailsPerHour {
		errs.Addf("max_mails_per_hour", "%d is out of range; accepted: 1 to %d", v, maxMailsPerHour)
	}
	if o.RepeatEvery != 0 && time.Duration(o.RepeatEvery) < time.Minute {
		errs.Addf("repeat_every", "%s is too often; accepted: 0s (no reminders), or at least 1m", time.Duration(o.RepeatEvery))
	}
	if o.Email != nil {
		errs.Join(option.Under("email", o.Email.Check()))
	}
	if o.Alertmanager != nil {
		errs.Join(option.Under("alertmanager", o.Alertmanager.Check()))
	}
	return errs
}
