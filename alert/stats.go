package alert

import (
	"maps"
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
)

// Stats is what there is to know about the hook.
type Stats struct {
	Incidents     int                    // open now
	Scopes        map[incident.Scope]int // of those on which there is a second opinion
	Watched       int                    // targets
	Refused       uint64
	StoreFailures uint64
	OldestPending time.Duration  // how long the oldest notification has waited to be delivered; 0: none waits
	Channels      []ChannelStats // the configured ones; empty while the hook watches nothing
}

// ChannelStats is what there is to know about one channel.
type ChannelStats struct {
	Channel     string // "email", "alertmanager"
	Pending     int    // targets that a recipient has yet to be notified of, over all recipients
	Summed      uint64 // outages that are only counted
	Attempts    map[string]uint64
	Refusing    int // recipients whose last message was refused
	LastSuccess time.Time
}

// Each calls put for every number, with its name and labels, as the exporter of metrics wants them.
func (s Stats) Each(put func(name string, value float64, labels ...string)) {
	put("incidents", float64(s.Incidents))
	for scope, n := range s.Scopes {
		put("incidents_by_scope", float64(n), string(scope))
	}
	put("targets", float64(s.Watched))
	put("results_refused", float64(s.Refused))
	put("store_failures", float64(s.StoreFailures))
	put("oldest_pending", s.OldestPending.Seconds())
	for _, c := range s.Channels {
		put("pending", float64(c.Pending), c.Channel)
		put("summed", float64(c.Summed), c.Channel)
		put("refusing", float64(c.Refusing), c.Channel)
		for outcome, n := range c.Attempts {
			put("notifications", float64(n), c.Channel, outcome)
		}
		if !c.LastSuccess.IsZero() {
			put("last_success", float64(c.LastSuccess.UnixNano())/1e9, c.Channel)
		}
	}
}

// Stats returns the present numbers.
func (h *Hook) Stats() Stats {
	e := h.active.Load()
	if e == nil {
		return Stats{}
	}
	return e.stats(time.Now())
}

func (e *engine) stats(now time.Time) (s Stats) {
	scopes := map[incident.Scope]int{incident.ScopeHere: 0, incident.ScopeEverywhere: 0, incident.ScopeUnknown: 0, incident.ScopeIsolated: 0}
	e.eachOpen(func(i *incident.Incident) {
		s.Incidents++
		if i.Scope != "" {
			scopes[i.Scope]++
		}
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.config.ask != nil || len(e.config.references) > 0 {
		s.Scopes = scopes
	}
	s.Watched, s.Refused, s.StoreFailures = len(e.all), e.refused, e.storeFailures
	for _, ch := range e.config.channels {
		c := *e.channelStats(ch.name)
		c.Attempts = maps.Clone(c.Attempts)
		for _, r := range e.recipients {
			if r.channel.name != ch.name {
				continue
			}
			c.Pending += r.Pending()
			if r.Refused() {
				c.Refusing++
			}
			if at := r.Oldest(); !at.IsZero() {
				s.OldestPending = max(s.OldestPending, now.Sub(at))
			}
		}
		s.Channels = append(s.Channels, c)
	}
	return s
}

// channelStats are the numbers of a channel that only grow. Each outcome is there from the start.
func (e *engine) channelStats(name string) *ChannelStats {
	if e.counts[name] == nil {
		s := &ChannelStats{Channel: name, Attempts: make(map[string]uint64)}
		for _, v := range []outbox.Verdict{outbox.Delivered, outbox.Postponed, outbox.Refused, outbox.InDoubt} {
			s.Attempts[v.Name()] = 0
		}
		e.counts[name] = s
	}
	return e.counts[name]
}
