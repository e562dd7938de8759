package prometheus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"rollcall/history"
	"rollcall/probe"
)

// sinceSpan is how far back Since looks: a state is never older than that.
const sinceSpan = 24 * time.Hour

// Overview implements history.Source. The answer may be half a minute old.
func (s *Source) Overview(ctx context.Context, r history.Range) (history.Overview, error) {
	s.building.Lock()
	defer s.building.Unlock()
	s.mu.Lock()
	last := s.cache[r]
	s.mu.Unlock()
	if !last.at.IsZero() && time.Since(last.at) < cacheFor {
		return copyOverview(last.overview), nil
	}
	o, err := s.overview(ctx, r)
	if err != nil {
		return history.Overview{}, err
	}
	s.mu.Lock()
	s.cache[r] = cached{o, time.Now()}
	s.mu.Unlock()
	return copyOverview(o), nil
}

// copyOverview makes what is the caller's to change.
func copyOverview(o history.Overview) history.Overview {
	o.Targets = slices.Clone(o.Targets)
	for i := range o.Targets {
		o.Targets[i].Buckets = slices.Clone(o.Targets[i].Buckets)
	}
	return o
}

// Target implements history.Source.
func (s *Source) Target(ctx context.Context, id string, r history.Range) (history.Summary, error) {
	o, err := s.Overview(ctx, r)
	if err != nil {
		return history.Summary{}, err
	}
	i := slices.IndexFunc(o.Targets, func(sum history.Summary) bool { return sum.ID == id })
	if i < 0 {
		return history.Summary{}, history.ErrNotFound
	}
	return o.Targets[i], nil
}

func (s *Source) overview(ctx context.Context, r history.Range) (history.Overview, error) {
	now := time.Now().UTC()
	from, to := r.Span(now)
	n, width := r.Buckets()
	o := history.Overview{Range: r, From: from, To: to, Step: width}
	places, err := s.list(ctx, &o, now)
	if err != nil {
		return o, err
	}
	buckets, err := s.counts(ctx, probe.Key{}, from, n, width, now)
	if err != nil {
		return o, err
	}
	for key, place := range places {
		sum := &o.Targets[place]
		if sum.Buckets = buckets[key]; sum.Buckets == nil {
			sum.Buckets = make([]history.Counts, n)
		}
		for _, c := range sum.Buckets {
			sum.Counts.Add(c)
		}
	}
	return o, s.fillNow(ctx, &o, places, now)
}

// list makes the summaries of all targets that the server has seen lately, in the order of their names.
func (s *Source) list(ctx context.Context, o *history.Overview, now time.Time) (map[probe.Key]int, error) {
	vector, err := s.intervals(ctx, now, s.lag)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(vector, func(a, b *model.Sample) int {
		return cmp.Or(cmp.Compare(a.Metric["target"], b.Metric["target"]), cmp.Compare(a.Metric["module"], b.Metric["module"]))
	})
	places := make(map[probe.Key]int, len(vector))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sample := range vector {
		key := keyOf(sample.Metric)
		places[key] = len(o.Targets)
		o.Targets = append(o.Targets, history.Summary{ID: key.ID(), Target: *s.target(key, seconds(sample.Value)), State: history.StateUnknown})
	}
	return places, nil
}

// target is what is known of a target. s.mu is held.
func (s *Source) target(key probe.Key, interval time.Duration) *probe.Target {
	if t, configured := s.targets[key.ID()]; configured {
		return t
	}
	return &probe.Target{Module: key.Module, Target: key.Target, Hostname: key.Hostname, Interval: interval}
}

// counts asks for the counts of n buckets of one target or all.
func (s *Source) counts(ctx context.Context, of probe.Key, from time.Time, n int, width time.Duration, now time.Time) (map[probe.Key][]history.Counts, error) {
	counts := make(map[probe.Key][]history.Counts)
	success, interval := selector("probe_success", of), selector("rollcall_target_interval_seconds", of)
	end := from.Add(time.Duration(n) * width)
	for _, q := range []struct {
		query string
		set   func(*history.Counts, uint32)
	}{
		// In the beginning Unknown is all that was scraped.
		{byTarget("sum", over("count_over_time", interval, width)), func(c *history.Counts, v uint32) { c.Unknown = v }},
		{byTarget("sum", over("count_over_time", success, width)), func(c *history.Counts, v uint32) { c.Down = v }},
		{byTarget("sum", over("sum_over_time", success, width)), func(c *history.Counts, v uint32) { c.Up = min(v, c.Down); c.Down -= c.Up }},
	} {
		// A moment before the bucket's end: a sample that is on it belongs to the next.
		matrix, err := s.matrix(ctx, q.query, from.Add(width-time.Millisecond), end.Add(-time.Millisecond), width)
		if err != nil {
			return nil, err
		}
		for _, series := range matrix {
			key := keyOf(series.Metric)
			if counts[key] == nil {
				counts[key] = make([]history.Counts, n)
			}
			for _, pair := range series.Values {
				if i := int(pair.Timestamp.Time().Sub(from) / width); i >= 0 && i < n {
					q.set(&counts[key][i], uint32(pair.Value+0.5))
				}
			}
		}
	}
	for _, buckets := range counts {
		fillUnknown(buckets, from, width, now)
	}
	return counts, nil
}

// fillUnknown turns what was scraped into what is unknown: what has no verdict, and what is missing beside the fullest
// bucket, from the first sample on.
func fillUnknown(buckets []history.Counts, from time.Time, width time.Duration, now time.Time) {
	full, first := uint32(0), -1
	for i, c := range buckets {
		full = max(full, c.Unknown, uint32(c.Known()))
		if first < 0 && (c.Unknown > 0 || c.Known() > 0) {
			first = i
		}
	}
	for i := range buckets {
		c := &buckets[i]
		expected := float64(full)
		switch start := from.Add(time.Duration(i) * width); {
		case i == first && i > 0, i < first:
			expected = float64(c.Unknown) // it began in this bucket
		case start.After(now):
			expected = 0
		case now.Sub(start) < width:
			expected *= float64(now.Sub(start)) / float64(width)
		}
		missing := max(expected, float64(c.Unknown)) - float64(c.Known())
		if c.Unknown = 0; missing >= 2 { // less is the rounding of a bucket's ends
			c.Unknown = uint32(missing)
		}
	}
}

// fillNow adds how the targets are now.
func (s *Source) fillNow(ctx context.Context, o *history.Overview, places map[probe.Key]int, now time.Time) error {
	all := probe.Key{}
	recent := fmt.Sprintf("[%s:1m]", model.Duration(sinceSpan))
	success := selector("probe_success", all)
	for _, q := range []struct {
		query string
		set   func(*history.Summary, *model.Sample)
	}{
		{byTarget("min", success), func(sum *history.Summary, v *model.Sample) {
			sum.State = history.StateUp
			if v.Value == 0 {
				sum.State = history.StateDown
			}
			sum.Last.State, sum.Last.Time = sum.State, now
		}},
		// Before the first sample nothing is known.
		{byTarget("min", "min_over_time(timestamp("+success+")"+recent+")"), func(sum *history.Summary, v *model.Sample) { sum.Since = timeOf(v.Value) }},
		{byTarget("max", "max_over_time(timestamp("+success+" == 0)"+recent+")"), sinceAfter(history.StateUp)},
		{byTarget("max", "max_over_time(timestamp("+success+" == 1)"+recent+")"), sinceAfter(history.StateDown)},
		{byTarget("max", selector("rollcall_target_last_probe_timestamp_seconds", all)), func(sum *history.Summary, v *model.Sample) {
			sum.Last.Time = timeOf(v.Value)
		}},
		{byTarget("avg", over("quantile_over_time", "0.5,"+selector("probe_duration_seconds", all), typicalSpan(now))), func(sum *history.Summary, v *model.Sample) {
			sum.Typical = seconds(v.Value)
		}},
		{byTarget("avg", selector("probe_duration_seconds", all)), func(sum *history.Summary, v *model.Sample) { sum.Last.Duration = seconds(v.Value) }},
		{byTarget("max", selector("probe_http_status_code", all)), func(sum *history.Summary, v *model.Sample) { sum.Last.StatusCode = int(v.Value) }},
		{byTarget("min", selector("probe_ssl_earliest_cert_expiry", all)), func(sum *history.Summary, v *model.Sample) {
			sum.Last.CertExpiry = timeOf(v.Value)
		}},
		{byTarget("max", selector("probe_failure_info", all), "stage", "reason"), func(sum *history.Summary, v *model.Sample) {
			if sum.State != history.StateDown {
				return
			}
			sum.Last.Stage, sum.Last.Reason = probe.Stage(v.Metric["stage"]), probe.Reason(v.Metric["reason"])
		}},
		{byTarget("avg", selector("probe_http_duration_seconds", all), "phase"), func(sum *history.Summary, v *model.Sample) {
			setPhase(&sum.Last.Phases, string(v.Metric["phase"]), seconds(v.Value))
		}},
	} {
		vector, err := s.vector(ctx, q.query, now)
		if err != nil {
			return err
		}
		for _, sample := range vector {
			if place, known := places[keyOf(sample.Metric)]; known {
				q.set(&o.Targets[place], sample)
			}
		}
	}
	return nil
}

// typicalSpan is how long it is since the start of yesterday.
func typicalSpan(now time.Time) time.Duration {
	return now.Sub(now.Truncate(24 * time.Hour).Add(-24 * time.Hour)).Truncate(time.Second)
}

// sinceAfter sets the start of a state to when the other was last seen.
func sinceAfter(state history.State) func(*history.Summary, *model.Sample) {
	return func(sum *history.Summary, v *model.Sample) {
		if sum.State == state {
			sum.Since = timeOf(v.Value)
		}
	}
}

func timeOf(v model.SampleValue) time.Time {
	return time.UnixMilli(int64(float64(v) * 1000)).UTC()
}

func setPhase(p *probe.Phases, phase string, d time.Duration) {
	switch phase {
	case "resolve":
		p.Resolve = d
	case "connect":
		p.Connect = d
	case "tls":
		p.TLS = d
	case "processing":
		p.Processing = d
	case "transfer":
		p.Transfer = d
	}
}
