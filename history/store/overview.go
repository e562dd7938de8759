package store

import (
	"context"
	"encoding/hex"
	"time"

	"rollcall/history"
	"rollcall/history/block"
)

// Overview implements history.Source. It reads only memory.
func (s *Store) Overview(ctx context.Context, r history.Range) (history.Overview, error) {
	now := time.Now()
	from, to := r.Span(now)
	n, width := r.Buckets()
	o := history.Overview{Range: r, From: from, To: to, Step: width}
	s.mu.Lock()
	order := s.order
	s.mu.Unlock()
	o.Targets = make([]history.Summary, len(order))
	buckets := make([]history.Counts, n*len(order))
	for i := 0; i < len(order); {
		if ctx.Err() != nil {
			return history.Overview{}, ctx.Err()
		}
		s.mu.Lock() // for some at a time: taking in results must not wait for all
		for end := min(i+turnsPerLock, len(order)); i < end; i++ {
			order[i].summary(&o.Targets[i], buckets[i*n:(i+1)*n:(i+1)*n], r, now.UnixMilli())
		}
		s.mu.Unlock()
	}
	return o, nil
}

// Target implements history.Source.
func (s *Store) Target(ctx context.Context, id string, r history.Range) (history.Summary, error) {
	now := time.Now()
	n, width := r.Buckets()
	s.mu.Lock()
	if l := s.byID[rowID(id)]; l != nil && l.left == 0 {
		defer s.mu.Unlock()
		var sum history.Summary
		l.summary(&sum, make([]history.Counts, n), r, now.UnixMilli())
		return sum, nil
	}
	s.mu.Unlock()
	sum := history.Summary{ID: id, State: history.StateUnknown}
	from, to := r.Span(now)
	series, err := s.Series(ctx, id, from, to, width)
	if err != nil {
		return history.Summary{}, err
	}
	sum.Target, sum.Counts, sum.Typical = series.Target, series.Counts, series.P50
	for i := range min(n, len(series.Points)) {
		sum.Buckets = append(sum.Buckets, series.Points[i].Counts)
	}
	last, err := s.Results(ctx, id, from, to, 1)
	if len(last) > 0 {
		sum.Last, sum.Since = last[0], last[0].Time
	}
	return sum, err
}

// summary says how a target is. s.mu is held.
func (l *live) summary(sum *history.Summary, buckets []history.Counts, r history.Range, now int64) {
	durations := l.Yesterday.Histogram()
	durations.Merge(l.Today.Histogram())
	*sum = history.Summary{
		ID: hexID(l.id), Target: *l.info, State: history.StateUnknown, Buckets: buckets, Typical: durations.Quantile(0.5),
	}
	ring := &l.HalfHours
	switch r {
	case history.Range7d:
		ring = &l.ThreeHours
	case history.Range30d, history.Range90d:
		ring = &l.Days
	}
	newest := now / ring.width()
	ring.read(buckets, newest)
	from := (newest - int64(len(buckets)) + 1) * ring.width()
	l.Last.EachMissing(now, from, ring.width(), len(buckets), func(i int, n uint32) { buckets[i].Unknown += n })
	for i := range buckets {
		sum.Counts.Add(buckets[i])
	}
	if l.Last.Time != 0 {
		sum.Last = l.Last.Result()
	}
	if l.Incident != nil {
		sum.Incident = l.Incident.ID
	}
	switch {
	case l.Verdict.Time == 0:
	case l.Verdict.IsGap(now):
		sum.Since = block.TimeOf(l.Verdict.Time)
	default:
		sum.State, sum.Since = l.Verdict.State.Public(), block.TimeOf(min(l.Since, l.Verdict.Time))
	}
}

// hexID is the ID of a target from its key.
func hexID(id uint64) string { return hex.EncodeToString(numbers(nil, id)) }
