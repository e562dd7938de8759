package prometheus

import (
	"context"
	"slices"
	"time"

	"rollcall/history"
	"rollcall/probe"
)

const (
	incidentStep = time.Minute        // fixed: an incident's ID holds its start
	incidentSpan = 7 * 24 * time.Hour // asked for at a time: a server answers with 11,000 points at most
	incidentsAgo = 90 * 24 * time.Hour
)

// Incidents implements history.Source. Without from it goes back 90 days.
func (s *Source) Incidents(ctx context.Context, filter history.IncidentFilter, from, to time.Time, limit int) ([]history.Incident, error) {
	if limit <= 0 {
		limit = history.DefaultLimit
	}
	now := time.Now().UTC()
	if to.IsZero() || to.After(now) {
		to = now
	}
	from = later(from, now.Add(-incidentsAgo))
	key := probe.Key{}
	if filter.TargetID != "" {
		var err error
		if key, _, err = s.find(ctx, filter.TargetID); err != nil {
			return nil, err
		}
	}
	spells := make(map[probe.Key][]spell)
	for end := to; end.After(from); end = end.Add(-incidentSpan) {
		if err := s.spells(ctx, key, later(from, end.Add(-incidentSpan)), end, spells); err != nil {
			return nil, err
		}
	}
	var incidents []history.Incident
	for key, list := range spells {
		for _, i := range s.joinSpells(key, list, now) {
			if !filter.Open || i.To.IsZero() {
				incidents = append(incidents, i)
			}
		}
	}
	slices.SortFunc(incidents, func(a, b history.Incident) int { return b.From.Compare(a.From) })
	return incidents[:min(len(incidents), limit)], nil
}

// spell is a minute at whose start the target was down.
type spell struct {
	at     time.Time
	stage  probe.Stage
	reason probe.Reason
}

func (s *Source) spells(ctx context.Context, key probe.Key, from, to time.Time, into map[probe.Key][]spell) error {
	// Without a staleness marker the reason would outlive the failure by the server's look-back.
	query := byTarget("max", selector("probe_failure_info", key), "stage", "reason") +
		" and on (module,target,hostname) (" + byTarget("min", selector("probe_success", key)) + " == 0)"
	start := from.Truncate(incidentStep).Add(incidentStep)
	if start.After(to) {
		return nil
	}
	matrix, err := s.matrix(ctx, query, start, to, incidentStep)
	if err != nil {
		return err
	}
	for _, stream := range matrix {
		key := keyOf(stream.Metric)
		for _, pair := range stream.Values {
			into[key] = append(into[key], spell{
				pair.Timestamp.Time().UTC(), probe.Stage(stream.Metric["stage"]), probe.Reason(stream.Metric["reason"]),
			})
		}
	}
	return nil
}

// joinSpells makes incidents of the minutes that follow each other.
func (s *Source) joinSpells(key probe.Key, list []spell, now time.Time) []history.Incident {
	slices.SortFunc(list, func(a, b spell) int { return a.at.Compare(b.at) })
	s.mu.Lock()
	target := s.target(key, 0)
	s.mu.Unlock()
	var incidents []history.Incident
	for _, m := range list {
		if n := len(incidents); n > 0 && m.at.Sub(incidents[n-1].Last) <= incidentStep {
			incidents[n-1].Last = m.at
			continue
		}
		incidents = append(incidents, history.Incident{
			ID: key.IncidentID(m.at), TargetID: key.ID(), Target: *target,
			From: m.at, Last: m.at, Stage: m.stage, Reason: m.reason,
		})
	}
	for n := range incidents {
		if end := incidents[n].Last.Add(incidentStep); !end.After(now) {
			incidents[n].To = end
		}
	}
	return incidents
}

// Incident implements history.Source. The server has no evidence.
func (s *Source) Incident(ctx context.Context, id string) (history.Incident, error) {
	incidents, err := s.Incidents(ctx, history.IncidentFilter{}, time.Time{}, time.Time{}, 1<<30)
	if err != nil {
		return history.Incident{}, err
	}
	for _, i := range incidents {
		if i.ID == id {
			return i, nil
		}
	}
	return history.Incident{}, history.ErrNotFound
}
