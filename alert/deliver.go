package alert

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// adopt puts a configuration into force: who is new is told what is down, who is gone loses what was waiting.
func (k *keeper) adopt(c *Config, now time.Time) {
	k.config = c
	k.register.configure(c)
	k.nextSweep = time.Time{} // targets may have left
	type recipient struct{ channel, name string }
	wanted := make(map[recipient]bool)
	if c.email != nil {
		for _, to := range c.email.to {
			wanted[recipient{channelMail, string(to)}] = true
		}
	}
	if c.alertmanager != nil {
		for _, url := range c.alertmanager.urls {
			wanted[recipient{channelAlertmanager, url}] = true
		}
	}
	kept := k.destinations[:0:0]
	for _, d := range k.destinations {
		if r := (recipient{d.channel, d.name}); wanted[r] {
			delete(wanted, r)
			kept = append(kept, d)
			continue
		}
		if n := len(d.items); n > 0 {
			k.logger.Warn("a recipient is no longer configured; its notifications are dropped", "channel", d.channel, "to", d.name, "count", n)
		}
		k.abandon(d)
	}
	for r := range wanted {
		kept = append(kept, k.welcome(newDestination(r.channel, r.name), now))
	}
	slices.SortFunc(kept, func(a, b *destination) int {
		return cmp.Or(cmp.Compare(a.channel, b.channel), cmp.Compare(a.name, b.name))
	})
	k.destinations = kept
}

// welcome has a new recipient told what is down: it may be the right spelling of one whom no news reached.
// An Alertmanager is sent that all the time.
func (k *keeper) welcome(d *destination, now time.Time) *destination {
	if d.channel == channelMail {
		for _, i := range slices.SortedFunc(maps.Values(k.open), func(a, b *incident) int { return a.Since.Compare(b.Since) }) {
			d.add(wentDown, i, !k.config.targets[key{i.Module, i.Target}], now)
		}
	}
	return d
}

// abandon has a destination taken off the disk. Should it be configured again, it begins anew.
func (k *keeper) abandon(d *destination) {
	d.remove(func(*item) bool { return true })
	for id := range d.told {
		d.forget(id)
	}
	d.changed = false
	k.abandoned = append(append(k.abandoned, d.writes()...), write{bucket: bucketDestinations, key: rowKey(d.channel, d.name)})
}

func (k *keeper) letterhead() letterhead {
	l := letterhead{host: k.config.host, externalURL: k.url}
	if e := k.config.email; e != nil {
		l.from, l.subjectPrefix = e.from, e.subjectPrefix
	}
	return l
}

func (k *keeper) pacing() pacing {
	return pacing{k.config.groupWait, k.config.groupInterval, k.config.maxMailsPerHour}
}

// sealDue makes mails of what is due and returns whose turn it is. Nothing is sealed while the mail channel is busy,
// so that what is sealed goes out right after it is on disk.
func (k *keeper) sealDue(now time.Time) []*destination {
	if k.config.email == nil || k.busy[channelMail] {
		return nil
	}
	var ready []*destination
	for _, d := range k.destinations {
		if d.channel != channelMail {
			continue
		}
		if at, ok := d.due(k.pacing(), now); !ok || now.Before(at) {
			continue
		}
		if d.parcel == nil {
			if err := d.seal(k.mailFor(d, now)); err != nil {
				k.logger.Error("a mail cannot be composed; this is a bug in rollcall", "to", d.name, "err", err)
				d.notBefore = now.Add(lastBackoff)
				continue
			}
		}
		d.sending = true
		ready = append(ready, d)
	}
	return ready
}

func (k *keeper) mailFor(d *destination, now time.Time) func([]*item, excess) (*parcel, error) {
	return func(items []*item, more excess) (*parcel, error) {
		head := k.letterhead()
		letter := head.write(Address(d.name), items, more, d.told, now)
		data, err := head.encode(letter)
		return &parcel{MessageID: letter.messageID, Data: data}, err
	}
}

// deliver starts the mail session for the sealed parcels.
func (k *keeper) deliver(ctx context.Context, to []*destination) {
	if len(to) == 0 {
		return
	}
	envelopes := make([]envelope, len(to))
	for i, d := range to {
		envelopes[i] = envelope{Address(d.name), d.parcel.Data}
	}
	m := k.config.email.mailer
	k.start(channelMail, to, func() []result { return m.deliver(ctx, envelopes) })
}

// post starts a request to every Alertmanager that has something to hear: news at once, and now and then all that
// fires, for an alert that nobody renews ends by itself.
func (k *keeper) post(ctx context.Context, now time.Time) {
	am := k.config.alertmanager
	if am == nil {
		return
	}
	resend := !now.Before(k.nextResend)
	if resend {
		k.nextResend = now.Add(resendInterval)
	}
	head := k.letterhead()
	for _, d := range k.destinations {
		if d.channel != channelAlertmanager || k.busy[d.name] {
			continue
		}
		at, news := d.due(pacing{}, now)
		news = news && !now.Before(at)
		if !news && !(resend && len(k.open) > 0) {
			continue
		}
		var alerts []postable
		told := make(map[string]bool)
		if news {
			// Without Data the parcel stays off the disk: posting an alert again is no harm. Of what had no room, who is down
			// is in what is sent again and again, and who is not ends by not being there.
			_ = d.seal(func(items []*item, _ excess) (*parcel, error) {
				for _, it := range items {
					told[it.Incident.ID] = true
					alerts = append(alerts, am.postable(head, it.Incident, now))
				}
				return new(parcel), nil
			})
			d.sending = true
		}
		if resend {
			for id, i := range k.open {
				if !told[id] {
					alerts = append(alerts, am.postable(head, i, now))
				}
			}
		}
		k.start(d.name, []*destination{d}, func() []result { return []result{am.post(ctx, d.name, alerts)} })
	}
}

// start runs a delivery on its own goroutine. There is one at a time on each line: the mail system, each
// Alertmanager.
func (k *keeper) start(line string, to []*destination, do func() []result) {
	k.busy[line] = true
	k.jobs.Go(func() { k.reports <- report{line, to, do()} })
}

// next is when something will be due that no event announces.
func (k *keeper) next(now time.Time) time.Time {
	at := k.nextSave
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	sooner(k.nextSweep)
	if k.storeBroken {
		sooner(k.retryStore)
	}
	if k.config.alertmanager != nil {
		sooner(k.nextResend)
	}
	for _, d := range k.destinations {
		pace, line := k.pacing(), channelMail
		if d.channel == channelAlertmanager {
			pace, line = pacing{}, d.name
		}
		if t, ok := d.due(pace, now); ok && !k.busy[line] {
			sooner(t)
		}
	}
	return at
}

// publish makes the numbers of this moment readable from other goroutines.
func (k *keeper) publish() {
	n := &numbers{Metrics: Metrics{Incidents: len(k.open), StoreFailures: k.failures}}
	for _, c := range []struct {
		name string
		on   bool
	}{{channelMail, k.config.email != nil}, {channelAlertmanager, k.config.alertmanager != nil}} {
		if !c.on {
			continue
		}
		m := *k.channel(c.name)
		m.Pending = 0
		for _, d := range k.destinations {
			if d.channel == c.name {
				m.Pending += d.pending()
				if t := d.oldest(); !t.IsZero() && (n.oldest.IsZero() || t.Before(n.oldest)) {
					n.oldest = t
				}
			}
		}
		n.Channels = append(n.Channels, m)
	}
	k.numbers.Store(n)
}

func (k *keeper) metrics() Metrics {
	n := k.numbers.Load()
	m := n.Metrics
	if !n.oldest.IsZero() {
		m.OldestPending = max(0, time.Since(n.oldest))
	}
	m.Watched, m.Refused, m.Deferred = k.register.counts()
	return m
}
