package history

import (
	"context"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Overview implements Source. It reads only memory.
func (s *Store) Overview(ctx context.Context, r Range) (Overview, error) {
	now := time.Now()
	from, to := r.Span(now)
	n, width := r.Buckets()
	o := Overview{Range: r, From: from, To: to, Step: width}
	s.mu.Lock()
	order := s.order
	s.mu.Unlock()
	o.Targets = make([]Summary, len(order))
	buckets := make([]Counts, n*len(order))
	for i := 0; i < len(order); {
		if ctx.Err() != nil {
			return Overview{}, ctx.Err()
		}
		s.mu.Lock() // for some at a time: taking in results must not wait for all
		for end := min(i+turnsPerLock, len(order)); i < end; i++ {
			order[i].summary(&o.Targets[i], buckets[i*n:(i+1)*n:(i+1)*n], r, now.UnixMilli())
		}
		s.mu.Unlock()
	}
	return o, nil
}

// Target implements Source.
func (s *Store) Target(ctx context.Context, id string, r Range) (Summary, error) {
	now := time.Now()
	n, width := r.Buckets()
	s.mu.Lock()
	if l := s.byID[rowID(id)]; l != nil && !l.left {
		defer s.mu.Unlock()
		var sum Summary
		l.summary(&sum, make([]Counts, n), r, now.UnixMilli())
		return sum, nil
	}
	s.mu.Unlock()
	sum := Summary{ID: id, State: StateUnknown}
	from, to := r.Span(now)
	series, err := s.Series(ctx, id, from, to, width)
	if err != nil {
		return Summary{}, err
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
func (l *live) summary(sum *Summary, buckets []Counts, r Range, now int64) {
	*sum = Summary{ID: hexID(l.id), Target: l.info, State: StateUnknown, Buckets: buckets}
	ring := &l.halfHours
	switch r {
	case Range7d:
		ring = &l.threeHours
	case Range30d, Range90d:
		ring = &l.days
	}
	newest := now / ring.width
	ring.read(buckets, newest)
	if isGap(l.last.time, now, l.last.interval) {
		g := grid{from: (newest - int64(len(buckets)) + 1) * ring.width, step: ring.width}
		g.eachMissing(l.last.time, now, l.last.interval, len(buckets), func(i int, n uint32) { buckets[i].Unknown += n })
	}
	for i := range buckets {
		sum.Counts.add(buckets[i])
	}
	if place := slices.Index(Ranges(), r); place >= 0 {
		sum.Typical = quantile(0.5, l.typical[place], l.today)
	}
	if l.last.time != 0 {
		sum.Last = l.last.result()
	}
	if l.incident != nil {
		sum.Incident = l.incident.ID
	}
	switch {
	case l.verdict.time == 0:
	case isGap(l.verdict.time, now, l.verdict.interval):
		sum.Since = timeOf(l.verdict.time)
	default:
		sum.State, sum.Since = l.verdict.state.public(), timeOf(min(l.since, l.verdict.time))
	}
}

// hexID is the ID of a target or incident from its key.
func hexID(id uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[i] = digits[id>>(60-4*i)&15]
	}
	return string(b[:])
}

// freshPoints returns the results that a transaction does not see in blocks; ok is false when a seal has come since it
// began, so that another has to be used.
func (s *Store) freshPoints(tx *bbolt.Tx, id uint64) (points []point, first *stream, ok bool) {
	sealed := uint64(0)
	if b := tx.Bucket(bucketFormat).Get(keySeal); len(b) == 8 {
		sealed = keyNumber(b, 0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sealed < s.sealed {
		return nil, nil, false
	}
	l := s.byID[id]
	if l == nil {
		return nil, nil, true
	}
	streams := []stream{l.sealing, l.open}
	if sealed > s.sealed { // what is being sealed is in the file already
		streams = streams[1:]
	}
	for i := range streams {
		more, err := readPoints(streams[i].bytes)
		if err != nil {
			s.unreadable(err)
		}
		if len(points) == 0 && len(more) > 0 {
			first = &streams[i]
		}
		points = append(points, more...)
	}
	return points, first, true
}
