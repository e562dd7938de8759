package alert

import (
	"context"
	"errors"
	"io"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/mail"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

// LocalMail is the configuration where there is none: the local sendmail delivers.
func LocalMail() *Config { return &Config{mailer: mail.Local()} }

// MailDown sends the old script's mail about a target that is down to one address, and returns how that ended.
// Nothing is stored and nothing is tried again. Without an email section the local sendmail delivers.
func (c *Config) MailDown(ctx context.Context, to Address, r *probe.Record) error {
	mailer := c.mailer
	if mailer == nil {
		mailer = mail.Local()
	}
	var t incident.Tracker
	t.Key, t.Prober = r.Key().Redacted(), r.Prober
	_, i, _ := t.Observe(&r.Result, incident.Policy{DownAfter: 1, UpAfter: 1})
	if i == nil {
		return errors.New("the target is up: there is nothing to mail")
	}
	down := &outbox.Notification{Key: i.Key, Outages: []outbox.Outage{{Incident: i, Down: true}}}
	m, err := mailer.Compose(string(to), &outbox.Digest{Notifications: []*outbox.Notification{down}, At: time.Now()})
	if err != nil {
		return err
	}
	return mailer.Deliver(ctx, string(to), m).Err
}

// Test sends a test mail and posts a test alert to every Alertmanager, and shows each step on w; what belongs to a
// password is not shown. An empty address means the configured ones. Its errors are joined: one failure does not keep
// the rest from being tried.
func (c *Config) Test(ctx context.Context, w io.Writer, to Address) error {
	var errs []error
	if to != "" && c.mailer == nil {
		errs = append(errs, errors.New("no mail is configured; accepted: an email section under alert"))
	}
	for _, ch := range c.channels {
		recipients := ch.recipients
		if ch.name == channelMail && to != "" {
			recipients = []string{string(to)}
		}
		for _, recipient := range recipients {
			errs = append(errs, ch.notifier.Test(ctx, w, recipient))
		}
	}
	return errors.Join(errs...)
}
