package web

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"rollcall/history"
	"rollcall/probe"
	"rollcall/redact"
)

// fakeHistory is a Source that has what a test puts in, and follows what the Runner observes.
type fakeHistory struct {
	mu        sync.Mutex
	targets   []history.Summary
	incidents []history.Incident
	status    history.Status
	err       error
}

// apply configures targets of which nothing is known.
func (h *fakeHistory) apply(targets ...*probe.Target) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.targets = nil
	for _, t := range targets {
		h.targets = append(h.targets, history.Summary{ID: t.ID(), Target: *t.Redacted(), State: history.StateUnknown, Buckets: make([]history.Counts, 48)})
	}
}

// Observe keeps a scheduled result as the target's only one.
func (h *fakeHistory) Observe(r *probe.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := r.Key().ID()
	i := slices.IndexFunc(h.targets, func(s history.Summary) bool { return s.ID == id })
	if !r.Scheduled || i < 0 {
		return
	}
	s := &h.targets[i]
	s.State, s.Since, s.Counts.Up = history.StateUp, time.Now(), 1
	s.Last = history.Result{Time: time.Now(), State: history.StateUp, Duration: 3 * time.Millisecond, Phases: r.Result.Phases}
	if f := r.Result.Failure; f != nil {
		s.State, s.Counts = history.StateDown, history.Counts{Down: 1}
		s.Last.State, s.Last.Stage, s.Last.Reason = history.StateDown, f.Stage, f.Reason
		s.Incident = "1f" + id[2:]
		h.incidents = append([]history.Incident{{
			ID: s.Incident, TargetID: id, Target: s.Target, From: time.Now(), Last: time.Now(), Stage: f.Stage, Reason: f.Reason, Failures: 1,
			Evidence: &history.Evidence{Time: time.Now(), Prober: r.Prober, Stage: f.Stage, Reason: f.Reason, Error: f.Err.Error(), Address: "192.0.2.7",
				Steps: []probe.Step{{Time: time.Now(), Text: "asked for " + redact.Target(r.Target)}}},
		}}, h.incidents...)
	}
	s.Buckets[47] = s.Counts
}

func (h *fakeHistory) Overview(_ context.Context, r history.Range) (history.Overview, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return history.Overview{Range: r, Targets: slices.Clone(h.targets)}, h.err
}

func (h *fakeHistory) Target(_ context.Context, id string, _ history.Range) (history.Summary, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.targets {
		if h.targets[i].ID == id {
			return h.targets[i], h.err
		}
	}
	return history.Summary{}, cmp.Or(h.err, history.ErrNotFound)
}

func (h *fakeHistory) Series(ctx context.Context, id string, from, to time.Time, step time.Duration) (history.Series, error) {
	s, err := h.Target(ctx, id, history.Range24h)
	if err != nil {
		return history.Series{}, err
	}
	series := history.Series{Target: s.Target, From: from.Truncate(step), To: to, Step: step, Counts: s.Counts, P50: s.Last.Duration, P95: s.Last.Duration}
	for at := series.From; at.Before(to); at = at.Add(step) {
		p := history.Point{Time: at}
		if at.Add(step).After(to) {
			p.Counts, p.P50, p.P95, p.Mean, p.Phases = s.Counts, s.Last.Duration, s.Last.Duration, s.Last.Duration, s.Last.Phases
		}
		series.Points = append(series.Points, p)
	}
	return series, nil
}

func (h *fakeHistory) Results(ctx context.Context, id string, _, _ time.Time, _ int) ([]history.Result, error) {
	s, err := h.Target(ctx, id, history.Range24h)
	if err != nil || s.Last.Time.IsZero() {
		return nil, h.err
	}
	return []history.Result{s.Last}, nil
}

func (h *fakeHistory) Incidents(_ context.Context, filter history.IncidentFilter, _, _ time.Time, limit int) ([]history.Incident, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []history.Incident
	for _, i := range h.incidents {
		if (filter.TargetID == "" || filter.TargetID == i.TargetID) && (!filter.Open || i.To.IsZero()) && (limit == 0 || len(found) < limit) {
			i.Evidence = nil
			found = append(found, i)
		}
	}
	return found, h.err
}

func (h *fakeHistory) Incident(_ context.Context, id string) (history.Incident, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range h.incidents {
		if i.ID == id {
			return i, h.err
		}
	}
	return history.Incident{}, cmp.Or(h.err, history.ErrNotFound)
}

func (h *fakeHistory) Status() history.Status { return h.status }
