package prometheus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"rollcall/history"
	"rollcall/probe"
)

// find returns the target with an ID: one that is configured, or one that the server has seen in the last 90 days.
func (s *Source) find(ctx context.Context, id string) (probe.Key, *probe.Target, error) {
	s.mu.Lock()
	t, configured := s.targets[id]
	s.mu.Unlock()
	if configured {
		return t.Key(), t, nil
	}
	n, span := history.Range90d.Buckets()
	vector, err := s.intervals(ctx, time.Now(), time.Duration(n)*span)
	if err != nil {
		return probe.Key{}, t, err
	}
	for _, sample := range vector {
		if key := keyOf(sample.Metric); key.ID() == id {
			s.mu.Lock()
			defer s.mu.Unlock()
			return key, s.target(key, seconds(sample.Value)), nil
		}
	}
	return probe.Key{}, t, history.ErrNotFound
}

// Series implements history.Source.
func (s *Source) Series(ctx context.Context, id string, from, to time.Time, step time.Duration) (history.Series, error) {
	if step < time.Second {
		return history.Series{}, fmt.Errorf("a step of %v; accepted: at least a second", step)
	}
	key, target, err := s.find(ctx, id)
	if err != nil {
		return history.Series{}, err
	}
	series, err := history.NewSeries(from, to, step)
	if err != nil {
		return series, err
	}
	series.Target = *target
	counts, err := s.counts(ctx, key, series.From, len(series.Points), step, time.Now())
	if err != nil {
		return series, err
	}
	for i := range series.Points {
		p := &series.Points[i]
		p.Time = series.From.Add(time.Duration(i) * step)
		if buckets := counts[key]; buckets != nil {
			p.Counts = buckets[i]
		}
		series.Counts.Add(p.Counts)
	}
	return series, s.fillDurations(ctx, key, &series)
}

func (s *Source) fillDurations(ctx context.Context, key probe.Key, series *history.Series) error {
	duration, step := selector("probe_duration_seconds", key), series.Step
	for _, q := range []struct {
		query string
		set   func(*history.Point, *model.SampleStream, time.Duration)
	}{
		{byTarget("min", over("min_over_time", duration, step)), func(p *history.Point, _ *model.SampleStream, d time.Duration) { p.Min = d }},
		{byTarget("avg", over("avg_over_time", duration, step)), func(p *history.Point, _ *model.SampleStream, d time.Duration) { p.Mean = d }},
		{byTarget("max", over("max_over_time", duration, step)), func(p *history.Point, _ *model.SampleStream, d time.Duration) { p.Max = d }},
		{byTarget("avg", over("quantile_over_time", "0.5,"+duration, step)), func(p *history.Point, _ *model.SampleStream, d time.Duration) { p.P50 = d }},
		{byTarget("avg", over("quantile_over_time", "0.95,"+duration, step)), func(p *history.Point, _ *model.SampleStream, d time.Duration) { p.P95 = d }},
		{byTarget("avg", over("avg_over_time", selector("probe_http_duration_seconds", key), step), "phase"), func(p *history.Point, of *model.SampleStream, d time.Duration) {
			setPhase(&p.Phases, string(of.Metric["phase"]), d)
		}},
	} {
		matrix, err := s.matrix(ctx, q.query, series.From.Add(step-time.Millisecond), series.To.Add(-time.Millisecond), step)
		if err != nil {
			return err
		}
		for _, stream := range matrix {
			for _, pair := range stream.Values {
				if i := int(pair.Timestamp.Time().Sub(series.From) / step); i >= 0 && i < len(series.Points) {
					q.set(&series.Points[i], stream, seconds(pair.Value))
				}
			}
		}
	}
	end := earlier(series.To, time.Now())
	for q, into := range map[string]*time.Duration{"0.5": &series.P50, "0.95": &series.P95} {
		vector, err := s.vector(ctx, byTarget("avg", over("quantile_over_time", q+","+duration, end.Sub(series.From).Truncate(time.Second))), end.Add(-time.Millisecond))
		if err != nil {
			return err
		}
		for _, sample := range vector {
			*into = seconds(sample.Value)
		}
	}
	return nil
}

// resultsSpan is how much of the results is asked for at a time.
const resultsSpan = 24 * time.Hour

// Results implements history.Source. A verdict that was scraped several times is one result; one that was never scraped
// is none.
func (s *Source) Results(ctx context.Context, id string, from, to time.Time, limit int) ([]history.Result, error) {
	if limit <= 0 {
		limit = history.DefaultLimit
	}
	key, _, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	var results []history.Result
	to = earlier(to, time.Now())
	from = later(from, to.Add(-366*24*time.Hour))
	for to.After(from) && len(results) < limit {
		start := later(from, to.Add(-resultsSpan))
		part, err := s.resultsBetween(ctx, key, start, to)
		if err != nil {
			return nil, err
		}
		results = append(results, part...)
		to = start
	}
	results = slices.CompactFunc(results, func(a, b history.Result) bool { return a.Time.Equal(b.Time) })
	return results[:min(len(results), limit)], nil
}

// resultsBetween returns results, the newest first.
func (s *Source) resultsBetween(ctx context.Context, key probe.Key, from, to time.Time) ([]history.Result, error) {
	at := make(map[model.Time]*history.Result) // by the time of the scrape
	for _, family := range []struct {
		name string
		set  func(*history.Result, model.Metric, model.SampleValue)
	}{
		{"probe_success", func(r *history.Result, _ model.Metric, v model.SampleValue) {
			if r.State = history.StateUp; v == 0 {
				r.State = history.StateDown
			}
		}},
		{"rollcall_target_last_probe_timestamp_seconds", func(r *history.Result, _ model.Metric, v model.SampleValue) { r.Time = timeOf(v) }},
		{"probe_duration_seconds", func(r *history.Result, _ model.Metric, v model.SampleValue) { r.Duration = seconds(v) }},
		{"probe_http_status_code", func(r *history.Result, _ model.Metric, v model.SampleValue) { r.StatusCode = int(v) }},
		{"probe_ssl_earliest_cert_expiry", func(r *history.Result, _ model.Metric, v model.SampleValue) { r.CertExpiry = timeOf(v) }},
		{"probe_http_duration_seconds", func(r *history.Result, m model.Metric, v model.SampleValue) {
			setPhase(&r.Phases, string(m["phase"]), seconds(v))
		}},
		{"probe_failure_info", func(r *history.Result, m model.Metric, _ model.SampleValue) {
			r.Stage, r.Reason = probe.Stage(m["stage"]), probe.Reason(m["reason"])
		}},
	} {
		matrix, err := s.samples(ctx, selector(family.name, key), from, to)
		if err != nil {
			return nil, err
		}
		for _, stream := range matrix {
			for _, pair := range stream.Values {
				r := at[pair.Timestamp]
				if r == nil && family.name == "probe_success" {
					r = &history.Result{Time: pair.Timestamp.Time().UTC()}
					at[pair.Timestamp] = r
				}
				if r != nil {
					family.set(r, stream.Metric, pair.Value)
				}
			}
		}
	}
	results := make([]history.Result, 0, len(at))
	for _, r := range at {
		// The family has the end of the probe, a result its beginning.
		r.Time = r.Time.Add(-r.Duration).Round(time.Millisecond)
		results = append(results, *r)
	}
	slices.SortFunc(results, func(a, b history.Result) int { return b.Time.Compare(a.Time) })
	return slices.CompactFunc(results, func(a, b history.Result) bool { return a.Time.Equal(b.Time) }), nil
}
