package alert

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/mail"
	"rollcall/alert/maintenance"
	"rollcall/alert/outbox"
	"rollcall/probe"
	"rollcall/probe/option"
)

// Target is one of the configured targets, which are watched in any case. Zero fields say what the section says.
type Target struct {
	*probe.Target               // never nil
	To                 []string // addresses, or names of groups
	DownAfter, UpAfter int
	RepeatEvery        *time.Duration // 0: no reminders
}

// watched is a compiled Target, small because there may be a hundred thousand.
type watched struct {
	*probe.Target
	policy *incident.Policy // the section's, unless the target has its own
	to     map[string]bool  // the addresses that get its mails; nil: those of the section
}

// maxOfTargets bounds the addresses that targets name themselves.
const maxOfTargets = 1000

// compileTargets makes the configured targets ready and returns the addresses that they add to the section's.
func (c *Config) compileTargets(o *Options, targets []Target) (more []mail.Address, err error) {
	var errs option.Collector
	c.references = make(map[probe.Key]*probe.Target, len(o.References))
	for _, t := range targets {
		key := t.Key().Redacted()
		w := &watched{Target: t.Target, policy: &c.policy}
		if slices.Contains(o.References, t.Target.Target) || slices.Contains(o.References, t.Name) {
			c.references[key] = t.Target
		}
		if t.DownAfter > 0 || t.UpAfter > 0 || t.RepeatEvery != nil {
			own := c.policy
			own.DownAfter, own.UpAfter = cmp.Or(t.DownAfter, own.DownAfter), cmp.Or(t.UpAfter, own.UpAfter)
			if t.RepeatEvery != nil {
				own.RepeatEvery = *t.RepeatEvery
			}
			w.policy = &own
		}
		to, err := t.recipients(o.Email)
		if err != nil {
			errs.Addf("email", "recipients of the target %s: %w", incident.Clean(t.Target.Target, 300), err)
		}
		if to != nil {
			w.to = set(to)
			more = append(more, to...)
		}
		c.targets[key] = w
	}
	if len(set(more)) > maxOfTargets {
		errs.Addf("email", "targets name more than %d addresses; accepted: mailing lists beyond that", maxOfTargets)
	}
	return more, errs.Err()
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

// policyOf is when results of the target become events.
func (c *Config) policyOf(key probe.Key) incident.Policy {
	if w := c.targets[key]; w != nil {
		return *w.policy
	}
	return c.policy
}

// sendsTo reports whether r is notified about the target.
func (c *Config) sendsTo(r *outbox.Queue, key probe.Key) bool {
	to := c.to
	if w := c.targets[key]; w != nil && w.to != nil {
		to = w.to
	}
	return to == nil || r.Channel != channelMail || to[r.Name]
}

// inMaintenance reports whether notifications about the target wait now.
func (c *Config) inMaintenance(t *target, now time.Time) bool {
	return slices.ContainsFunc(c.windows, func(w *maintenance.Window) bool { return w.Covers(t.Subject, now) })
}

// Maintenance returns what reports whether a configured target is under maintenance at now; nil: no window is open.
func (h *Hook) Maintenance(now time.Time) func(probe.Key) bool {
	c := new(Config)
	h.read(func(e *engine) { c = e.config })
	open := slices.DeleteFunc(slices.Clone(c.windows), func(w *maintenance.Window) bool { return !w.IsOpen(now) })
	if len(open) == 0 {
		return nil
	}
	return func(key probe.Key) bool {
		key = key.Redacted()
		is := c.targets[key]
		return is != nil && slices.ContainsFunc(open, func(w *maintenance.Window) bool {
			return w.Names(incident.Subject{Key: key, Name: is.Name, Group: is.Group, Labels: is.Labels})
		})
	}
}
