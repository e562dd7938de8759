package alert

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"rollcall/probe"
)

// MailDown sends the old script's mail about a target that is down to one address, and returns how that ended.
// Nothing is stored and nothing is tried again. Without an email section the local sendmail delivers.
func (c *Config) MailDown(ctx context.Context, to Address, r probe.Record) error {
	if c.email == nil {
		c = LocalMail()
	}
	w := &watch{Module: r.Module, Target: identity(r.Target), Prober: r.Prober, Labels: r.Labels}
	_, i := w.observe(&r.Result, policy{downAfter: 1, upAfter: 1})
	if i == nil {
		return errors.New("the target is up: there is nothing to tell")
	}
	head := letterhead{host: c.host, from: c.email.from, subjectPrefix: c.email.subjectPrefix}
	return c.mail(ctx, head, head.write(to, []*item{{Incident: i, Down: true}}, excess{}, nil, time.Now()), c.email.mailer)
}

func (c *Config) mail(ctx context.Context, head letterhead, l letter, m mailer) error {
	data, err := head.encode(l)
	if err != nil {
		return err
	}
	return m.deliver(ctx, []envelope{{l.to, data}})[0].err
}

// Test sends a test mail and posts a test alert to every Alertmanager, and shows each step on w; what belongs to a
// password is not shown. An empty address means the configured ones. Its errors are joined: one failure does not keep
// the rest from being tried.
func (c *Config) Test(ctx context.Context, w io.Writer, to Address) error {
	var errs []error
	if c.email != nil {
		recipients := c.email.to
		if to != "" {
			recipients = []Address{to}
		}
		for _, to := range recipients {
			errs = append(errs, c.testMail(ctx, w, to))
		}
	} else if to != "" {
		errs = append(errs, errors.New("no mail is configured; accepted: an email section under alert"))
	}
	if c.alertmanager != nil {
		for _, url := range c.alertmanager.urls {
			errs = append(errs, c.testAlert(ctx, w, url))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) testMail(ctx context.Context, w io.Writer, to Address) error {
	m := c.email.mailer
	switch plain := m.(type) {
	case *smtpServer:
		talking := *plain
		talking.trace = &transcript{w: w}
		m = &talking
		fmt.Fprintf(w, "mail to %s by SMTP at %s (tls: %s)\n", to, plain.options.Address, plain.options.TLS)
	case *sendmail:
		fmt.Fprintf(w, "mail to %s by %s -i -f %s -- %s\n", to, plain.path, plain.from, to)
	}
	now := time.Now()
	head := letterhead{host: c.host, from: c.email.from, subjectPrefix: c.email.subjectPrefix}
	err := c.mail(ctx, head, letter{
		to: to, at: now, messageID: rand.Text() + "@" + c.host,
		subject: head.subjectPrefix + asctime(now) + ": rollcall can send mail",
		body:    "Server Monitor: This is a test. Mail about servers that are down will come like this.\n\n-- \nrollcall on " + c.host + "\n",
	}, m)
	if err != nil {
		fmt.Fprintf(w, "   failed: %v\n", err)
		return fmt.Errorf("mail to %s: %w", to, err)
	}
	fmt.Fprintf(w, "   sent\n")
	return nil
}

func (c *Config) testAlert(ctx context.Context, w io.Writer, url string) error {
	fmt.Fprintf(w, "alert RollcallTest to %s\n", url)
	now := time.Now()
	labels := map[string]string{"alertname": "RollcallTest"}
	maps.Copy(labels, c.alertmanager.labels)
	r := c.alertmanager.post(ctx, url, []postable{{
		Labels: labels, StartsAt: now, EndsAt: now.Add(resendInterval),
		Annotations: map[string]string{"summary": asctime(now) + ": rollcall can post alerts", "description": "This is a test from rollcall on " + c.host + "."},
	}})
	if r.err != nil {
		fmt.Fprintf(w, "   failed: %v\n", r.err)
		return fmt.Errorf("alert to %s: %w", url, r.err)
	}
	fmt.Fprintf(w, "   accepted\n")
	return nil
}
