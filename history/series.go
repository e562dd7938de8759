package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// errSealed says that blocks were written while a transaction read others.
var errSealed = errors.New("a seal came in between")

// Series implements Source.
func (s *Store) Series(ctx context.Context, id string, from, to time.Time, step time.Duration) (Series, error) {
	if step < time.Second || step%time.Second != 0 {
		return Series{}, fmt.Errorf("a step of %v; accepted: whole seconds, at least one", step)
	}
	step = s.coarserStep(from, step)
	g, err := newGrid(from, to, step)
	if err != nil {
		return Series{}, err
	}
	q := pastQuery{id: rowID(id), from: g.from, to: g.from + int64(len(g.cells))*g.step, level: levelFor(g.step)}
	f := filler{grid: g}
	now := time.Now().UnixMilli()
	series := Series{From: timeOf(q.from), To: timeOf(q.to), Step: step}
	err = s.read(func(tx *bbolt.Tx) error {
		clear(g.cells)
		f.last, f.interval = 0, 0
		row, known := readTarget(tx, q.id)
		series.Target = row.Target
		if !known {
			if series.Target = s.targetOf(tx, id); series.Target.Module == "" {
				return ErrNotFound
			}
		}
		if err := s.fill(ctx, tx, &q, f.addChunk, f.addBlock); err != nil {
			return err
		}
		if f.last == 0 { // it may be a gap as a whole
			f.last, f.interval = s.lastBefore(tx, q.id, dayOf(q.from))
		}
		return nil
	})
	if err != nil {
		return Series{}, err
	}
	f.addGap(f.last, now, f.interval)
	series.finish(g)
	return series, nil
}

// newGrid is the cells of a series.
func newGrid(from, to time.Time, step time.Duration) (*grid, error) {
	width := step.Milliseconds()
	start := from.UTC().Truncate(step)
	end := to.UTC().Truncate(step)
	if end.Before(to) {
		end = end.Add(step)
	}
	n := end.Sub(start) / step
	if n < 1 || n > MaxPoints {
		return nil, fmt.Errorf("%d steps of %v; accepted: 1 to %d", n, step, MaxPoints)
	}
	return &grid{from: start.UnixMilli(), step: width, cells: make([]cell, n)}, nil
}

// coarserStep is the step, or the next longer one that can be had of all the time from from on: the finest data goes
// first.
func (s *Store) coarserStep(from time.Time, step time.Duration) time.Duration {
	s.mu.Lock()
	begins := [...]time.Time{s.oldest.results, s.oldest.minutes, s.oldest.hours, s.oldest.days}
	s.mu.Unlock()
	if !begins[0].IsZero() && (begins[1].IsZero() || begins[0].Before(begins[1])) {
		begins[1] = begins[0] // results are rolled up when they are read; see worthRollingUp
	}
	for {
		level := levelFor(step.Milliseconds()) + 1 // its place in begins
		next := level + 1
		if next == len(begins) || !from.Before(begins[level]) || begins[next].IsZero() || !begins[next].Before(begins[level]) {
			return step
		}
		width := time.Duration(levels[level].step) * time.Millisecond
		step = (step + width - 1) / width * width
	}
}

// levelFor is the coarsest level whose rollups fit into steps; -1: single results.
func levelFor(step int64) int {
	for i := len(levels) - 1; i >= 0; i-- {
		if step%levels[i].step == 0 {
			return i
		}
	}
	return -1
}

// finish makes points of the cells.
func (s *Series) finish(g *grid) {
	var all cell
	s.Points = make([]Point, len(g.cells))
	for i := range g.cells {
		s.Points[i] = g.cells[i].point(g.from + int64(i)*g.step)
		all.merge(&g.cells[i])
	}
	whole := all.point(g.from)
	s.Counts, s.P50, s.P95 = whole.Counts, whole.P50, whole.P95
}

// read runs a reading transaction, again if a seal comes in between.
func (s *Store) read(f func(*bbolt.Tx) error) error {
	for {
		var failed error
		err := s.view(func(tx *bbolt.Tx) error { failed = f(tx); return nil })
		switch {
		case err != nil:
			return err
		case !errors.Is(failed, errSealed):
			return failed
		}
	}
}

// pastQuery is whose results are read of which time.
type pastQuery struct {
	id       uint64
	from, to int64
	level    int // -1: single results, where they are still there
}

// fill passes everything that is known of a span on in the order of time, and what lies beside it in the same days.
func (s *Store) fill(ctx context.Context, tx *bbolt.Tx, q *pastQuery, addChunk func(*chunk), addBlock func(*block)) error {
	fresh, stream, ok := s.freshPoints(tx, q.id)
	if !ok {
		return errSealed
	}
	refs := seals(tx)
	// A day later there is what ends a gap that begins in the last.
	firstDay, lastDay := max(dayOf(q.from), 0), dayOf(q.to-1)
	if addChunk != nil {
		lastDay++
	}
	open := new(block)
	for d := firstDay; d <= lastDay; d++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.fillDay(tx, q, d, addChunk, addBlock)
	}
	refs = slices.DeleteFunc(refs, func(r sealRef) bool { return r.day < firstDay || r.day > lastDay })
	if bl := s.readHead(tx, refs, q.id); bl != nil {
		open = bl
	} else if stream != nil {
		open.before, open.beforeInterval = stream.before, stream.beforeInterval
	}
	for _, p := range fresh {
		if d := dayOf(p.time); d >= firstDay && d <= lastDay {
			open.points = append(open.points, p)
		}
	}
	if len(open.points) > 0 {
		sortPoints(open.points)
		addBlock(open)
	}
	return nil
}

// fillDay passes a closed day on, from the level asked for or the next that is there.
func (s *Store) fillDay(tx *bbolt.Tx, q *pastQuery, d int64, addChunk func(*chunk), addBlock func(*block)) {
	minutes := q.level == 0 && tx.Bucket(bucketMinutes).Get(dayTargetKey(d, q.id)) != nil
	if q.level < 0 || q.level == 0 && !minutes { // see worthRollingUp
		if bl := s.readBlock(tx.Bucket(bucketResults), dayTargetKey(d, q.id)); bl != nil {
			addBlock(bl)
			return
		}
	}
	if addChunk == nil {
		return
	}
	for _, level := range levels[max(q.level, 0):] {
		if ch := s.readChunk(tx.Bucket(level.bucket), d, q.id); ch != nil {
			addChunk(ch)
			return
		}
	}
}

// lastBefore is a target's last turn in the days before one.
func (s *Store) lastBefore(tx *bbolt.Tx, id uint64, before int64) (at, interval int64) {
	refs := slices.DeleteFunc(seals(tx), func(r sealRef) bool { return r.day >= before })
	if bl := s.readHead(tx, refs, id); bl != nil && len(bl.points) > 0 {
		last := bl.points[len(bl.points)-1]
		return last.time, last.interval
	}
	oldest, found := oldestDay(tx)
	for d := before - 1; found && d >= oldest; d-- {
		if ch := s.readChunk(tx.Bucket(bucketDays), d, id); ch != nil {
			return ch.last, ch.interval
		}
	}
	return 0, 0
}

// Results implements Source.
func (s *Store) Results(ctx context.Context, id string, from, to time.Time, limit int) ([]Result, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	start, end := from.UnixMilli(), to.UnixMilli()
	var results []Result
	err := s.read(func(tx *bbolt.Tx) error {
		results = nil
		if s.targetOf(tx, id).Module == "" {
			return ErrNotFound
		}
		start := max(start, s.oldestOf(tx, id))
		for until := end; until > start && len(results) < limit; {
			since := max(start, dayOf(until-1)*day)
			q := pastQuery{id: rowID(id), from: since, to: until, level: -1}
			var points []point
			err := s.fill(ctx, tx, &q, nil, func(bl *block) { points = append(points, bl.points...) })
			if err != nil {
				return err
			}
			sortPoints(points)
			for i := len(points) - 1; i >= 0 && len(results) < limit; i-- {
				if p := &points[i]; p.time >= since && p.time < until {
					results = append(results, p.result())
				}
			}
			until = since
		}
		return nil
	})
	return results, err
}

// oldestOf is a time before which nothing is known of a target.
func (s *Store) oldestOf(tx *bbolt.Tx, id string) int64 {
	oldest, found := oldestDay(tx)
	if !found {
		oldest = dayOf(time.Now().UnixMilli())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.byID[rowID(id)]; l != nil && l.first != 0 {
		oldest = min(oldest, dayOf(l.first))
	}
	return oldest * day
}
