package alert

import (
	"errors"
	"fmt"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/mail"
	"rollcall/alert/maintenance"
	"rollcall/alert/outbox"
	"rollcall/probe/option"
)

// Target is one of the configured targets, which are watched in any case. Zero fields after Group say what the section
// says.
type Target struct {
	Module, Target, Hostname string
	Name, Group              string // for people; empty: none
	Interval                 time.Duration
	To                       []string // addresses, or names of groups
	DownAfter, UpAfter       int
	RepeatEvery              *time.Duration // 0: no reminders
}

// watched is a compiled Target.
type watched struct {
	name, group string
	policy      incident.Policy
	to          map[string]bool // the addresses that get its mails; nil: those of the section
}

// maxOfTargets bounds the addresses that targets name themselves.
const maxOfTargets = 1000

// compileTargets makes the configured targets ready and returns the addresses that they add to the section's.
func (c *Config) compileTargets(o *Options, targets []Target) (more []mail.Address, err error) {
	var errs []error
	for _, t := range targets {
		w := &watched{name: t.Name, group: t.Group, policy: c.policy}
		if t.DownAfter > 0 {
			w.policy.DownAfter = t.DownAfter
		}
		if t.UpAfter > 0 {
			w.policy.UpAfter = t.UpAfter
		}
		if t.RepeatEvery != nil {
			w.policy.RepeatEvery = *t.RepeatEvery
		}
		to, err := t.recipients(o.Email)
		if err != nil {
			errs = append(errs, &option.Error{Path: "email", Err: fmt.Errorf("recipients of the target %s: %w", incident.Clean(t.Target, 300), err)})
		}
		if to != nil {
			w.to = set(to)
			more = append(more, to...)
		}
		c.targets[incident.KeyOf(t.Module, t.Target, t.Hostname)] = w
	}
	if len(set(more)) > maxOfTargets {
		errs = append(errs, &option.Error{Path: "email", Err: fmt.Errorf("targets name more than %d addresses; accepted: mailing lists beyond that", maxOfTargets)})
	}
	return more, errors.Join(errs...)
}

// recipients are the addresses that the target names itself; nil: it names none.
func (t *Target) recipients(o *mail.Options) ([]mail.Address, error) {
	if len(t.To) == 0 {
		return nil, nil
	}
	if o == nil {
		return nil, errors.New("there is no email section that says how mail is sent")
	}
	var names []mail.Address
	for _, s := range t.To {
		to, err := mail.ParseAddress(s)
		if err == nil {
			err = o.CheckRecipient(to)
		}
		if err != nil {
			return nil, err
		}
		names = append(names, to)
	}
	return o.Expand(names), nil
}

func set(addresses []mail.Address) map[string]bool {
	all := make(map[string]bool, len(addresses))
	for _, to := range addresses {
		all[string(to)] = true
	}
	return all
}

// compileWindows makes the maintenance windows ready.
func (c *Config) compileWindows(o *Options) (errs []error) {
	for n, options := range o.Maintenance {
		w, err := options.Compile()
		if err = option.Under(option.Index("maintenance", n), err); err != nil {
			errs = append(errs, err.(interface{ Unwrap() []error }).Unwrap()...)
		}
		c.windows = append(c.windows, w)
	}
	return errs
}

// policyOf is when results of the target become events.
func (c *Config) policyOf(key incident.Key) incident.Policy {
	if w := c.targets[key]; w != nil {
		return w.policy
	}
	return c.policy
}

// sendsTo reports whether r is notified about the target.
func (c *Config) sendsTo(r *outbox.Queue, key incident.Key) bool {
	to := c.to
	if w := c.targets[key]; w != nil && w.to != nil {
		to = w.to
	}
	return to == nil || r.Channel != channelMail || to[r.Name]
}

// inMaintenance reports whether notifications about the target wait now.
func (c *Config) inMaintenance(t *target, now time.Time) bool {
	for _, w := range c.windows {
		if w.Covers(maintenance.Target{Target: t.Target, Name: t.Name, Group: t.Group, Labels: t.Labels}, now) {
			return true
		}
	}
	return false
}
