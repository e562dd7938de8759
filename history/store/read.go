package store

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"rollcall/history"
	"rollcall/history/block"
	"rollcall/probe"
)

// Series implements history.Source.
func (s *Store) Series(ctx context.Context, id string, from, to time.Time, step time.Duration) (history.Series, error) {
	if step < time.Second || step%time.Second != 0 {
		return history.Series{}, fmt.Errorf("a step of %v; accepted: whole seconds, at least one", step)
	}
	step = s.coarserStep(from, step)
	series, err := history.NewSeries(from, to, step)
	if err != nil {
		return history.Series{}, err
	}
	var g *block.Grid
	err = s.read(func(tx *bbolt.Tx) error {
		if series.Target = s.targetOf(tx, id); series.Target.Module == "" {
			return history.ErrNotFound
		}
		g = &block.Grid{From: series.From.UnixMilli(), Step: step.Milliseconds(), Cells: make([]block.Cell, len(series.Points))}
		return s.fill(tx, rowID(id), levelFor(g.Step), g, ctx.Err)
	})
	if err != nil {
		return history.Series{}, err
	}
	g.Gap(time.Now().UnixMilli())
	var all block.Cell
	for i := range g.Cells {
		series.Points[i] = g.Cells[i].Point(g.From + int64(i)*g.Step)
		all.Merge(&g.Cells[i])
	}
	whole := all.Point(g.From)
	series.Counts, series.P50, series.P95 = whole.Counts, whole.P50, whole.P95
	return series, nil
}

// coarserStep is the step, or the next longer one that can be had of all the time from from on: the finest data goes
// first.
func (s *Store) coarserStep(from time.Time, step time.Duration) time.Duration {
	s.mu.Lock()
	begins := s.oldest.begins
	s.mu.Unlock()
	if !begins[0].IsZero() && (begins[1].IsZero() || begins[0].Before(begins[1])) {
		begins[1] = begins[0] // results are rolled up when they are read; see worthRollingUp
	}
	for {
		level := levelFor(step.Milliseconds())
		next := level + 1
		if next == len(levels) || !from.Before(begins[level]) || begins[next].IsZero() || !begins[next].Before(begins[level]) {
			return step
		}
		width := time.Duration(levels[next].step) * time.Millisecond
		step = (step + width - 1) / width * width
	}
}

// levelFor is the coarsest level whose rollups fit into steps.
func levelFor(step int64) int {
	level := len(levels) - 1
	for level > 0 && step%levels[level].step != 0 {
		level--
	}
	return level
}

// fill counts everything that is known of a target in the grid's time. stop is asked once a day of it.
func (s *Store) fill(tx *bbolt.Tx, id uint64, level int, g *block.Grid, stop func() error) error {
	open, before, err := s.openPoints(tx, id)
	if err != nil {
		return err
	}
	// A day later there is what ends a gap that begins in the last.
	first, last := max(block.DayOf(g.From), 0), block.DayOf(g.From+int64(len(g.Cells))*g.Step-1)+1
	if oldest, found := oldestDay(tx); found {
		var bl block.Block
		for d := max(first, oldest); d <= last; d++ {
			if err := stop(); err != nil {
				return err
			}
			s.fillDay(tx, id, d, level, g, &bl)
		}
	}
	rest := block.Block{Before: before}
	for _, p := range open {
		if d := block.DayOf(p.Time); d >= first && d <= last {
			rest.Points = append(rest.Points, p)
		}
	}
	if len(rest.Points) > 0 {
		block.SortPoints(rest.Points)
		g.AddBlock(&rest)
	}
	if g.Last.Time == 0 { // it may be a gap as a whole
		g.Last = s.lastBefore(tx, id, first)
	}
	return nil
}

// fillDay counts a day, from the level asked for or the next that is there. bl is memory to use.
func (s *Store) fillDay(tx *bbolt.Tx, id uint64, d int64, level int, g *block.Grid, bl *block.Block) {
	fromResults := level == 0 || level == 1 && tx.Bucket(bucketMinutes).Get(dayTargetKey(d, id)) == nil // see worthRollingUp
	if fromResults && s.readBlock(tx, d, id, bl) {
		g.AddBlock(bl)
		return
	}
	for _, level := range levels[max(level, 1):] {
		if ch := s.readChunk(tx.Bucket(level.bucket), d, id); ch != nil {
			g.AddChunk(ch)
			return
		}
	}
}

// openPoints returns the results that a transaction does not see in blocks, and the turn before them.
func (s *Store) openPoints(tx *bbolt.Tx, id uint64) (points []block.Point, before block.Turn, err error) {
	sealed, _ := rowNumbers(tx.Bucket(bucketTargets).Get(numbers(nil, id)))
	s.mu.Lock()
	l := s.byID[id]
	if l == nil {
		s.mu.Unlock()
		return nil, before, nil
	}
	stream, skip, known := l.open, int(l.sealing), l.sealed
	s.mu.Unlock()
	switch {
	case sealed < known:
		return nil, before, errSealed
	case sealed == known: // what is being sealed is not in the file yet
		skip = 0
	}
	if points, before, err = stream.Points(skip); err != nil {
		s.unreadable(err)
	}
	return points, before, nil
}

// lastBefore is a target's last turn in the days before one.
func (s *Store) lastBefore(tx *bbolt.Tx, id uint64, before int64) block.Turn {
	oldest, found := oldestDay(tx)
	for d := before - 1; found && d >= oldest; d-- {
		if ch := s.readChunk(tx.Bucket(bucketDays), d, id); ch != nil {
			return ch.Last
		}
	}
	return block.Turn{}
}

// Results implements history.Source.
func (s *Store) Results(ctx context.Context, id string, from, to time.Time, limit int) ([]history.Result, error) {
	if limit <= 0 {
		limit = history.DefaultLimit
	}
	var results []history.Result
	err := s.read(func(tx *bbolt.Tx) error {
		results = nil
		if s.targetOf(tx, id).Module == "" {
			return history.ErrNotFound
		}
		open, _, err := s.openPoints(tx, rowID(id))
		if err != nil {
			return err
		}
		start, end := from.UnixMilli(), to.UnixMilli()
		first, last := s.daysOf(tx, open)
		var bl block.Block
		for d := min(last, block.DayOf(end-1)); d >= max(first, block.DayOf(start)) && len(results) < limit; d-- {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !s.readBlock(tx, d, rowID(id), &bl) {
				bl.Points = bl.Points[:0]
			}
			for _, p := range open {
				if block.DayOf(p.Time) == d {
					bl.Points = append(bl.Points, p)
				}
			}
			block.SortPoints(bl.Points)
			if results == nil { // as many as there are if all days are like this one
				results = make([]history.Result, 0, min(limit, len(bl.Points)*int(d-max(first, block.DayOf(start))+1)))
			}
			for i := len(bl.Points) - 1; i >= 0 && len(results) < limit; i-- {
				if p := &bl.Points[i]; p.Time >= start && p.Time < end {
					results = append(results, p.Result())
				}
			}
		}
		return nil
	})
	return results, err
}

// daysOf are the first and the last day of which single results may be known.
func (s *Store) daysOf(tx *bbolt.Tx, open []block.Point) (first, last int64) {
	c := tx.Bucket(bucketResults).Cursor()
	first, last = 1<<40, -1
	if k, _ := c.First(); k != nil {
		first = keyDay(k)
		k, _ = c.Last()
		last = keyDay(k)
	}
	for i := range open {
		d := block.DayOf(open[i].Time)
		first, last = min(first, d), max(last, d)
	}
	return first, last
}

// targetOf is what is known of a target; its Module is empty when nothing is.
func (s *Store) targetOf(tx *bbolt.Tx, id string) probe.Target {
	s.mu.Lock()
	if l := s.byID[rowID(id)]; l != nil {
		defer s.mu.Unlock()
		return *l.info
	}
	s.mu.Unlock()
	if row := s.readTarget(tx, rowID(id)); row != nil {
		return row.Target
	}
	return probe.Target{}
}
